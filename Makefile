# make demo and make test are the two commands; see README.md.

# Everything that is fetched and built lives in a cache outside the checkout, so that a fresh clone starts warm.
APPMIGRATION_CACHE ?= $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/appmigration
CARGO_TARGET_DIR ?= $(APPMIGRATION_CACHE)/target
export APPMIGRATION_CACHE CARGO_TARGET_DIR

.PHONY: help
help:
	@echo 'make demo      a consumer group moves between two real Kafka clusters; KEEP=1 leaves all of it running'
	@echo 'make test      every test, on real servers; KAFKA=3.9.2 takes another Kafka than 4.3.1'
	@echo 'make test-all  the same, with the long random series whole, and make image with REPRODUCE=1'
	@echo 'make image     the image without a container engine: its binary in an empty root; REPRODUCE=1 builds it twice'
	@echo 'make soak      1,000 migrations, and half an hour of coming and going: memory, threads, requests, times'
	@echo 'make bench     how long positions take to be found, beside other ways on the same logs'
	@echo 'make fuzz      the decoders and parsers against random input, 60 s each; FUZZ_SECONDS=… is longer, ONLY=… one'
	@echo 'make deny      licences, bans and sources of all dependencies'
	@echo 'make generate  writes crds/ and the tables of docs/reference.md anew'
	@echo 'make fmt       formats the source'

.PHONY: demo
demo:
	@tests/check-tools
	@demo/run

.PHONY: test
test:
	@tests/check-tools
	@tests/all

# The mapping rules against random histories of two clusters: 4 x 40,000, and 4 x 512 in `make test`. The crash
# matrix and everything else of tests/README.md that is sampled there, whole.
.PHONY: test-all
test-all:
	@tests/check-tools
	@LARGE=$${LARGE:-12} PROPTEST_CASES=$${PROPTEST_CASES:-20000} tests/all
	@if [ "$$(uname) $$(id -u)" = "Linux 0" ]; then REPRODUCE=1 tests/image/run; else echo 'make image is left out: it needs Linux and root'; fi

# What the Dockerfile would make, as far as it can be seen without a container engine. Linux, and root for chroot.
.PHONY: image
image:
	@tests/check-tools
	@tests/image/run

# Many objects, and a long time: memory, threads, requests, and the time from the confirmation to the end.
.PHONY: soak
soak: export SOAK ?= 1800
soak:
	@tests/check-tools
	cargo build --locked --release --bin appmigration
	cargo test --locked --features crash-points --test resilience --no-run
	APPMIGRATION_BIN=$(CARGO_TARGET_DIR)/release/appmigration tests/stack/stack run \
	  cargo test --locked --features crash-points --test resilience -- --nocapture --test-threads 1 load::

# How long the search takes, beside other ways on the same logs. Also in target/bench.jsonl.
.PHONY: bench
bench:
	@tests/check-tools
	cargo build --locked --release --example bench
	@tests/stack/stack run $(CARGO_TARGET_DIR)/release/examples/bench $(ONLY)

# Licences, bans and sources of all dependencies, by deny.toml. Advisories need a database from the network.
DENY := 0.20.2
.PHONY: deny
deny:
	@tests/check-tools
	@test -x $(APPMIGRATION_CACHE)/cargo-deny-$(DENY)/bin/cargo-deny || CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/cargo-deny \
	  cargo install cargo-deny --version $(DENY) --locked --quiet --root $(APPMIGRATION_CACHE)/cargo-deny-$(DENY)
	$(APPMIGRATION_CACHE)/cargo-deny-$(DENY)/bin/cargo-deny check licenses bans sources

# The decoders against random input, FUZZ_SECONDS each. What is found is in target/fuzz.
.PHONY: fuzz
fuzz:
	@tests/check-tools
	@fuzz/run $(ONLY)

.PHONY: generate
generate:
	@tests/check-tools
	UPDATE_GENERATED=1 cargo test --locked --test generated

.PHONY: fmt
fmt:
	cargo fmt
