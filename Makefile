# Each of demo, test and bench sets itself up in .venv; Python 3.11 or newer with pip, and make, are all it takes.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
TORCH := 2.13.0
BIN := .venv/bin
# What pip fetches is named as it comes; its other messages stay away, its errors do not.
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check
FETCHED := awk '/Downloading/ && !/metadata/ { sub(/^ */, "  "); print; fflush() }'

.PHONY: help demo test bench format clean

help:
	@echo "make demo     the main job: which offline number predicts online engagement? (runs/offline_online/demo)"
	@echo "make test     format, lint, types, arrows and tests"
	@echo "make bench    speed, one JSON line per measurement"
	@echo "make format   put the code into shape"
	@echo "make clean    remove .venv and caches; runs/ stays"

demo: .venv/core
	@$(BIN)/python -m scenarios.offline_online

bench: .venv/core
	@$(BIN)/python -m benchmarks

test: .venv/dev
	@echo "== format: ruff format --check";  $(BIN)/ruff format --quiet --check .
	@echo "== lint: ruff check";             $(BIN)/ruff check --quiet .
	@echo "== types: mypy";                  $(BIN)/mypy
	@echo "== arrows: lint-imports";         PYTHONPATH=. $(BIN)/lint-imports --no-logo
	@echo "== tests: pytest";                OMP_NUM_THREADS=1 $(BIN)/python -m pytest --quiet --numprocesses 2 --dist worksteal

format: .venv/dev
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# Where the system's Python comes without ensurepip, its own pip puts pip into the new environment.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "recsim_lab needs Python 3.11 or newer, and $(PYTHON) is $$($(PYTHON) --version 2> /dev/null || echo not there);" \
		"name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@echo "Setting up .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv > /dev/null 2>&1 || { \
		$(PYTHON) -m venv --clear --without-pip .venv; \
		$(PYTHON) -m pip --python $(BIN)/python install --quiet --disable-pip-version-check pip; } || { \
		rm -rf .venv; echo "$(PYTHON) has neither ensurepip nor a pip of version 22.3 or newer" >&2; exit 1; }

.venv/core: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing torch $(TORCH) and what it needs (the largest part)"
	@$(INSTALL) -c constraints.txt torch==$(TORCH) | $(FETCHED)
	@echo "Installing recsim_lab and what it needs"
	@$(INSTALL) -c constraints.txt -e . | $(FETCHED)
	@touch $@

.venv/dev: .venv/core
	@echo "Installing what the tests need"
	@$(INSTALL) -c constraints.txt -e '.[dev]' | $(FETCHED)
	@touch $@
