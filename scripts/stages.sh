#!/usr/bin/env bash
# Runs make targets one after the other, each under a headline and with the time
# it took, and stops at the first that fails. Ends with the times and with a
# count of the Go tests that ran.
#
#   scripts/stages.sh fmt vet unit
set -uo pipefail
cd "$(dirname "$0")/.."

out=.build/test
rm -rf "$out" && mkdir -p "$out"

bold='' red='' plain=''
if [ -t 1 ]; then bold=$'\e[1m' red=$'\e[31m' plain=$'\e[0m'; fi

clock() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

# count prints how many test events of one kind the stages recorded.
count() {
	cat "$out"/*.jsonl 2>/dev/null | grep -F '"Test":' | grep -c "\"Action\":\"$1\"" || true
}

begin=$SECONDS
done_stages=()
n=0
for stage in "$@"; do
	n=$((n + 1))
	printf '\n%s=== %d/%d %s%s\n' "$bold" "$n" "$#" "$stage" "$plain"
	at=$SECONDS
	if ! make --no-print-directory "$stage"; then
		printf '\n%s%s=== FAILED in stage %s after %s. To see it alone: make %s%s\n' \
			"$bold" "$red" "$stage" "$(clock $((SECONDS - at)))" "$stage" "$plain" >&2
		exit 1
	fi
	took=$(clock $((SECONDS - at)))
	done_stages+=("$(printf '%6s  %s' "$took" "$stage")")
	printf -- '--- %s: %s\n' "$stage" "$took"
done

printf '\n%s=== all stages passed in %s%s\n' "$bold" "$(clock $((SECONDS - begin)))" "$plain"
printf '%s\n' "${done_stages[@]}"

skipped=$(count skip)
if [ "$skipped" -gt 0 ]; then
	printf '\nskipped tests, and why:\n'
	cat "$out"/*.jsonl | python3 scripts/skips.py
fi
printf '\n%s passed, %s failed, %s skipped\n' "$(count pass)" "$(count fail)" "$skipped"
