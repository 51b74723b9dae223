#!/usr/bin/env bash
# Builds and checks the web page.
#
#   scripts/ui.sh build        builds ui/dist
#   scripts/ui.sh check        types, unit tests, and a build that has to equal ui/dist
#   scripts/ui.sh e2e          the page in Chromium against bin/roentgen
#   scripts/ui.sh screenshots  pictures of every page into .build/screenshots
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD
packages() {
	if [ ! -d ui/node_modules/vite ]; then
		(cd ui && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
	fi
}

# build DIR: builds the page into DIR.
build() { (cd ui && npx vite build --logLevel warn --outDir "$1" --emptyOutDir); }

case ${1:-} in
build)
	packages
	build "$root/ui/dist"
	;;
check)
	packages
	(cd ui && npx tsc --noEmit)
	mkdir -p .build
	(cd ui && npx vitest run --reporter=dot)
	build "$root/.build/ui-dist"
	if ! diff -rq .build/ui-dist ui/dist; then
		echo "ui/dist is not what its sources build; run make ui and commit it" >&2
		exit 1
	fi
	echo "ui/dist is what its sources build"
	;;
e2e)
	packages
	cd ui
	# A browser on a busy machine is late now and then. A file that fails is run once more, and
	# said to be unstable when it passes then, so that somebody looks into it.
	failed=()
	for file in e2e/*.test.mjs; do
		echo "--- $file"
		node --test --test-reporter=spec "$file" || failed+=("$file")
	done
	bad=0
	for file in ${failed[@]+"${failed[@]}"}; do
		echo "--- $file, once more"
		if node --test --test-reporter=spec "$file"; then
			echo "!!! UNSTABLE: $file failed, and passed when run once more; see above for what failed" >&2
		else
			bad=1
		fi
	done
	exit $bad
	;;
screenshots)
	packages
	(cd ui && node e2e/screenshots.mjs "$root/.build/screenshots" "${@:2}")
	;;
*)
	echo "usage: scripts/ui.sh build|check|e2e|screenshots" >&2
	exit 2
	;;
esac
