# Every target sets up what it needs: on a fresh clone with Python 3.11 or newer and make, `make demo` is all there is to type.

PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo "$$python"; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# Two workers, or one where that is all the machine has.
WORKERS ?= 2
PYTEST := $(BIN)/pytest -n $(WORKERS)

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help

help: ## Print this list
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  make %-10s %s\n' "$$name" "$$text"; done

setup: $(READY) ## Make .venv with everything locked and the command `forwarder`

$(READY): requirements/dev.txt pyproject.toml
	@test -n "$(PYTHON)" || { echo 'Python 3.11 or newer is needed, and none is on the PATH.' >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY) ## Run the main job on a simulated Persona, kill it half-way, and judge the result
	$(BIN)/forwarder demo

test: $(READY) ## Run the tests, less the slow ones
	$(PYTEST) -m 'not slow'

test-slow: $(READY) ## Run the slow tests
	$(PYTEST) -m slow

lint: $(READY) ## Check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY) ## Measure events a second, stage by stage, memory and idle cost
	$(BIN)/python -m benchmarks

# Worlds for `make simulate`; as many side by side as there are cores.
SEEDS ?= 1000
JOBS ?= $(shell $(PYTHON) -c 'import os; print(os.cpu_count())')
simulate: $(READY) ## Play fresh worlds with the whole daemon and judge each (SEEDS=1000; FIRST=1 repeats)
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) --jobs $(JOBS) $(if $(FIRST),--first $(FIRST))

mutants: $(READY) ## Plant wrong changes in the daemon, and see that the worlds find each
	$(BIN)/python -m tests.simulation.mutants --decisions 3000 --jobs $(JOBS)

docs: $(READY) ## Generate docs/configuration.md, docs/logs.md and docs/metrics.md from the code
	$(BIN)/forwarder config --reference >docs/configuration.md
	$(BIN)/python -m tests.catalogue --write

# The locks hold for every platform and Python that pyproject.toml allows.
LOCK := $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 --no-header
lock: ## Compile requirements/*.txt anew from pyproject.toml (UPGRADE=--upgrade takes the newest)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet uv
	$(LOCK) $(UPGRADE) pyproject.toml --extra kafka -o requirements/runtime.txt
	$(LOCK) $(UPGRADE) pyproject.toml --extra kafka --group dev -c requirements/runtime.txt -o requirements/dev.txt
	$(LOCK) $(UPGRADE) --group build -c requirements/dev.txt -o requirements/build.txt

clean: ## Remove .venv and all that was built or cached here
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help setup demo test test-slow lint bench simulate mutants docs lock clean
