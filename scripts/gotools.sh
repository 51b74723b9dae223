#!/usr/bin/env bash
# Builds the linter and the test runner into .build/tools, in the versions that
# tools/go.mod names, unless they are there.
set -euo pipefail
cd "$(dirname "$0")/.."

sum=$(sha256sum tools/go.mod | cut -d ' ' -f 1)
[ "$(cat .build/tools/stamp 2>/dev/null)" = "$sum" ] && exit 0
echo "building the Go tools of tools/go.mod"
mkdir -p .build/tools
for try in 1 2 3; do
	go build -modfile=tools/go.mod -o .build/tools/ tool && break
	[ "$try" != 3 ] || exit 1
	sleep $((try * 5)) # registries fail at times
done
echo "$sum" >.build/tools/stamp
