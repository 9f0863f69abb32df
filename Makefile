# Everything a developer or CI runs. `make` alone lists the targets.
# Only Rust has to be there; `make test` fetches the rest itself (.ci/setup).

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# Tools and the Python environment live under cargo's folder, so `make clean` takes them too.
TARGET := $(abspath $(or $(CARGO_TARGET_DIR),target))
TOOLS := $(TARGET)/tools
export PATH := $(TOOLS)/bin:$(PATH)

# Built from source in about two minutes on two cores, once; pinned so that CI does not change by
# itself.
CARGO_DENY := 0.20.2
CARGO_FUZZ := 0.13.2

# Time for each fuzz target of `make fuzz`, in seconds.
FUZZ_SECONDS ?= 60

step = @printf '\n== %s\n' '$(1)'

.PHONY: help
help: ## List the targets
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' Makefile | sort | expand -t 14

.PHONY: test
test: setup lint deny ## Everything CI checks: lints, licences, unit, end-to-end and replay tests
	$(call step,tests)
	cargo test --workspace --locked --quiet --no-fail-fast

.PHONY: setup
setup: ## Install what the tests need and this machine lacks
	$(call step,set-up)
	@TARGET='$(TARGET)' .ci/setup

.PHONY: lint
lint: ## Formatting, clippy and documentation, warnings are errors
	$(call step,formatting)
	cargo fmt --all --check
	$(call step,clippy)
	cargo clippy --workspace --all-targets --locked --quiet -- -D warnings
	$(call step,documentation)
	RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --document-private-items --locked --quiet

# The advisories change with the world outside and need GitHub, so they are a target of their own:
# a commit that passed keeps passing.
.PHONY: deny
deny: $(TOOLS)/bin/cargo-deny ## Licences, banned packages and sources of the dependencies
	$(call step,dependencies)
	cargo-deny --all-features --locked --config .deny.toml check --hide-inclusion-graph --allow duplicate bans licenses sources

.PHONY: advisories
advisories: $(TOOLS)/bin/cargo-deny ## Known vulnerabilities of the dependencies (needs GitHub)
	$(call step,advisories)
	cargo-deny --all-features --locked --config .deny.toml check --hide-inclusion-graph

.PHONY: bench
bench: ## The criterion benches
	$(call step,benches)
	cargo bench --package weir-benches --locked

# One build of both, so that they are of one commit. LOAD holds options: `make load LOAD=--viewers=400`.
.PHONY: load
load: ## A load run of a relay of its own, with a report as HTML
	cargo build --release --locked --package weir-relay --package weir-loadtest
	$(TARGET)/release/weir-loadtest run --html $(TARGET)/load.html --json $(TARGET)/load.json $(LOAD)
	@printf 'drawn in %s\n' '$(TARGET)/load.html'

# The peers are installed outside the repository and stay there over `make clean`. PEERS_ARGS holds
# options of `weir-loadtest peers`.
PEERS ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/weir/peers

.PHONY: peers
peers: ## The same work through Weir, moq-relay and nginx-rtmp, and the table of ratios
	@PEERS='$(PEERS)' .ci/peers
	cargo build --release --locked --package weir-relay --package weir-loadtest
	$(TARGET)/release/weir-loadtest peers --moq-relay '$(PEERS)/bin/moq-relay' \
		--table $(TARGET)/peers.md --jsonl $(TARGET)/peers.jsonl --html $(TARGET)/peers.html $(PEERS_ARGS)

# Installed from their registries, outside the repository, and kept over `make clean`.
INTEROP ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/weir/interop

.PHONY: interop
interop: ## Weir with the programs of others; writes relay/docs/interop.md
	@INTEROP='$(INTEROP)' .ci/interop/install
	cargo build --release --locked --package weir-relay
	WEIR=$(TARGET)/release/weir .ci/interop/run '$(INTEROP)'

# PLAYER_PEERS names the folder of `make interop`'s programs: then their player is measured, too.
# PLAYER_LOSS_SECONDS and PLAYER_GLASS_SECONDS make it shorter; PLAYER=glass measures that alone.
.PHONY: player-bench
player-bench: setup ## The player in Chromium: start-up, glass to glass, ten minutes of lost packets
	cargo build --release --locked --package weir-relay
	WEIR=$(TARGET)/release/weir PLAYER_PEERS='$(PLAYER_PEERS)' cargo test --workspace --locked \
		--quiet --test player_bench -- $(or $(PLAYER),start glass loss $(if $(PLAYER_PEERS),peers))

# Options of `weir-loadtest run`; HOP='--viewers 400 --frame-bytes 4000' measures another work.
.PHONY: hop
hop: ## What an edge adds: latency and CPU at its viewers beside the origin's
	cargo build --release --locked --package weir-relay --package weir-loadtest
	.ci/interop/hop $(TARGET)/release/weir $(TARGET)/release/weir-loadtest $(HOP)

# Findings grow a corpus under target/; what is worth keeping is copied to fuzz/corpus by hand.
# RUSTC_BOOTSTRAP lets a stable toolchain take the sanitizer flags; fat LTO, which releases have,
# loses the symbols of their coverage counters.
.PHONY: fuzz
fuzz: $(TOOLS)/bin/cargo-fuzz ## Each fuzz target for FUZZ_SECONDS (60); FUZZ=name for one
	@for target in $(or $(FUZZ),$(basename $(notdir $(wildcard fuzz/fuzz_targets/*.rs)))); do \
		printf '\n== fuzzing %s for %s s\n' "$$target" '$(FUZZ_SECONDS)'; \
		mkdir -p "$(TARGET)/corpus/$$target"; \
		RUSTC_BOOTSTRAP=1 CARGO_PROFILE_RELEASE_LTO=off cargo fuzz run --features libfuzzer "$$target" \
			"$(TARGET)/corpus/$$target" "fuzz/corpus/$$target" -- -max_total_time=$(FUZZ_SECONDS); \
	done

# Each seed is a world of publishers, viewers and networks in virtual time; `WEIR_SEED=N` is one.
# Optimised, as thousands of them are a lot of work.
SEEDS ?= 5000

.PHONY: simulate
simulate: ## SEEDS (5000) seeded simulations of the relay's core
	WEIR_SEEDS=$(SEEDS) CARGO_PROFILE_DEV_OPT_LEVEL=2 cargo test --workspace --lib --locked --quiet simulation -- --nocapture

# Memory, descriptors, threads and latency over time, under churn; `make soak SOAK_SECONDS=7200`.
SOAK_SECONDS ?= 120

.PHONY: soak
soak: ## Churn, reconnects and slow viewers for SOAK_SECONDS (120); plots under target/soak
	cargo build --release --locked --package weir-relay --package weir-loadtest
	.ci/soak $(TARGET)/release/weir $(TARGET)/release/weir-loadtest $(SOAK_SECONDS) $(TARGET)/soak

.PHONY: clean
clean: ## Remove everything built
	cargo clean

$(TOOLS)/bin/cargo-deny:
	$(call step,cargo-deny $(CARGO_DENY))
	cargo install cargo-deny --version $(CARGO_DENY) --locked --quiet --root $(TOOLS)

$(TOOLS)/bin/cargo-fuzz:
	$(call step,cargo-fuzz $(CARGO_FUZZ))
	cargo install cargo-fuzz --version $(CARGO_FUZZ) --locked --quiet --root $(TOOLS)
