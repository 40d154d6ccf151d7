# Clearline. `make` alone lists what there is.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

VENV := .venv
BIN := $(VENV)/bin
QUIX := .venv-quix
# The first of these that is Python 3.11 or newer makes the environment; PYTHON=... chooses another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { command -v "$$p"; break; }; done)
PIP_INSTALL := install --disable-pip-version-check --require-hashes --progress-bar on
SOURCES := streams schemas connectors api infra tests
PYTEST := $(BIN)/python -m pytest

.PHONY: help demo test lint format unit integration slow bench chaos simulate fuzz sdks lock clean

help: ## List what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.runtime ## Run the whole stack on real payments and show what became of them
	@$(BIN)/clearline demo

test: lint unit integration ## Set up, lint, run every test of the default suite

lint: $(VENV)/.dev ## Ruff, mypy and the layering contracts
	@echo "== ruff"; $(BIN)/ruff check $(SOURCES); $(BIN)/ruff format --check $(SOURCES)
	@echo "== mypy"; $(BIN)/mypy
	@echo "== layering"; $(BIN)/lint-imports

unit: $(VENV)/.dev ## Tests that need no broker, two at a time
	@$(BIN)/python -m tests.browser
	@echo "== unit tests"; $(PYTEST) -n 2 tests -m "not integration and not e2e and not slow"

# Two processes, each with a broker of its own and whole groups of tests (tests/conftest.py): what one waits for leaves the other its core.
integration: $(VENV)/.dev ## Tests with a real broker, two groups at a time
	@echo "== Kafka for the tests: fetched once per user, from then on found in the cache"
	@$(BIN)/python -c 'from infra.kafka import prepare_quick_starts; prepare_quick_starts()'
	@echo "== integration and end-to-end tests"; $(PYTEST) -n 2 --dist loadscope tests -m "(integration or e2e) and not slow"

slow: $(VENV)/.dev ## Tests that take minutes
	@$(PYTEST) tests -m slow --timeout 1800

format: $(VENV)/.dev ## Format the code
	@$(BIN)/ruff check --fix-only --quiet $(SOURCES); $(BIN)/ruff format $(SOURCES)

bench: $(VENV)/.dev $(QUIX)/.bench ## Measure the engine against its peers; figures go to .bench/latest.json
	@$(BIN)/python -m tests.bench

chaos: $(VENV)/.dev ## Kill everything in turn under load and check every record (MINUTES=5 SEED=1 WORKERS=3 BROKERS=1)
	@$(BIN)/python -m tests.chaos --minutes $(or $(MINUTES),5) $(if $(SEED),--seed $(SEED)) \
		--workers $(or $(WORKERS),3) --brokers $(or $(BROKERS),1)

simulate: $(VENV)/.dev ## Run the deterministic simulation (SEEDS=1000 FROM=0)
	@$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),1000) --from $(or $(FROM),0)

fuzz: $(VENV)/.dev ## Hold a running API to its OpenAPI with all that Schemathesis has (CASES=40 SEED=1 SEEDS=1 EACH_S=0)
	@$(BIN)/python -m tests.fuzz --cases $(or $(CASES),40) --seed $(or $(SEED),1) --seeds $(or $(SEEDS),1) --seconds $(or $(EACH_S),0)

# Their versions name API versions, which are to be live here.
STRIPE_NODE := 23.1.0
STRIPE_GO := github.com/stripe/stripe-go/v85@v85.0.0

sdks: ## Fetch Stripe's SDKs for Node and Go, where those are; the integration tests then try them
	@if command -v npm >/dev/null; then \
		echo "== Stripe's SDK for Node"; npm install --silent --no-save --prefix .sdks/node "stripe@$(STRIPE_NODE)"; \
	else echo "no npm here: without Node"; fi
	@if command -v go >/dev/null; then \
		echo "== Stripe's SDK for Go"; mkdir -p .sdks/go; cp tests/integration/api/sdks/story.go .sdks/go/main.go; \
		cd .sdks/go; [ -e go.mod ] || go mod init story; go get "$(STRIPE_GO)"; go build -o story .; \
	else echo "no Go here: without it"; fi

# setuptools is locked too, so that installing the project itself fetches nothing. A stamp is written last: what was cut
# off is done again. Under CI and in pipes pip's progress bar is silent, so each step says what it does.
$(VENV)/.runtime: requirements/runtime.txt pyproject.toml | $(VENV)/bin/python
	@echo "== installing locked requirements (requirements/runtime.txt) into $(VENV)"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip # the environment was cut off half made
	@$(BIN)/python -m pip $(PIP_INSTALL) -r requirements/runtime.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-index --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: requirements/dev.txt pyproject.toml | $(VENV)/bin/python
	@echo "== installing locked requirements (requirements/dev.txt) into $(VENV)"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(BIN)/python -m ensurepip # the environment was cut off half made
	@$(BIN)/python -m pip $(PIP_INSTALL) -r requirements/dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-index --no-build-isolation -e .
	@touch $@ $(VENV)/.runtime

$(VENV)/bin/python:
	@$(call make_venv,$(VENV))

$(QUIX)/.bench: requirements/bench-quix.txt | $(VENV)/bin/python
	@$(call make_venv,$(QUIX))
	@echo "== installing the benchmark's other side (requirements/bench-quix.txt) into $(QUIX)"
	@$(QUIX)/bin/python -m pip $(PIP_INSTALL) -r requirements/bench-quix.txt
	@touch $@

define make_venv
	if [ -z "$(PYTHON)" ]; then \
		echo "Clearline needs Python 3.11 or newer, and finds none." >&2; \
		echo "Install it (Debian, Ubuntu: apt install python3 python3-venv; macOS: brew install python) or say make PYTHON=/path/to/python3." >&2; \
		exit 1; \
	fi; \
	if ! "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then \
		echo "$(PYTHON) is too old: Clearline needs Python 3.11 or newer." >&2; exit 1; \
	fi; \
	if ! "$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "$(PYTHON) cannot make virtual environments: its venv module is missing." >&2; \
		echo "Install it (Debian, Ubuntu: apt install python3-venv) and try again." >&2; exit 1; \
	fi; \
	echo "== making $(1) with $(PYTHON)"; \
	"$(PYTHON)" -m venv "$(1)"
endef

COMPILE = $(BIN)/pip-compile --quiet --generate-hashes --allow-unsafe --strip-extras --no-header --resolver=backtracking \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links $(UPGRADE)

lock: $(VENV)/.dev ## Make the locks anew from requirements/*.in (UPGRADE=--upgrade for newer versions)
	@for name in runtime dev bench-quix; do \
		echo "== locking requirements/$$name.txt"; $(COMPILE) -o requirements/$$name.txt requirements/$$name.in; done

clean: ## Remove the environments and caches; data directories stay
	@rm -rf $(VENV) $(QUIX) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache ./*.egg-info
