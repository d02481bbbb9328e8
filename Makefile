# make help lists the targets. Everything is built from the Go module proxy. Nothing outside this
# folder changes, except that `make test` installs missing Debian packages (see hack/deps).
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

BIN := $(CURDIR)/bin
ARCH ?= amd64 arm64
IMAGE ?= ghcr.io/kaana/apikey-operator
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# The control plane of make run and the tests: KUBERNETES=newest, or oldest, the oldest minor that we support.
KUBERNETES ?= newest
OLDEST := $(shell awk '$$1 == "k8s.io/kubernetes" && $$2 ~ /^v/ {split($$2, v, "."); print "1." v[2]}' hack/controlplane/oldest/go.mod)
K8S := $(BIN)/k8s$(if $(filter oldest,$(KUBERNETES)),-$(OLDEST))
$(if $(filter-out oldest newest,$(KUBERNETES)),$(error KUBERNETES is newest or oldest, not $(KUBERNETES)))
TOOLS := $(BIN)/tools
BUILD = CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.release=$(VERSION)'
KUBERNETES_PROGRAMS := kube-apiserver kube-controller-manager kubectl

export PATH := $(K8S):$(TOOLS):$(PATH)
export KAANA_K8S := $(K8S)

##@ Help

.PHONY: help
help: ## List the targets.
	@awk -F ':.*## ' '/^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Use

.PHONY: run
run: controlplane build ## Start a control plane, the operator and samples until Ctrl-C. PORT=… sets the HTTPS port, KUBERNETES=oldest the version.
	@CGO_ENABLED=0 go build -trimpath -o $(BIN)/run-local ./hack/run
	@exec $(BIN)/run-local -bin $(BIN) -k8s $(K8S) -port "$(or $(PORT),0)"

.PHONY: reload
reload: ## Rebuild the operator and restart the two processes of a running `make run`.
	@[ -e $(BIN)/run/pid ] || { echo "make reload: make run is not ready in this folder: start it in another terminal first" >&2; exit 1; }
	@start=$$(date +%s%3N); $(BUILD) -o $(BIN) ./cmd/apikey-operator; built=$$(date +%s%3N); \
	$(BIN)/run-local -bin $(BIN) -reload; end=$$(date +%s%3N); \
	echo "Reloaded in $$((end - start)) ms (build $$((built - start)), restart $$((end - built)))."

.PHONY: node
node: controlplane build tools-chart ## Start a real Kubernetes node without Docker and install the chart. Needs root, Linux, cgroup v1.
	@hack/node/try

.PHONY: node-down
node-down: ## Stop the node that `make node` started.
	@hack/node/node down && echo "The node is gone."

.PHONY: token
token: ## Print a JWT of the local issuer that `make run` started: make -s token USER=admin|member|globex.
	@[ ! -f $(BIN)/run/env ] || . $(BIN)/run/env; go run ./hack/token "$(USER)"

.PHONY: build
build: ## Build bin/apikey-operator and bin/kubectl-apikey.
	@$(BUILD) -o $(BIN) ./cmd/...
	@install -m 755 hack/krew/kubectl_complete-apikey $(BIN)

.PHONY: image
image: ## Write bin/image.tar, an OCI archive for ARCH (amd64 arm64), without Docker. The build is reproducible.
	@for arch in $(ARCH); do CGO_ENABLED=0 GOOS=linux GOARCH=$$arch go build -trimpath -buildvcs=false -ldflags '-s -w -X main.release=$(VERSION)' -o $(BIN)/image/$$arch/ ./cmd/apikey-operator; done
	@cd hack/image && go run . -o $(BIN)/image.tar -ref $(IMAGE):$(VERSION) $(foreach arch,$(ARCH),$(arch)=$(BIN)/image/$(arch)/apikey-operator)

.PHONY: controlplane
controlplane: $(addprefix $(K8S)/,etcd $(KUBERNETES_PROGRAMS)) ## Build etcd, kube-apiserver, kube-controller-manager and kubectl (once). KUBERNETES=oldest: of the oldest supported version.

