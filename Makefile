# Python 3.11 or newer with venv, and make, are all this needs.
PYTHON ?= python3
PYTHON313 ?= python3.13
BIN := .venv/bin

.PHONY: help install dev demo test lint check check-all bench clients conformance fuzz constraints clean

help:
	@echo "make demo       scan a simulated exchange: no key, no network"
	@echo "make test       run the tests"
	@echo "make install    only install; the command is then $(BIN)/fairline"
	@echo "make lint       formatting, lint, types, import contracts"
	@echo "make check      lint and test"
	@echo "make check-all  the same with the slow tests"
	@echo "make conformance  other people's clients against the simulated exchange"
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
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[watch,charts,sql,fast]' --group dev
	touch $@

demo: install
	$(BIN)/fairline demo

# Tests mostly wait for sockets: side by side they take half the time.
test: dev
	$(BIN)/pytest --numprocesses 3 --dist loadscope

check: lint test

lint: dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check-all: check fuzz
	$(BIN)/pytest -m slow

bench: dev
	$(BIN)/python -m benchmarks

# Other people's clients, each in an environment of its own; the official ones need Python 3.13.
CLIENTS := official-sync=kalshi_python_sync==3.34.0 official-async=kalshi_python_async==3.34.0 pykalshi=pykalshi==2.0.0 elote=elote==1.5.1

clients:
	@if ! command -v $(PYTHON313) > /dev/null; then echo "skipped: there is no $(PYTHON313); make PYTHON313=... names one"; else \
	for client in $(CLIENTS); do \
	  folder=.venv-clients/$${client%%=*}; \
	  test -e $$folder/installed || ($(PYTHON313) -m venv $$folder && $$folder/bin/python -m pip install --quiet --disable-pip-version-check $${client#*=} && touch $$folder/installed) || exit 1; \
	done; fi

conformance: dev clients
	$(BIN)/python -m conformance

fuzz: dev
	test -e .venv-clients/schemathesis/installed || ($(PYTHON) -m venv .venv-clients/schemathesis && .venv-clients/schemathesis/bin/python -m pip install --quiet --disable-pip-version-check schemathesis==4.32.5 && touch .venv-clients/schemathesis/installed)
	$(BIN)/python -m conformance.fuzz

constraints: dev
	(echo "# Exact versions that the tests ran with; made by: make constraints"; $(BIN)/python -m pip freeze --exclude-editable --exclude pip) > constraints.txt

clean:
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
