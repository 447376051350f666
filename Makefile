# Everything this project needs beyond rustup, make and apt is installed by these targets: pinned, and kept outside the clone.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

CACHE ?= $(or $(OXIDE_CACHE),$(HOME)/.cache/oxide-operator)
export CARGO_TARGET_DIR ?= $(CACHE)/target

CARGO_DENY_VERSION := 0.20.2
CARGO_CYCLONEDX_VERSION := 0.5.9
CARGO_MUTANTS_VERSION := 27.1.0
PYTHON_PACKAGES    := cryptography==48.0.0 PyYAML==6.0.3 schemathesis==4.32.5
# glibc, linked statically: docs/decisions/0008-static-glibc.md. Packed relocations keep a megabyte of them out of
# every agent's memory.
RELEASE_TARGET     ?= $(shell uname -m)-unknown-linux-gnu
STATIC             := RUSTFLAGS="-C target-feature=+crt-static -C link-arg=-Wl,-z,pack-relative-relocs"

TOOLS      := $(CACHE)/tools
CARGO_DENY := $(TOOLS)/bin/cargo-deny
CARGO_MUTANTS := $(TOOLS)/bin/cargo-mutants
VENV       := $(CACHE)/venv
RELEASE    := $(CARGO_TARGET_DIR)/$(RELEASE_TARGET)/release/oxide-operator

# The outside readers that the tests compare with: Python's Fernet and its YAML.
export OXIDE_TEST_PYTHON ?= $(VENV)/bin/python
# Playwright and axe, which drive Debian's Chromium; pinned by tests/browser/package-lock.json.
export OXIDE_TEST_NODE_MODULES ?= $(CACHE)/browser
# A real Kubernetes and Helm, built once by tests/cluster/tools.sh.
export OXIDE_TEST_CLUSTER ?= $(CACHE)/cluster
export OXIDE_CLUSTER_TOOLS ?= $(OXIDE_TEST_CLUSTER)
export CARGO_CYCLONEDX ?= $(TOOLS)/bin/cargo-cyclonedx
# What the image holds and the cluster runs.
export OXIDE_RELEASE_BINARY ?= $(RELEASE)

STORE := .oxide/config.db

say = printf '\n\033[1m== %s\033[0m\n' "$(1)"

##@ Use
.PHONY: help
help: ## Show this list
	@awk 'BEGIN { FS = ":.*## " } /^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## Build, bring config/default.yaml into .oxide/config.db, and say where to look
	@$(call say,building)
	cargo build --locked --release --bin oxide-operator
	@mkdir -p .oxide
	@$(call say,config/default.yaml into $(STORE))
	"$(CARGO_TARGET_DIR)/release/oxide-operator" migrate --yaml config/default.yaml --db $(STORE)
	@$(call say,where to look)
	@bin="$(CARGO_TARGET_DIR)/release/oxide-operator"; \
	echo "  $$bin status --db $(STORE)   # source, store, backups, key"; \
	echo "  $$bin plan --db $(STORE)     # edit config/default.yaml first, then see what would be written"; \
	echo "  $$bin run --db $(STORE)      # watch both sides; prints a link to the web page"

.PHONY: release
release: this-clone apt-packages ## Build the stripped static binary
	@$(call say,building for $(RELEASE_TARGET))
	$(STATIC) cargo build --locked --release --bin oxide-operator --target $(RELEASE_TARGET)
	@ls -l "$(RELEASE)"

.PHONY: sbom
sbom: cargo-cyclonedx ## List what the binary is made of (CycloneDX), for the image
	python3 .ci/sbom.py oxide-operator.cdx.json $(RELEASE_TARGET)

##@ Check
.PHONY: test
test: tools ## Everything that tests this project
	@$(call say,building the release beside the checks and the tests: each prints once it is done)
	@$(MAKE) --jobs=2 --output-sync=target release test-binaries
	@$(call say,tests)
	@mkdir -p "$(CACHE)"; log="$$(mktemp "$(CACHE)/test-log.XXXXXX")"; trap 'rm -f "$$log"' EXIT; \
	status=0; cargo test --locked --no-fail-fast 2>&1 | tee "$$log" || status=$$?; \
	awk '/^test result: / { gsub(/[^0-9;]/, ""); split($$0, n, ";"); passed += n[1]; failed += n[2]; skipped += n[3] } \
		END { printf "\n%d passed, %d failed, %d skipped\n", passed, failed, skipped }' "$$log"; \
	exit $$status

.PHONY: test-binaries
test-binaries: lint
	@$(call say,compiling the tests)
	cargo test --locked --no-run

.PHONY: soak
soak: tools ## Ten minutes under every load at once (make test: one)
	SOAK_SECONDS=600 cargo test --locked --test soak -- --nocapture