$(addprefix $(BIN)/k8s/,etcd $(KUBERNETES_PROGRAMS)) &: hack/controlplane/go.mod hack/controlplane/go.sum
	@hack/controlplane/build $(BIN)/k8s

$(addprefix $(BIN)/k8s-$(OLDEST)/,$(KUBERNETES_PROGRAMS)) &: hack/controlplane/oldest/go.mod hack/controlplane/oldest/go.sum
	@MODULE=oldest hack/controlplane/build $(BIN)/k8s-$(OLDEST) $(KUBERNETES_PROGRAMS)

# Both versions run on one etcd.
$(BIN)/k8s-$(OLDEST)/etcd: hack/controlplane/go.mod hack/controlplane/go.sum
	@if [ -x $(BIN)/k8s/etcd ]; then mkdir -p $(@D); ln -sf ../k8s/etcd $@; else hack/controlplane/build $(@D) etcd; fi

CADDY := $(BIN)/proxies/caddy

.PHONY: proxies
proxies: $(CADDY) ## Build the proxies that the tests use and Debian does not package into bin/proxies (once).

$(CADDY): hack/proxies/go.mod hack/proxies/go.sum
	@echo "Building Caddy into bin/proxies: about 2 minutes the first time, seconds when Go's cache is warm."
	@cd hack/proxies && CGO_ENABLED=0 GOBIN=$(BIN)/proxies go install -trimpath -ldflags '-s -w' tool && touch $@

##@ Check

.PHONY: unit
unit: ## Run the tests that need only Go: no control plane, browser, database or built program.
	@packages=$$(hack/needs none ./...); go test -short $$packages

# What tests need besides Go. A package that hack/needs does not list needs only the compiler of the race detector.
ifneq ($(and $(PKG),$(if $(shell hack/needs programs $(PKG)),,only-go)),)
TEST_DEPS = compiler
else
TEST_PROGRAMS = controlplane build proxies tools-chart
endif

.PHONY: test
test: $(TEST_PROGRAMS) ## Run the tests with the race detector, on a real API server. PKG=./internal/apikey RUN=TestDecide: only these. KUBERNETES=oldest: on that version.
	@hack/deps $(TEST_DEPS)
	@go test -race -timeout 20m $(if $(RUN),-run '$(RUN)') $(or $(PKG),./...)

.PHONY: vulnerabilities
vulnerabilities: ## Look for known vulnerabilities in what the programs call, with govulncheck. Needs the internet.
	@go run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...

.PHONY: test-soak
test-soak: controlplane build ## Rotate KEYS keys (1000) every ten seconds FOR seconds (60) without a denial, then DRAIN overdue keys (10000).
	@KEYS=$(KEYS) FOR=$(FOR) DRAIN=$(DRAIN) go test -tags soak -count=1 -timeout 30m -v ./test/soak

.PHONY: e2e
e2e: controlplane build tools-chart ## Install the image with Helm on a real node and use it from Pods. Needs root, Linux, cgroup v1.
	@hack/e2e

.PHONY: test-faults-pairs
test-faults-pairs: controlplane ## Fail two API calls in the lifecycle of a key, PAIRS times (1000), chosen from SEED.
	@PAIRS=$(PAIRS) SEED=$(SEED) go test -tags pairs -count=1 -timeout 60m -v ./internal/controller -ginkgo.focus 'whatever two API calls fail'

.PHONY: test-lives
test-lives: controlplane ## Run random key lifecycles from another SEED than `make test` does.
	@go test -count=1 -timeout 20m -v ./internal/controller -ginkgo.focus 'any life' -rapid.seed "$(or $(SEED),$$RANDOM)"

.PHONY: test-sabotage
test-sabotage: ## Break the code in small ways and check that a test fails for each. FILE=internal/keyring: only these files.
	@go run ./hack/sabotage $(FILE)

