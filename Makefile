# make env        builds .venv from requirements.lock         make demo   real cohorts, end to end
# make test       lint, types, import contract, tests         make dev    Dagster UI with daemon on the same state
# make test-fast  tests that train nothing (under a minute)   make fix    what ruff can repair and format
# make cov        all tests with a coverage report            make soak   tests with a real daemon (minutes)
# make lock       recomputes requirements.lock                make bench  the table of benchmarks (long)
# make figures    the table of docs/performance.md, anew (a quarter of an hour)
# make advisories asks which installed packages have known vulnerabilities; the security gate reads the report
# make dev PORT=3001    another port than 3000                make demo DEMO_COHORTS="framingham_chd"
# make campaign   kills, forged rows, flipped bits and hostile files for CAMPAIGN_MINUTES (30); counts, no violation allowed
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV_VERSION := 0.13.8

# One thread a model and a table engine that knows the machine: threads that fight cost more than they give.
export OMP_NUM_THREADS ?= 1
export PYTHONWARNINGS ?= ignore::UserWarning
# Runs and tests start many processes; without its bytecode each compiles the whole package anew.
unexport PYTHONDONTWRITEBYTECODE
# All state has one place; Dagster's own lies below it, with this repository's configuration.
CLINICAL_ASSETS_DATA ?= $(CURDIR)/data
# Absolute, because the UI is started from Dagster's own folder.
export CLINICAL_ASSETS_DATA := $(abspath $(CLINICAL_ASSETS_DATA))
export DAGSTER_HOME ?= $(CLINICAL_ASSETS_DATA)/dagster
# Tests write thousands of small databases to the disk and sync each: in memory, where 8 GB of it are free.
TEST_FOLDERS := $(if $(shell df -k --output=avail /dev/shm 2>/dev/null | awk 'NR == 2 && $$1 > 8000000'),/dev/shm,$(or $(TMPDIR),/tmp))
CAMPAIGN_MINUTES ?= 30
CAMPAIGN_SEED ?=
DEMO_COHORTS ?= heart_disease clinical_trial_dropout
# Rooms whose tests train nothing, and the folders whose examples run.
FAST := $(wildcard $(addprefix assets_tests/,statistics records sources cohorts examples foundation) \
	clinical_assets/statistics clinical_assets/pathways/signed_rank)

.PHONY: env home demo test test-fast cov soak campaign lint fix dev bench figures lock texts advisories clean

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
	@TMPDIR=$(TEST_FOLDERS) $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

# Properties without a number of their own try ten examples here and a hundred in `make test`.
test-fast: env
	@HYPOTHESIS_PROFILE=fast $(BIN)/python -m pytest -n auto --dist loadfile -m 'not soak and not slow' $(FAST)

# The pages below build/coverage say which lines and branches no test has taken.
cov: env
	@$(BIN)/python -m pytest -n auto --dist loadfile --cov --cov-report=term:skip-covered --cov-report=html

soak: env
	@$(BIN)/python -m pytest -m soak -s

campaign: env
	@$(BIN)/python -m assets_tests.campaign $(CAMPAIGN_MINUTES) $(CAMPAIGN_SEED)

lint: env
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

fix: env
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

dev: home
	@cd $(DAGSTER_HOME) && $(CURDIR)/$(BIN)/dagster dev -w $(CURDIR)/workspace.yaml --host 127.0.0.1 --port $${PORT:-3000}

# BENCH=--quick takes minutes and says so; every script in benchmarks/ also runs by itself.
bench: env
	@$(BIN)/python benchmarks/table.py $(BENCH) --into build/bench

# The table that docs/performance.md shows: measured anew, in a quiet machine.
figures: env
	@$(BIN)/python benchmarks/table.py --into benchmarks
	@$(BIN)/python benchmarks/table.py --docs

lock:
	@test -x $(BIN)/uv || { $(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet uv==$(UV_VERSION); }
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-emit-find-links --no-annotate --no-header \
		--extra data --extra data-gpl --extra rdata --extra office --extra postgres --extra audit --extra serve --extra sentry --extra dev \
		pyproject.toml -o requirements.lock

# Finds the texts of the pages and brings every language up to date; what is new stays untranslated, and a test says so.
texts: env
	@mkdir -p build && $(BIN)/pybabel -q extract -F pyproject.toml --no-location --sort-output --omit-header -o build/texts.pot clinical_assets
	@for file in clinical_assets/reporting/languages/*.po; do $(BIN)/pybabel -q update -i build/texts.pot -o $$file \
		-l $$(basename $$file .po) --width 100 --no-fuzzy-matching --ignore-obsolete; \
		sed -i.bak -E '/^"(Project|Report|POT|PO-Rev|Last|Language-Team|Generated)/d' $$file && rm $$file.bak; done

# Ends with an error, and leaves an earlier report alone, where no service answers with advisories.
advisories: env
	@$(BIN)/clinical-assets advisories

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .hypothesis .coverage build dist
