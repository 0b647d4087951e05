# The few commands of the house; everything else is cargo's. `make help` lists them.

CARGO ?= cargo
TARGET_DIR := $(or $(CARGO_TARGET_DIR),$(CURDIR)/target)
# Scenario tests start the real programs from here.
export TOMBOLO_BIN_DIR ?= $(TARGET_DIR)/debug

.PHONY: help build demo test lint bench clean
.DEFAULT_GOAL := help

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-8s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the programs, tombolo, tombolo-cni and tombolo-docker, for use
	$(CARGO) build --release -p tombolo -p tombolo-cni -p tombolo-docker

demo: ## three hosts, six containers, one network, on this machine; nothing stays behind
	deploy/setup-debian.sh demo
	$(CARGO) build --release -p tombolo -p tombolo-cni -p tombolo-docker
	$(TARGET_DIR)/release/tombolo lab demo

test: ## install what the tests need, and run them all
	deploy/setup-debian.sh test
	-deploy/full-kernel.sh $(TARGET_DIR)/tools
	$(CARGO) build --workspace --bins
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
	    set -x; $(CARGO) test --quiet --workspace --doc && $(CARGO) nextest run --workspace; \
	else \
	    set -x; $(CARGO) test --workspace --no-fail-fast; \
	fi

lint: ## formatting, clippy, sizes, dependency arrows, ledgers
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	$(CARGO) xtask shape
	$(CARGO) xtask layers
	$(CARGO) xtask spec

bench: export TOMBOLO_BIN_DIR = $(TARGET_DIR)/release
bench: ## measure, ours beside the peers: everything, or one by NAME=bgp|cni|datapath|docker|planner|policy|repair
	deploy/setup-debian.sh test
	$(CARGO) build --release -p tombolo -p tombolo-cni -p tombolo-docker
	$(CARGO) bench -p tombolo-benches $(if $(NAME),--bench $(NAME),--benches)

clean: ## remove what was built
	$(CARGO) clean
