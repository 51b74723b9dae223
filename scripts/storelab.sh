#!/usr/bin/env bash
# The tests of the store and its laboratory: the contract, random histories,
# faults at every file operation and crashes between them, ROUNDS times (2 unless
# set) with seeds of their own. A run strides through the operations; with
# ROENTGEN_CRASH=full it visits every one, which takes long.
set -euo pipefail
cd "$(dirname "$0")/.."

for round in $(seq "${ROUNDS:-2}"); do
	seed=$((RANDOM * 32768 + RANDOM + 1))
	echo "round $round, ROENTGEN_SEED=$seed"
	ROENTGEN_SEED=$seed scripts/gotest.sh "storelab$round" -count=1 -timeout 20m ./internal/tracestore/...
done
