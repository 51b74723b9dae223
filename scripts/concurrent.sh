#!/usr/bin/env bash
# Prints the packages that the race detector should see: those that start
# goroutines or share memory, in themselves or in their tests.
set -euo pipefail
cd "$(dirname "$0")/.."

go list -f '{{.ImportPath}} {{.Dir}}' ./... | while read -r package dir; do
	if grep -qsE '^\s*go |\.Go\(|t\.Parallel\(|"sync(/atomic)?"|"golang.org/x/sync/' "$dir"/*.go; then
		echo "$package"
	fi
done
