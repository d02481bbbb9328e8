# make help lists the targets. Everything is built from the Go module proxy; nothing outside this
# folder is changed, but for the compiler that `make test` may have to install.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

BIN := $(CURDIR)/bin
ARCH ?= amd64 arm64
IMAGE ?= ghcr.io/kaana/apikey-operator
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
K8S := $(BIN)/k8s
TOOLS := $(BIN)/tools
CONTROLPLANE := $(addprefix $(K8S)/,etcd kube-apiserver kube-controller-manager kubectl)

export PATH := $(K8S):$(TOOLS):$(PATH)

.PHONY: help
help: ## List the targets.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ Use

.PHONY: run
run: controlplane build ## Start a control plane, the operator and samples; Ctrl-C ends all of it. PORT=… fixes the HTTPS port.
	@CGO_ENABLED=0 go build -trimpath -o $(BIN)/run-local ./hack/run
	@exec $(BIN)/run-local -bin $(BIN) -port "$(or $(PORT),0)"

.PHONY: node
node: controlplane build tools-chart ## Start a real Kubernetes node, without Docker, with the chart installed; Pods run. Root, Linux, cgroup v1.
	@hack/node/try

.PHONY: node-down
node-down: ## End what make node has started.
	@hack/node/node down && echo "The node is gone."

.PHONY: token
token: ## Print a JWT of the local issuer that `make run` started: make -s token USER=admin|member|globex.
	@[ ! -f $(BIN)/run/env ] || . $(BIN)/run/env; go run ./hack/token "$(USER)"

.PHONY: build
build: ## Build bin/apikey-operator and bin/kubectl-apikey.
	@CGO_ENABLED=0 go build -trimpath -ldflags '-s -w -X main.release=$(VERSION)' -o $(BIN) ./cmd/...
	@install -m 755 hack/krew/kubectl_complete-apikey $(BIN)

.PHONY: image
image: ## Write bin/image.tar, an OCI archive for ARCH (amd64 arm64) that needs no Docker to make. The same commit, the same bytes.
	@for arch in $(ARCH); do CGO_ENABLED=0 GOOS=linux GOARCH=$$arch go build -trimpath -buildvcs=false -ldflags '-s -w -X main.release=$(VERSION)' -o $(BIN)/image/$$arch/ ./cmd/apikey-operator; done
	@cd hack/image && go run . -o $(BIN)/image.tar -ref $(IMAGE):$(VERSION) $(foreach arch,$(ARCH),$(arch)=$(BIN)/image/$(arch)/apikey-operator)

.PHONY: controlplane
controlplane: $(CONTROLPLANE) ## Build etcd, kube-apiserver, kube-controller-manager and kubectl into bin/k8s (once).

$(CONTROLPLANE) &: hack/controlplane/go.mod hack/controlplane/go.sum
	@hack/controlplane/build $(K8S)

CADDY := $(BIN)/proxies/caddy

.PHONY: proxies
proxies: $(CADDY) ## Build the proxies of the tests that Debian does not have into bin/proxies (once).

$(CADDY): hack/proxies/go.mod hack/proxies/go.sum
	@echo "Building Caddy into bin/proxies: about 2 minutes the first time, seconds when Go's cache is warm."
	@cd hack/proxies && CGO_ENABLED=0 GOBIN=$(BIN)/proxies go install -trimpath -ldflags '-s -w' tool && touch $@

##@ Check

.PHONY: test
test: controlplane build proxies tools-chart ## Run all tests with the race detector, on a real API server.
	@hack/deps
	@KAANA_BIN=$(BIN) go test -race -timeout 20m ./...

.PHONY: test-soak
test-soak: controlplane build ## Rotate KEYS keys (1000) every ten seconds FOR seconds (60), none refused; then DRAIN overdue ones (10000).
	@KEYS=$(KEYS) FOR=$(FOR) DRAIN=$(DRAIN) go test -tags soak -count=1 -timeout 30m -v ./test/soak

.PHONY: e2e
e2e: controlplane build tools-chart ## Install the image with Helm on a real Kubernetes node, without Docker, and use it from Pods. Root, Linux, cgroup v1.
	@hack/e2e

.PHONY: test-faults-pairs
test-faults-pairs: controlplane ## Let two API calls of a key's life fail, PAIRS times (1000), drawn from SEED.
	@PAIRS=$(PAIRS) SEED=$(SEED) go test -tags pairs -count=1 -timeout 60m -v ./internal/controller -ginkgo.focus 'whatever two API calls fail'

.PHONY: test-lives
test-lives: controlplane ## Lead keys through other random lives than make test does, from SEED.
	@go test -count=1 -timeout 20m -v ./internal/controller -ginkgo.focus 'any life' -rapid.seed "$(or $(SEED),$$RANDOM)"

.PHONY: test-sabotage
test-sabotage: ## Break the code in small ways and want a test to turn red for each.
	@go run ./hack/sabotage

.PHONY: bench
bench: controlplane ## Measure against bare programs on this machine (2 cores, taskset) and print ratios; about 5 minutes. MANY keys (1000000).
	@CGO_ENABLED=0 go build -trimpath -o $(BIN)/bench ./hack/bench
	@$(BIN)/bench -many "$(or $(MANY),1000000)"

.PHONY: fuzz
fuzz: ## Fuzz the parsers of tokens, schedules, templates, JWTs, reviews, checks and ways back from sign-in, a minute each.
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
generate: tools tools-chart ## Generate deep copies, CRD, RBAC, docs/{openapi.yaml,fields.md,chart.md} and what the chart takes of config/.
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
tools-chart: $(TOOLS)/.chart $(BIN)/schemas/.made ## Build Helm and what checks the chart, and the schemas of Kubernetes 1.33 to 1.37 (once).

$(TOOLS)/.chart: hack/chart/go.mod hack/chart/go.sum
	@echo "Building Helm, kubeconform and kube-score into bin/tools: about 2 minutes the first time, seconds when Go's cache is warm."
	@cd hack/chart && CGO_ENABLED=0 GOBIN=$(TOOLS) go install -trimpath -ldflags '-s -w' tool
	@cd / && CGO_ENABLED=0 GOBIN=$(TOOLS) go install -trimpath -ldflags '-s -w' github.com/zegl/kube-score/cmd/kube-score@v1.20.0 # its libraries are older than Helm's
	@touch $@

$(BIN)/schemas/.made: hack/schemas/main.go config/crd/bases/auth.kaana.com_apikeys.yaml
	@go run ./hack/schemas $(BIN)/schemas && touch $@

.PHONY: clean
clean: ## Remove bin/.
	rm -rf $(BIN)
