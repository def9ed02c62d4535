# The commands for contributors. `make help` lists them; ARGS passes options, as in `make dev ARGS="--port 4000"`.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
ARGS ?=

# A build uses exactly the versions of Cargo.lock.
CARGO_LOCKED := --locked

.PHONY: help dev test bench explain conformance fuzz lint contracts generate setup

help: ## list these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | awk -F'\t' '{ printf "  make %-12s %s\n", $$1, $$2 }'

dev: ## run everything on this machine: database, chain, demo market, indexer, gateway and page
	@scripts/setup dev
	@[ -e target/debug/chaincast ] || echo "make dev: the first build takes about ten minutes on two cores, and 2 GB of disk"
	@cargo build $(CARGO_LOCKED) --bin chaincast
	@exec target/debug/chaincast dev $(ARGS)

test: ## run all tests
	@scripts/setup test
	cargo test --workspace $(CARGO_LOCKED) $(ARGS)
	node clients/typescript/test/run.mjs
	node --test tests/browser/format.test.mjs tests/browser/candles.test.mjs tests/browser/layout.test.mjs tests/browser/first.test.mjs
	clients/python/test

bench: ## run the performance suites: target/bench/*.json, docs/performance.md; ARGS="-- --quick fanout"
	@scripts/setup bench
	cargo bench $(CARGO_LOCKED) --bench realtime --bench backfill --bench prices $(ARGS)

explain: ## load 10 million logs, measure sizes and explain every read query: docs/schema.md; 15 GB of disk
	@scripts/setup dev
	cargo run $(CARGO_LOCKED) --release --example explain -- --write docs/schema.md $(ARGS)

conformance: ## run the Autobahn suite against the WebSocket stack; needs Python 2.7
	@scripts/autobahn $(ARGS)

fuzz: ## fuzz the frame codec and the parsers, a minute each; ARGS="600 frames" for longer
	@scripts/fuzz $(ARGS)

lint: ## check formatting, lints, docs, links, dependencies and that generated files are current
	@scripts/setup dev
	cargo fmt --all --check
	rustfmt --edition 2024 --check crates/prices/src/exchange/*.rs # declared by a macro, which cargo fmt does not read
	cargo clippy --workspace $(CARGO_LOCKED) --all-targets -- -D warnings
	cargo clippy $(CARGO_LOCKED) --lib --bins -- -D warnings # as shipped: without the features of tests
	RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" cargo doc --workspace $(CARGO_LOCKED) --no-deps --document-private-items
	scripts/compile-contracts --check
	scripts/generate --check
	scripts/vendor --check
	scripts/check-deps
	scripts/check-links

contracts: ## recompile contracts/ into contracts/artifacts/ and abi/
	@scripts/setup dev
	scripts/compile-contracts

generate: ## write config/default.toml, docs/asyncapi.yaml, docs/realtime.d.ts and web/client.js from the sources
	@scripts/setup dev
	scripts/generate

setup: ## install missing tools for development and tests
	@scripts/setup test
