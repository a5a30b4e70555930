# The commands of a working copy. Each sets up what it needs, once.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin

# Real data and a Kafka broker are used where they lie beside the working copy.
SHARED := $(wildcard ../shared)
ifneq ($(SHARED),)
export HEADRACE_DATA ?= $(abspath ../shared/data)
export HEADRACE_KAFKA_BROKER ?= $(abspath ../shared/kafka/broker)
endif

.PHONY: demo test test-fast check format bench docs clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    simulate payments, train, decide at full speed, write a report (no setup needed)"
	@echo "make test    run every test"
	@echo "make check   format, lint, types, architecture"
	@echo "make bench   measure, and write tables and plots into docs/benchmarks (ONLY=inflight for one)"
	@echo "make docs    build the documentation into site/"

$(BIN)/headrace: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[report]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/headrace
	$(BIN)/python -m pip install --quiet --editable . --group dev
	@touch $@

demo: $(BIN)/headrace
	$(BIN)/headrace demo card-fraud

test: $(VENV)/.dev
	$(BIN)/headrace compile
	$(BIN)/python -m compileall -q src
	$(BIN)/python -m pytest -m "not slow" -n 2 --durations=15 --durations-min=5
	$(BIN)/python -m pytest -m slow -n 4 --dist loadscope --durations=15

test-fast: $(VENV)/.dev
	$(BIN)/python -m pytest -m "not slow" -n 2

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# all of them, or some: make bench ONLY="inflight attack"
bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks $(if $(ONLY),--only $(ONLY))

docs: $(VENV)/.dev
	$(BIN)/python -m docs.build

clean:
	rm -rf $(VENV) build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis
