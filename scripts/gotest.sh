#!/usr/bin/env bash
# Runs go test with a line a package, the whole output of what failed, and the
# reasons of skipped tests at the end. Records the events for the final count.
#
#   scripts/gotest.sh NAME [go test's flags and packages]
set -euo pipefail
cd "$(dirname "$0")/.."

name=$1
shift
scripts/gotools.sh
mkdir -p .build/test
exec .build/tools/gotestsum --format pkgname-and-test-fails --hide-summary=skipped \
	--jsonfile ".build/test/$name.jsonl" -- "$@"
