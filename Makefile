# make env    builds .venv from requirements.lock        make demo   real cohorts, end to end
# make test   lint, types, import contract, tests        make dev    Dagster UI with daemon on the same state
# make lock   recomputes requirements.lock               make bench  benchmarks (long)
# make soak   tests with a real daemon (minutes)
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.8

# One thread a model and a table engine that knows the machine: threads that fight cost more than they give.
export OMP_NUM_THREADS ?= 1
export PYTHONWARNINGS ?= ignore::UserWarning
# All state has one place; Dagster's own lies below it, with this repository's configuration.
CLINICAL_ASSETS_DATA ?= $(CURDIR)/data
# Absolute, because the UI is started from Dagster's own folder.
export CLINICAL_ASSETS_DATA := $(abspath $(CLINICAL_ASSETS_DATA))
export DAGSTER_HOME ?= $(CLINICAL_ASSETS_DATA)/dagster
DEMO_COHORTS ?= heart_disease clinical_trial_dropout

.PHONY: env home demo test soak lint dev bench lock clean

env: $(VENV)/.ready

$(VENV)/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info[:2] < (3, 14), "Python 3.11 to 3.13 is needed, this is " + sys.version.split()[0]'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || { echo 'The venv module is missing: on Debian, apt-get install python3-venv' >&2; exit 1; }
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	@echo 'Installing the locked dependencies into $(VENV) ...'
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --require-hashes -r requirements.lock
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

home: env
	@mkdir -p $(DAGSTER_HOME)
	@test -e $(DAGSTER_HOME)/dagster.yaml || ln -s $(CURDIR)/dagster.yaml $(DAGSTER_HOME)/dagster.yaml

demo: home
	@$(BIN)/clinical-assets materialize $(DEMO_COHORTS) --job train_cohort
	@$(BIN)/clinical-assets cohorts list
	@echo
	@echo 'The same runs, tables and plots in the browser: make dev, then http://127.0.0.1:3000'

test: env lint
	@$(BIN)/python -m pytest -n auto --dist loadfile

soak: env
	@$(BIN)/python -m pytest -m soak -s

lint: env
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

dev: home
	@cd $(DAGSTER_HOME) && $(CURDIR)/$(BIN)/dagster dev -w $(CURDIR)/workspace.yaml --host 127.0.0.1 --port $${PORT:-3000}

bench: env
	@for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python $$script || exit 1; done

lock:
	@test -x $(BIN)/uv || { $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet uv==$(UV_VERSION); }
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-emit-find-links --no-annotate --no-header --extra data --extra data-gpl --extra rdata --extra postgres --extra audit --extra sentry --extra dev \
		pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis build dist
