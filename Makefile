# `make run` needs Python 3.11+ and make, nothing else; `make test` a Chromium besides.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
# Whether the tests of pages are among the layers wanted.
BROWSER = $(if $(filter-out --%,$(ARGS)),$(filter browser,$(ARGS)),all)

.PHONY: help run test check bench lock venv format chromium

help: ## what there is
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' $(MAKEFILE_LIST)

run: venv ## set up, then start the whole product (countersign dev; ARGS="--api-port 8081")
	@exec $(BIN)/countersign dev $(ARGS)

test: venv $(if $(BROWSER),chromium) ## set up, then the whole suite, layer by layer
	@exec $(BIN)/python scripts/suite.py $(ARGS)

chromium: # not said by help: `make test` does it
	@sh scripts/chromium.sh

check: venv ## lint, format, types, import rules
	@exec $(BIN)/python scripts/suite.py check

format: venv ## let ruff fix and format what it can
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

bench: venv ## the benchmarks of bench/ (writes bench/RESULTS.md)
	@exec $(BIN)/python -m bench $(ARGS)

venv: .venv/.ok ## the environment, exactly as locked

.venv/.ok: requirements/dev.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit("Countersign needs Python 3.11 or later: make PYTHON=python3.11 ..." if sys.version_info < (3, 11) else 0)'
	@echo "setting up .venv (once, about half a minute)" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet uv
	@$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode \
	  requirements/dev.txt
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation \
	  --config-setting editable_mode=compat --editable .
	@touch $@

# Exact versions with hashes, and no trace of where they were fetched from: people behind a mirror
# and people without one use the same files.
lock: ## requirements/*.in -> requirements/*.txt (ARGS=--upgrade for newer versions)
	@test -x $(BIN)/uv || { $(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet uv; }
	@for set in run dev; do \
	  $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	    --no-header --no-annotate --no-emit-index-url --no-emit-find-links --no-emit-index-annotation \
	    $(ARGS) requirements/$$set.in --output-file requirements/$$set.txt || exit 1; \
	done
	@! grep -nE '://|--(extra-)?index-url|--find-links' requirements/*.txt