# An hour on two cores. MUTANTS=hand or MUTANTS=machine does one half; the copy and what is built of it stay outside of the clone.
MUTANTS ?= hand machine
.PHONY: mutants
mutants: tools cargo-mutants ## Plant bugs in a copy of this clone, one at a time, and say which the tests catch
	@status=0; for kind in $(MUTANTS); do \
		$(call say,planting bugs: $$kind); \
		PATH="$(TOOLS)/bin:$$PATH" tests/mutants/run.py "$(CACHE)/mutants" "$$kind" || status=1; \
	done; exit $$status

# As cargo-fuzz instruments, and on stable: the counters are libFuzzer's, which libfuzzer-sys builds (it needs a C++ compiler).
COVERAGE := -Cpasses=sancov-module -Ccodegen-units=1 $(addprefix -Cllvm-args=-sanitizer-coverage-,level=4 inline-8bit-counters pc-table trace-compares)
FUZZED   := .out/fuzz

.PHONY: fuzz
fuzz: this-clone venv ## Fuzz every target for an hour each, or TARGET=… for SECONDS=…; fuzz/README.md
	@for target in $(or $(TARGET),$(notdir $(wildcard fuzz/corpus/*))); do \
		$(call say,fuzzing $$target for $(or $(SECONDS),3600) s: what is found lies in $(FUZZED)/$$target); \
		mkdir -p $(FUZZED)/$$target/corpus; \
		RUSTFLAGS="$(COVERAGE)" FUZZ_TARGET=$$target cargo run --locked --manifest-path fuzz/Cargo.toml \
			--target $(shell uname -m)-unknown-linux-gnu -- -max_total_time=$(or $(SECONDS),3600) -timeout=60 -rss_limit_mb=2048 \
			-print_final_stats=1 -artifact_prefix=$(FUZZED)/$$target/ $(FUZZED)/$$target/corpus fuzz/corpus/$$target; \
	done

# `cargo deny check advisories` needs a database that is fetched from the network, so it is not part of this.
.PHONY: lint
lint: rust-components cargo-deny ## Format, clippy, documentation and dependencies, without tests
	@$(call say,format)
	cargo fmt --check
	@$(call say,clippy)
	cargo clippy --locked --all-targets -- -D warnings
	@$(call say,documentation)
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps
	@$(call say,dependencies)
	cargo fetch --locked
	"$(CARGO_DENY)" --offline check bans licenses sources

.PHONY: generate
generate: cluster-tools ## Write anew what is generated: crds/, pages and schemas in docs/, the chart
	cargo build --locked --bin oxide-operator
	"$(CARGO_TARGET_DIR)/debug/oxide-operator" crd --dir crds
	"$(CARGO_TARGET_DIR)/debug/oxide-operator" crd --page > docs/resources.md
	"$(CARGO_TARGET_DIR)/debug/oxide-operator" schema --dir docs/schemas
	"$(CARGO_TARGET_DIR)/debug/oxide-operator" openapi > openapi.json
	charts/generate.sh

.PHONY: bless
bless: ## Rewrite the expected outputs of the plan cases; look at the diff before committing it
	OXIDE_BLESS=1 cargo test --locked
	git --no-pager diff --stat -- tests

.PHONY: bench
bench: release tools ## Build the static binary and measure it against its floors
	OXIDE_OPERATOR_BIN="$(RELEASE)" cargo bench --locked --bench ratios -- $(BENCH)

.PHONY: bench-kubernetes
bench-kubernetes: release tools ## The same on a real API server: latency, rest, 200 agents
	OXIDE_OPERATOR_BIN="$(RELEASE)" cargo bench --locked --bench kubernetes -- $(BENCH)

##@ Set up
.PHONY: tools
tools: rust-components apt-packages cargo-deny cargo-cyclonedx venv browser cluster-tools ## Install what the tests need and this machine lacks

# Cargo tells a changed file by its age alone. In a target folder that two clones share it would run what the other was built from.
.PHONY: this-clone
this-clone:
	@mkdir -p "$(CARGO_TARGET_DIR)"; stamp="$(CARGO_TARGET_DIR)/built-from"; \
	last="$$(cat "$$stamp" 2>/dev/null || true)"; \
	[ "$$last" = "$(CURDIR)" ] || { \
		[ -z "$$last" ] || $(call say,building this crate anew: another clone used the target folder last); \
		find src tests benches fuzz -name '*.rs' -exec touch {} +; \
		echo "$(CURDIR)" > "$$stamp"; }

.PHONY: rust-components
rust-components: this-clone
	@command -v cargo >/dev/null || { echo "cargo is missing: install Rust 1.95 or newer with rustup"; exit 1; }
	@cargo fmt --version >/dev/null 2>&1 || { $(call say,installing rustfmt); rustup component add rustfmt; }
	@cargo clippy --version >/dev/null 2>&1 || { $(call say,installing clippy); rustup component add clippy; }

.PHONY: apt-packages
apt-packages:
	@missing=(); \
	need() { command -v "$$1" >/dev/null || missing+=("$$2"); }; \
	need gcc gcc; need g++ g++; need git git; need strace strace; need sqlite3 sqlite3; need groff groff; need promtool prometheus; need prometheus prometheus; need zsh zsh; need fish fish; \
	need buildah buildah; need runc runc; need ip iproute2; need openssl openssl; need curl curl; need chromium chromium; need node nodejs; need npm npm; need unshare util-linux; \
	[ -x /usr/lib/cni/bridge ] || missing+=(containernetworking-plugins); \
	[ -d /usr/share/fonts/truetype/dejavu ] || missing+=(fonts-dejavu-core); \
	[ -e /usr/include/sqlite3.h ] || missing+=(libsqlite3-dev); [ -x /usr/bin/time ] || missing+=(time); \
	python3 -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv); \
	if [ "$${#missing[@]}" -gt 0 ]; then \
		$(call say,installing $${missing[*]}); \
		sudo=(); [ "$$(id -u)" = 0 ] || sudo=(sudo); \
		install=("$${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$${missing[@]}"); \
		"$${install[@]}" || { "$${sudo[@]}" apt-get update; "$${install[@]}"; }; \
	fi

.PHONY: cargo-deny
cargo-deny:
	@[ "$$("$(CARGO_DENY)" --version 2>/dev/null)" = "cargo-deny $(CARGO_DENY_VERSION)" ] || { \
		$(call say,installing cargo-deny $(CARGO_DENY_VERSION)); \
		cargo install --locked --version $(CARGO_DENY_VERSION) --root "$(TOOLS)" cargo-deny; }

.PHONY: cargo-mutants
cargo-mutants:
	@[ "$$("$(CARGO_MUTANTS)" mutants --version 2>/dev/null)" = "cargo-mutants $(CARGO_MUTANTS_VERSION)" ] || { \
		$(call say,installing cargo-mutants $(CARGO_MUTANTS_VERSION)); \
		cargo install --locked --version $(CARGO_MUTANTS_VERSION) --root "$(TOOLS)" cargo-mutants; }

.PHONY: cargo-cyclonedx
cargo-cyclonedx:
	@[ "$$("$(CARGO_CYCLONEDX)" cyclonedx --version 2>/dev/null)" = "cargo-cyclonedx-cyclonedx $(CARGO_CYCLONEDX_VERSION)" ] || { \
		$(call say,installing cargo-cyclonedx $(CARGO_CYCLONEDX_VERSION)); \
		cargo install --locked --version $(CARGO_CYCLONEDX_VERSION) --root "$(TOOLS)" cargo-cyclonedx; }

.PHONY: browser
browser: apt-packages
	@cmp -s tests/browser/package-lock.json "$(OXIDE_TEST_NODE_MODULES)/package-lock.json" && [ -d "$(OXIDE_TEST_NODE_MODULES)/node_modules" ] || { \
		$(call say,installing Playwright and axe); \
		mkdir -p "$(OXIDE_TEST_NODE_MODULES)"; \
		cp tests/browser/package.json tests/browser/package-lock.json "$(OXIDE_TEST_NODE_MODULES)/"; \
		npm ci --prefix "$(OXIDE_TEST_NODE_MODULES)" --no-audit --no-fund; }

.PHONY: cluster-tools
cluster-tools: apt-packages
	@command -v go >/dev/null || { echo "go is missing: the tests build a real Kubernetes with Go 1.26 or newer"; exit 1; }
	@tests/cluster/tools.sh "$(OXIDE_TEST_CLUSTER)"

# The stamp names the packages, so that a changed pin makes a new environment.
.PHONY: venv
venv: apt-packages
	@[ "$$(cat "$(VENV)/packages" 2>/dev/null)" = "$(PYTHON_PACKAGES)" ] || { \
		$(call say,installing $(PYTHON_PACKAGES)); \
		rm -rf "$(VENV)"; \
		python3 -m venv "$(VENV)"; \
		"$(VENV)/bin/pip" install --quiet --disable-pip-version-check $(PYTHON_PACKAGES); \
		echo "$(PYTHON_PACKAGES)" > "$(VENV)/packages"; }

.PHONY: clean
clean: ## Remove what was built, and the store under .oxide; the installed tools stay
	cargo clean
	rm -rf .oxide
