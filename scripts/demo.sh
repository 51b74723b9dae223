#!/usr/bin/env bash
# Runs the demo shop together with the part of it that the official AWS X-Ray SDK
# for Go instruments, which is a Go module of its own. Whatever is given is
# handed to roentgen demo. Ctrl-C ends both: the shop ends its companion.
set -euo pipefail
cd "$(dirname "$0")/.."

companion=$PWD/.build/xraysdk
(cd demo/xraysdk && go build -o "$companion" .)
exec bin/roentgen demo --with "$companion" "$@"
