#!/usr/bin/env bash
# Installs what the tests need beside Go: Debian packages when a command is
# missing, the Python clients into .venv, the Node clients into
# test/compat/node_modules, the Java clients into test/compat/java/lib, the page's
# packages into ui/node_modules, Go's modules and tools. What is there already is
# left alone.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'tools: %s\n' "$*"; }

# need COMMAND PACKAGE...: install PACKAGE... when COMMAND is not to be found.
need() {
	command -v "$1" >/dev/null || install "$@"
}

# install COMMAND PACKAGE...: install PACKAGE..., which COMMAND comes with.
install() {
	local command=$1
	shift
	if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
		say "$command is missing; please install it (Debian: apt-get install $*)" >&2
		exit 1
	fi
	say "installing $*, for $command"
	[ -n "${updated:-}" ] || { apt-get update -qq && updated=1; }
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

need go golang-go
need git git
need gcc gcc libc6-dev # the race detector
need python3 python3 python3-venv
need node nodejs
need npm npm
need javac default-jdk-headless
need mvn maven
need chromium chromium fonts-liberation fonts-noto-color-emoji # the page's tests

# retry COMMAND...: registries fail at times; three tries, some seconds apart.
retry() {
	local try
	for try in 1 2 3; do
		"$@" && return
		[ "$try" = 3 ] || { say "failed, trying again: $*" >&2; sleep $((try * 5)); }
	done
	say "gave up: $*" >&2
	return 1
}

# fresh STAMP FILE...: does STAMP hold the checksum of FILE...?
sum() { cat "$@" | sha256sum | cut -d ' ' -f 1; }
fresh() { [ "$(cat "$1" 2>/dev/null)" = "$(sum "${@:2}")" ]; }

requirements=test/compat/requirements.txt
if fresh .venv/stamp "$requirements"; then
	say "Python clients are in .venv"
else
	say "installing Python clients into .venv"
	rm -rf .venv
	if ! python3 -m venv .venv; then # Debian keeps ensurepip in a package apart
		install 'python3 -m venv' python3-venv
		python3 -m venv .venv
	fi
	retry .venv/bin/pip install --quiet --disable-pip-version-check --no-deps -r "$requirements"
	.venv/bin/pip check
	sum "$requirements" >.venv/stamp
fi

cd ui
if fresh node_modules/stamp package-lock.json; then
	say "the page's packages are in ui/node_modules"
else
	say "installing the page's packages into ui/node_modules"
	retry npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	sum package-lock.json >node_modules/stamp
fi
cd ..

cd test/compat
if fresh node_modules/stamp package-lock.json; then
	say "Node clients are in test/compat/node_modules"
else
	say "installing Node clients into test/compat/node_modules"
	retry npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	sum package-lock.json >node_modules/stamp
fi
if fresh java/lib/stamp java/pom.xml; then
	say "Java clients are in test/compat/java/lib"
else
	say "installing Java clients into test/compat/java/lib"
	rm -rf java/lib
	retry mvn --quiet --batch-mode --file java/pom.xml dependency:copy-dependencies -DoutputDirectory=lib -DincludeScope=runtime
	sum java/pom.xml >java/lib/stamp
fi
cd ../..

# What a module's packages and tests need is fetched, rather than all that its
# requirements mention.
for module in . demo/xraysdk test/compat/go-sdk test/compat/go-otel test/compat/collector; do
	[ -f "$module/go.mod" ] || continue
	say "Go modules of $module"
	(cd "$module" && retry go list -deps -test ./... >/dev/null)
done
say "Go tools"
scripts/gotools.sh
