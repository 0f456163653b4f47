# Needs Python 3.11 or newer with venv, and make.
PYTHON ?= python3
PYTHON313 ?= python3.13
PYTHON_TESTED ?= $(PYTHON313)
BIN := .venv/bin
PIP_FLAGS := --quiet --disable-pip-version-check
EXTRAS := watch,charts,sql,fast,dask
PYTEST_PARALLEL := --numprocesses 3 --dist loadscope
# Tests that need no other people's clients and no browser: what another Python or other versions can break.
PORTABLE_TESTS := tests/unit tests/properties tests/contract tests/flow/test_crawl.py

.PHONY: help install dev demo format lint test coverage check check-all test-oldest test-python test-wheel bench clients \
	conformance fuzz constraints clean

help:
	@echo "make demo          scan a simulated exchange: no key, no network"
	@echo "make test          run the tests"
	@echo "make install       install only; the command is then $(BIN)/fairline"
	@echo "make format        format the code and apply safe fixes"
	@echo "make lint          check formatting, lint, types, import contracts and words"
	@echo "make check         lint and test"
	@echo "make check-all     lint and test, with the slow tests and the fuzzer"
	@echo "make coverage      run the tests with branch coverage, sub-processes included"
	@echo "make test-oldest   run the tests with the oldest allowed dependencies"
	@echo "make test-python   run the tests with another Python: PYTHON_TESTED=python3.13"
	@echo "make test-wheel    install the wheel outside the checkout and run the demo"
	@echo "make conformance   run other people's clients against the simulated exchange"
	@echo "make bench         run the benchmarks; copy the figures to benchmarks/RESULTS.md"
	@echo "make constraints   update constraints.txt from what is installed"

install: .venv/installed
dev: .venv/developed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Fairline needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install $(PIP_FLAGS) --constraint constraints.txt --editable .
	touch $@

.venv/developed: .venv/installed
	$(BIN)/python -m pip install $(PIP_FLAGS) --upgrade "pip>=25.1"
	$(BIN)/python -m pip install $(PIP_FLAGS) --constraint constraints.txt --editable '.[$(EXTRAS)]' --group dev
	touch $@

demo: install
	$(BIN)/fairline demo

format: dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m dev.words

# Tests mostly wait for sockets: in parallel they take half the time.
test: dev
	$(BIN)/pytest $(PYTEST_PARALLEL)

coverage: dev
	$(BIN)/coverage erase
	$(BIN)/coverage run -m pytest $(PYTEST_PARALLEL)
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

check: lint test

check-all: check fuzz
	$(BIN)/pytest -m slow

test-oldest: dev
	test -x .venv-oldest/bin/python || $(PYTHON) -m venv .venv-oldest
	$(BIN)/python -m dev.oldest > .venv-oldest/constraints.txt
	.venv-oldest/bin/python -m pip install $(PIP_FLAGS) --upgrade "pip>=25.1"
	.venv-oldest/bin/python -m pip install $(PIP_FLAGS) --constraint .venv-oldest/constraints.txt --editable '.[$(EXTRAS)]' --group dev
	.venv-oldest/bin/pytest $(PYTEST_PARALLEL) $(PORTABLE_TESTS)

test-python:
	test -x .venv-$(notdir $(PYTHON_TESTED))/bin/python || $(PYTHON_TESTED) -m venv .venv-$(notdir $(PYTHON_TESTED))
	.venv-$(notdir $(PYTHON_TESTED))/bin/python -m pip install $(PIP_FLAGS) --upgrade "pip>=25.1"
	.venv-$(notdir $(PYTHON_TESTED))/bin/python -m pip install $(PIP_FLAGS) --editable '.[$(EXTRAS)]' --group dev
	.venv-$(notdir $(PYTHON_TESTED))/bin/pytest $(PYTEST_PARALLEL) $(PORTABLE_TESTS)

# The demo runs in an empty folder, so that nothing of the checkout can stand in for what the wheel lacks.
test-wheel: dev
	rm -rf .venv-wheel && mkdir .venv-wheel
	$(BIN)/python -m pip wheel $(PIP_FLAGS) --no-deps --wheel-dir .venv-wheel/dist .
	$(PYTHON) -m venv .venv-wheel/venv
	.venv-wheel/venv/bin/python -m pip install $(PIP_FLAGS) --constraint constraints.txt .venv-wheel/dist/*.whl
	mkdir .venv-wheel/empty && cd .venv-wheel/empty && ../venv/bin/fairline demo && test -s fairline-demo.csv

bench: dev
	$(BIN)/python -m benchmarks

# Other people's clients, each in its own environment; the official ones need Python 3.13.
CLIENTS := official-sync=kalshi_python_sync==3.34.0 official-async=kalshi_python_async==3.34.0 pykalshi=pykalshi==2.0.0 elote=elote==1.5.1

clients:
	@if ! command -v $(PYTHON313) > /dev/null; then echo "skipped: $(PYTHON313) was not found; name one with make PYTHON313=..."; else \
	for client in $(CLIENTS); do \
	  folder=.venv-clients/$${client%%=*}; \
	  test -e $$folder/installed || ($(PYTHON313) -m venv $$folder && $$folder/bin/python -m pip install $(PIP_FLAGS) $${client#*=} && touch $$folder/installed) || exit 1; \
	done; fi

conformance: dev clients
	$(BIN)/python -m conformance

fuzz: dev
	test -e .venv-clients/schemathesis/installed || ($(PYTHON) -m venv .venv-clients/schemathesis && .venv-clients/schemathesis/bin/python -m pip install $(PIP_FLAGS) schemathesis==4.32.5 && touch .venv-clients/schemathesis/installed)
	$(BIN)/python -m conformance.fuzz

constraints: dev
	(echo "# Exact versions that the tests ran with; update with: make constraints"; $(BIN)/python -m pip freeze --exclude-editable --exclude pip) > constraints.txt

clean:
	rm -rf .venv .venv-* .coverage* .pytest_cache .mypy_cache .ruff_cache .hypothesis
