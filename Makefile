# What a person types. CI runs .ci/run, which is make ci on a fresh machine.

SHELL := bash
.DEFAULT_GOAL := help

GO ?= go
BIN := $(CURDIR)/build/bin
GOLANGCI_VERSION := v2.15.0
GOLANGCI := $(BIN)/golangci-lint-$(GOLANGCI_VERSION)
FUZZTIME ?= 60s
BENCH ?= .

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: fmt
fmt: ## format the code
	gofmt -w $(shell git ls-files -co --exclude-standard '*.go')

.PHONY: lint
lint: $(GOLANGCI) ## check formatting, vet for Linux and macOS, golangci-lint
	@unformatted=$$(git ls-files -co --exclude-standard '*.go' | xargs -r gofmt -l); \
		if [ -n "$$unformatted" ]; then printf 'not formatted, run make fmt:\n%s\n' "$$unformatted"; exit 1; fi
	$(GO) mod verify
	$(GO) vet ./...
	GOOS=darwin $(GO) vet ./...
	$(GOLANGCI) run ./...
	@if command -v shellcheck >/dev/null; then shellcheck .ci/run scripts/vm scripts/vm-image scripts/test-kernel scripts/bench-kernel scripts/check-readme; \
		else echo 'no shellcheck here: scripts not checked'; fi

$(GOLANGCI):
	@mkdir -p $(BIN)
	GOFLAGS= GOBIN=$(BIN) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION)
	mv $(BIN)/golangci-lint $@

# KERNEL_TESTS is for test-kernel: here the tests leave the machine alone.
.PHONY: test
test: ## run the tests that need neither root nor a kernel, with the race detector
	KERNEL_TESTS= $(GO) test -race -shuffle=on ./...
	@KERNEL_TESTS= $(GO) test -run '^TestPackets$$' -v ./proxier | sed -n 's/.*count: \(.*\) \([0-9]*\)$$/\1: \2/p'

.PHONY: test-kernel
test-kernel: ## run the kernel tests on Linux 6.1 and 6.12 in qemu (KERNELS, BACKENDS, PKGS, RUN, BENCH narrow it)
	scripts/test-kernel

# One kernel: what races is our code, which is the same on all.
.PHONY: race-kernel
race-kernel: ## run the contract tests with the race detector on Linux 6.12 (KERNELS, PKGS, RUN)
	RACE=1 KERNELS='$(or $(KERNELS),6.12)' BACKENDS=nft RUN='$(or $(RUN),TestKernel(Client|Contract))' scripts/test-kernel

.PHONY: bench-kernel
bench-kernel: ## compare with libraries, tools and a floor on Linux 6.1 and 6.12, in build/bench/benchmarks.md (KERNELS, RUN)
	scripts/bench-kernel

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME (60s each)
	@set -e; for package in $$($(GO) list ./...); do \
		for target in $$($(GO) test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package; \
		done; \
	done

.PHONY: bench
bench: ## run the benchmarks that need no kernel (BENCH=regexp); on kernels: make test-kernel BENCH=.
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./...

.PHONY: golden
golden: ## rewrite the golden files, in the packages whose tests have a flag -update
	@packages=$$(git grep -l --untracked 'flag\.Bool("update"' -- '*_test.go' | xargs -r -n 1 dirname | sort -u | sed 's,^,./,'); \
		if [ -z "$$packages" ]; then echo 'no package has golden files'; else $(GO) test $$packages -update; fi

.PHONY: readme
readme: ## check that what the README says can be done
	scripts/check-readme

.PHONY: ci
ci: lint test readme test-kernel race-kernel ## all of what CI checks
