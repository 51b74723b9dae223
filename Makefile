# Roentgen. `make` alone lists the targets.

GO      ?= go
BIN     := bin/roentgen
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION)

# What `make test` runs, in this order: what is quick to fail comes first.
STAGES := tools fmt vet lint page build cross unit race storelab e2e page-e2e compat generated clean-tree

# Where stages leave what they measured. Git does not see it.
OUT := .build

# How long `make fuzz` spends on each target.
FUZZTIME ?= 10s

# Every Go module of the repository: the product, and the ones that keep the
# dependencies of test programs, of the demo and of tools away from it.
MODULES := . $(patsubst %/go.mod,%,$(wildcard demo/xraysdk/go.mod test/compat/go-sdk/go.mod test/compat/go-otel/go.mod test/compat/collector/go.mod))

# Packages that are tested in stages of their own.
APART := /test/(e2e|compat|storelab|soak|bench)($$|/)

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@echo "Roentgen: a self-hosted tracing system that speaks AWS X-Ray."
	@echo
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "make test runs these stages, each of which is a target too:"
	@echo "$(STAGES)" | fold -s -w 72 | sed 's/^/  /'

# ---- use ----

.PHONY: demo
demo: binary ## build and run the demo shop; Ctrl-C ends it
	@scripts/demo.sh $(DEMO)

.PHONY: binary
binary:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN) ./cmd/roentgen

.PHONY: build
build: binary ## build bin/roentgen (static, no cgo) and the modules beside it
	@for d in $(filter-out .,$(MODULES)); do echo "(cd $$d && $(GO) build ./...)"; (cd $$d && $(GO) build -o /dev/null ./...) || exit 1; done

.PHONY: cross
cross: ## compile for linux/arm64 and darwin/arm64
	CGO_ENABLED=0 GOOS=linux GOARCH=arm64 $(GO) build -o /dev/null ./cmd/roentgen
	CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 $(GO) build -o /dev/null ./cmd/roentgen

.PHONY: ui
ui: ## build the web page into ui/dist, which is committed
	@scripts/ui.sh build

.PHONY: screenshots
screenshots: binary ## pictures of every page, both themes, three widths, into .build/screenshots
	@scripts/ui.sh screenshots

# ---- check ----

.PHONY: test check
test: ## everything that CI checks, in stages
	@scripts/stages.sh $(STAGES)
check: test

.PHONY: tools
tools: ## install what the tests need beside Go (Debian packages, .venv, node_modules, jars)
	@scripts/tools.sh

.PHONY: fmt
fmt: ## fail on Go files that gofmt would change
	@files=$$(git ls-files -co --exclude-standard '*.go' | xargs -r ls -d 2>/dev/null | xargs -r gofmt -l); \
	if [ -n "$$files" ]; then echo "not formatted; run gofmt -w on:"; echo "$$files"; exit 1; fi

.PHONY: vet
vet: ## go vet, every module
	@for d in $(MODULES); do echo "go vet: $$d"; (cd $$d && $(GO) vet ./...) || exit 1; done

.PHONY: lint
lint: ## the linter, for bugs rather than taste
	@scripts/lint.sh

.PHONY: page
page: ## the web page: types, tests of its logic, and whether ui/dist is what its sources build
	@scripts/ui.sh check

.PHONY: page-e2e
page-e2e: binary ## the web page in a real Chromium against the real process
	@scripts/ui.sh e2e

.PHONY: unit
unit: ## tests of every package but the store's, fuzz seeds included
	@scripts/gotest.sh unit $$($(GO) list ./... | grep -Ev '$(APART)|/internal/tracestore($$|/)')

.PHONY: race
race: ## packages that start goroutines, under the race detector; the laboratory samples less
	@CGO_ENABLED=1 scripts/gotest.sh race -race -short -timeout 20m $$(scripts/concurrent.sh | grep -Ev '$(APART)')

.PHONY: storelab
storelab: ## the store: conformance, random histories, faults at every file operation, crashes
	@scripts/storelab.sh

.PHONY: e2e
e2e: ## the real process, killed at random moments
	@scripts/gotest.sh e2e -count=1 -timeout 20m ./test/e2e/...

.PHONY: compat
compat: ## real AWS clients and X-Ray SDKs against the real process
	@scripts/gotest.sh compat -count=1 -timeout 20m ./test/compat/...

.PHONY: generated
generated: ## fail when generated files differ from what go generate writes
	@scripts/generated.sh

.PHONY: clean-tree
clean-tree: # in CI: the stages left nothing behind
	@if [ "$${CI:-}" = true ] && [ -n "$$(git status --porcelain)" ]; then \
		echo "the stages changed the work tree:"; git status --porcelain; exit 1; fi

# ---- longer ----

.PHONY: fuzz
fuzz: ## fuzz every target for FUZZTIME (10s each)
	@FUZZTIME=$(FUZZTIME) scripts/fuzz.sh

.PHONY: soak
soak: ## the laboratory, kills, races and fuzzing for an hour (SOAK=10m for less)
	@scripts/soak.sh

.PHONY: bench
bench: binary ## measure ingest and reads on this machine (see docs/performance.md)
	@test/bench/run.sh $(BENCH)

.PHONY: clean
clean: ## remove what was built or installed inside this folder
	rm -rf bin $(OUT) .venv test/compat/node_modules test/compat/java/lib ui/node_modules
