# Two commands matter: `make examples` runs the main job on the local cloud, `make test` runs everything else.
# Both set up what they need in .venv; nothing is installed outside this folder.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup examples test lint requirements unit nightly clean

setup: $(STAMP)

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[local,dev]'
	touch $@

examples: setup
	$(BIN)/pytest tests/test_examples/ -m integration

test: lint unit

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	for folder in terraform/*/function; do \
		(cd $$folder && MYPYPATH=. $(CURDIR)/$(BIN)/mypy --strict --config-file= *.py) || exit 1; \
	done
	$(BIN)/lint-imports

# Tests read AWS's conformance requirements from here and never go to the network themselves.
requirements: setup
	$(BIN)/python -m tests.conformance.fetch

unit: setup requirements
	# One file to one worker: what a file starts, such as a local cloud, is shared within it.
	$(BIN)/pytest tests --ignore=tests/test_examples -n auto --dist loadfile

nightly: setup requirements
	# What takes minutes: every moment of the crash test, where `make test` has six.
	$(BIN)/pytest tests/crash -m nightly
	# Every one of AWS's conformance requirements, where `make test` has thirty.
	$(BIN)/pytest tests/conformance/every_requirement.py
	# The examples on a local cloud that is as hard as AWS, and harder.
	$(BIN)/pytest tests/test_examples/ -m integration --harness-faults=realistic
	$(BIN)/pytest tests/test_examples/ -m integration --harness-faults=storm

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
