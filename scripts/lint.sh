#!/usr/bin/env bash
# Runs the linter, with .golangci.yml, over every module of the product and its
# test programs.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
scripts/gotools.sh

for module in . demo/xraysdk test/compat/go-sdk test/compat/go-otel test/compat/collector; do
	[ -f "$module/go.mod" ] || continue
	echo "lint: $module"
	(cd "$module" && "$root/.build/tools/golangci-lint" run --allow-parallel-runners --config "$root/.golangci.yml" "$@" ./...)
done
