#!/usr/bin/env bash
# Long runs of what the tests do briefly, until SOAK is over (1h unless set):
# the store's laboratory at every operation, kills of the real process, the race
# detector and the fuzz targets, round after round. Stops at the first failure.
set -euo pipefail
cd "$(dirname "$0")/.."

length=${SOAK:-1h}
case $length in
*h) seconds=$((${length%h} * 3600)) ;;
*m) seconds=$((${length%m} * 60)) ;;
*s) seconds=${length%s} ;;
*) echo "soak: SOAK=$length is not a number of h, m or s" >&2; exit 2 ;;
esac

round=0
while [ "$SECONDS" -lt "$seconds" ]; do
	round=$((round + 1))
	echo "=== soak: round $round after $((SECONDS / 60)) min of $((seconds / 60))"
	ROENTGEN_SEED=$((RANDOM * 32768 + RANDOM + 1)) ROENTGEN_CRASH=full scripts/storelab.sh
	scripts/gotest.sh soak-e2e -count=1 -timeout 60m ./test/e2e/...
	make --no-print-directory race
	FUZZTIME=30s scripts/fuzz.sh
done
echo "=== soak: $round rounds, nothing failed"
