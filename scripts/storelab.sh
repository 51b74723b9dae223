#!/usr/bin/env bash
# The tests of the store and its laboratory: the contract, random histories,
# faults at every file operation and crashes between them. A run strides through
# the operations; with ROENTGEN_CRASH=full it visits every one, which takes long.
# The first round has a seed that stays, so that a change is judged by the same
# histories as the one before; further ROUNDS (make soak) have seeds of their own.
set -euo pipefail
cd "$(dirname "$0")/.."

seed=${ROENTGEN_SEED:-20261122}
for round in $(seq "${ROUNDS:-1}"); do
	echo "round $round, ROENTGEN_SEED=$seed"
	ROENTGEN_SEED=$seed scripts/gotest.sh "storelab$round" -count=1 -timeout 20m ./internal/tracestore/...
	seed=$((RANDOM * 32768 + RANDOM + 1))
done