.PHONY: bench
bench: controlplane ## Compare the server with minimal programs on this machine and print ratios, with MANY keys (1000000); about 6 minutes.
	@CGO_ENABLED=0 go build -trimpath -o $(BIN)/bench ./hack/bench
	@$(BIN)/bench -many "$(or $(MANY),1000000)"

.PHONY: fuzz
fuzz: ## Fuzz the parsers of tokens, schedules, templates, JWTs, reviews, checks and sign-in redirects, a minute each.
	@for f in FuzzDigest FuzzSchedule FuzzTemplate; do go test ./internal/apikey -run '^$$' -fuzz $$f -fuzztime 60s; done
	@go test ./internal/door -run '^$$' -fuzz FuzzTokenReview -fuzztime 60s
	@go test ./internal/door/envoy -run '^$$' -fuzz FuzzCheckRequest -fuzztime 60s
	@go test ./internal/authn/jwt -run '^$$' -fuzz FuzzToken -fuzztime 60s
	@go test ./internal/web/session -run '^$$' -fuzz FuzzLocal -fuzztime 60s

.PHONY: verify
verify: controlplane tools tools-chart ## Check generated files, format, vet, lint and manifests.
	@hack/verify

##@ Change

.PHONY: generate
generate: tools tools-chart ## Generate deep copies, CRD, RBAC, docs/{openapi.yaml,fields.md,chart.md} and the chart's copies of config/.
	@controller-gen object:headerFile=hack/boilerplate.go.txt paths=./api/...
	@controller-gen crd paths=./api/... output:crd:dir=config/crd/bases
	@controller-gen rbac:roleName=apikey-operator-controller paths=./internal/controller paths=./internal/admission output:rbac:dir=config/rbac/controller
	@controller-gen rbac:roleName=apikey-operator-server paths=./internal/keyring paths=./internal/manage output:rbac:dir=config/rbac/server
	@hack/chart/generate
	@go run ./hack/openapi > docs/openapi.yaml.part && mv docs/openapi.yaml.part docs/openapi.yaml
	@go run ./hack/fields

.PHONY: lint
lint: tools ## Run golangci-lint.
	@golangci-lint run

.PHONY: tools
tools: $(TOOLS)/.built ## Build the tools pinned in hack/tools (once).

$(TOOLS)/.built: hack/tools/go.mod hack/tools/go.sum
	@echo "Building controller-gen and golangci-lint into bin/tools: about 4 minutes the first time, seconds when Go's cache is warm."
	@cd hack/tools && GOBIN=$(TOOLS) go install tool && touch $@

.PHONY: tools-chart
tools-chart: $(TOOLS)/.chart $(TOOLS)/.rules $(BIN)/schemas/.made ## Build Helm, the chart's linters, promtool and the schemas of Kubernetes 1.33 to 1.37 (once).

$(TOOLS)/.chart: hack/chart/go.mod hack/chart/go.sum
	@echo "Building Helm, kubeconform and kube-score into bin/tools: about 2 minutes the first time, seconds when Go's cache is warm."
	@cd hack/chart && CGO_ENABLED=0 GOBIN=$(TOOLS) go install -trimpath -ldflags '-s -w' tool
	@cd / && CGO_ENABLED=0 GOBIN=$(TOOLS) go install -trimpath -ldflags '-s -w' github.com/zegl/kube-score/cmd/kube-score@v1.20.0 # its libraries are older than Helm's
	@touch $@

$(TOOLS)/.rules: hack/rules/go.mod hack/rules/go.sum
	@echo "Building promtool into bin/tools: about 2 minutes the first time, seconds when Go's cache is warm."
	@cd hack/rules && CGO_ENABLED=0 GOBIN=$(TOOLS) go install -trimpath -tags remove_all_sd -ldflags '-s -w' tool && touch $@

$(BIN)/schemas/.made: hack/schemas/main.go config/crd/bases/auth.kaana.com_apikeys.yaml
	@go run ./hack/schemas $(BIN)/schemas && touch $@

.PHONY: clean
clean: ## Remove bin/.
	rm -rf $(BIN)
