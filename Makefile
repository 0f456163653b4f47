# Python 3.11 or newer with venv, and make, are all this needs.
PYTHON ?= python3
PYTHON313 ?= python3.13
BIN := .venv/bin

.PHONY: help install dev demo test lint check check-all bench clients constraints clean

help:
	@echo "make demo       scan a simulated exchange: no key, no network"
	@echo "make test       run the tests"
	@echo "make install    only install; the command is then $(BIN)/fairline"
	@echo "make lint       formatting, lint, types, import contracts"
	@echo "make check      lint and test"
	@echo "make check-all  the same with the slow tests"
	@echo "make bench      the benchmarks; figures go to benchmarks/RESULTS.md"

install: .venv/installed
dev: .venv/developed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Fairline needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable .
	touch $@

.venv/developed: .venv/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --group dev
	touch $@

demo: install
	$(BIN)/fairline demo

test: dev
	$(BIN)/pytest

check: lint test

lint: dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check-all: check
	$(BIN)/pytest -m slow

bench: dev
	$(BIN)/python -m benchmarks

# Other people's clients, each reader of the crawl's benchmark beside ours; they need Python 3.13.
clients:
	$(PYTHON313) -m venv .venv-clients
	.venv-clients/bin/python -m pip install --quiet --disable-pip-version-check kalshi_python_async==3.34.0 pykalshi==2.0.0

constraints: dev
	(echo "# Exact versions that the tests ran with; made by: make constraints"; $(BIN)/python -m pip freeze --exclude-editable --exclude pip) > constraints.txt

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
