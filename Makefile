# Everything a newcomer or CI needs; each target sets up what it uses. Needs Python 3.11+, make and a C library.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SEED ?= 1
SEEDS ?= 300
CASES ?= 1000000

.PHONY: help setup demo serve check test lint bench oracle simulate lock schema clean

help: ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 10

$(VENV)/.runtime: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.dev: requirements-dev.lock $(VENV)/.runtime
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	touch $@

setup: $(VENV)/.dev ## make the environment, with the tools for development

demo: $(VENV)/.runtime ## sandbox + gateway + fixture events, every delivery shown; Ctrl-C ends it
	$(BIN)/gateway demo $(DEMO)

serve: $(VENV)/.runtime ## run the gateway on ./mappings and ./data
	$(BIN)/gateway serve

check: $(VENV)/.runtime ## check the mapping files and run their cases
	$(BIN)/gateway check

lint: $(VENV)/.dev ## style, types, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: lint ## lint, types, import contracts and every test
	$(BIN)/python -m pytest

bench: $(VENV)/.dev ## the figures of docs/benchmarks.md, each beside its baseline
	$(BIN)/python benchmarks

oracle: $(VENV)/.dev ## hold triggers and mappings against the npm packages: CASES=… SEED=…
	$(BIN)/python tests/oracle --cases $(CASES) --seed $(SEED)

simulate: $(VENV)/.dev ## syncs under random events, faults and crashes: SEED=… (the first) SEEDS=… (how many)
	PYTHONPATH=tests:tests/syncs $(BIN)/python tests/syncs/engine_simulation.py $(SEED) $(SEEDS)

lock: ## renew both locks (needs uv)
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --extra sandbox --group build -o requirements.lock pyproject.toml
	uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header --extra sandbox --group build --group dev -c requirements.lock -o requirements-dev.lock pyproject.toml

schema: $(VENV)/.runtime ## renew the JSON Schema of mapping files
	$(BIN)/gateway schema --write gateway/config/mapping.schema.json

clean: ## remove the environment and what runs left behind
	rm -rf $(VENV) data .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
