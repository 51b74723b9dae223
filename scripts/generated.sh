#!/usr/bin/env bash
# Runs go generate and fails when that changes, adds or removes a file.
set -euo pipefail
cd "$(dirname "$0")/.."

# state prints what git sees of the work tree: what is changed, with its content.
state() {
	git status --porcelain
	git diff HEAD --no-ext-diff
	git ls-files -o --exclude-standard -z | xargs -0r sha256sum
}

before=$(state | sha256sum)
go generate ./...
if [ "$(state | sha256sum)" != "$before" ]; then
	echo "go generate changed files; commit what it wrote:" >&2
	git status --porcelain >&2
	git --no-pager diff --stat >&2
	[ "${CI:-}" != true ] || git --no-pager diff >&2
	exit 1
fi
echo "generated files are up to date"
