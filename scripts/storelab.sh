#!/usr/bin/env bash
# The store's laboratory: faults at every file operation and crashes between
# them, random histories, several times with seeds of their own. The unit stage
# runs each once; what this adds is more of the space that seeds open. With
# ROENTGEN_CRASH=full every operation is visited in one run, which takes long.
set -euo pipefail
cd "$(dirname "$0")/.."

for round in $(seq "${ROUNDS:-2}"); do
	seed=$((RANDOM * 32768 + RANDOM + 1))
	echo "round $round, ROENTGEN_SEED=$seed"
	ROENTGEN_SEED=$seed scripts/gotest.sh "storelab$round" -count=1 -timeout 20m ./internal/tracestore/...
done
