#!/usr/bin/env bash
# Fuzzes every target of the module for FUZZTIME, 10s unless set.
set -euo pipefail
cd "$(dirname "$0")/.."

status=0
found=0
while read -r package dir; do
	for target in $(grep -hoE '^func Fuzz[A-Za-z0-9_]+' "$dir"/*_test.go 2>/dev/null | cut -d ' ' -f 2); do
		found=$((found + 1))
		echo "=== $package $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "${FUZZTIME:-10s}" "$package" || status=1
	done
done < <(go list -f '{{.ImportPath}} {{.Dir}}' ./...)
[ "$found" -gt 0 ] || { echo "fuzz: no target found" >&2; exit 1; }
exit $status
