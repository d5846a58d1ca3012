# Everything a newcomer or CI needs. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO_HOME ?= .demo
# `make demo CATALOG=DIR` serves a folder of real videos instead of invented ones.
CATALOG ?=
# `make demo KEEP=1` leaves the pages up until Ctrl-C.
KEEP ?=
# `make test T=tests/unit/ml` or `T=path::test` runs only that.
T ?=
# `make migration M="what it does"`.
M ?=
# `make bench ONLY="ingest views" REPEAT=5 JSON=FILE`; TABLE=docs/performance.md keeps what was measured.
ONLY ?=
REPEAT ?=
JSON ?=
TABLE ?=

.PHONY: help install demo up down check unit test test-slow replay migration bench calibrate lock format clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 14

install: $(STAMP) ## make .venv with the pinned versions

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "TubeGrader needs Python 3.11 or newer: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar off -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	$(BIN)/python -m ml.runtime.torchaudio_repair
	@touch $@

demo: $(STAMP) ## crawl, train, score and compare against an offline YouTube (CATALOG=DIR for real thumbnails, KEEP=1 to look around)
	$(BIN)/tubegrader demo --home $(DEMO_HOME) $(if $(CATALOG),--catalog $(CATALOG)) $(if $(KEEP),--keep)

up: $(STAMP) ## start the embedded stack; Ctrl-C stops it
	$(BIN)/tubegrader up

down: $(STAMP) ## stop the embedded stack
	$(BIN)/tubegrader down

check: $(STAMP) ## lint, types, layers, images, lock file
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/yamllint --strict docker-compose.yml deploy .pre-commit-config.yaml
	deploy/check-compose

unit: $(STAMP) ## the unit tests alone: no database (a minute or two)
	$(BIN)/pytest --numprocesses 2 --dist loadfile tests/unit

test: $(STAMP) ## the test suite, without the slow ones (under 10 minutes on 2 cores); T=PATH::TEST narrows it
	$(BIN)/pytest $(or $(T),--numprocesses 2 --dist loadfile)

test-slow: $(STAMP) ## the slow tests, two at a time (CI runs them after the others); T= likewise
	$(BIN)/pytest -m slow $(or $(T),--numprocesses 2 --dist loadgroup)

replay: $(STAMP) ## a month of 10,000 videos with real processes that are killed (about an hour)
	TUBEGRADER_REPLAY_DAYS=30 TUBEGRADER_REPLAY_CHANNELS=200 TUBEGRADER_REPLAY_VIDEOS=10000 \
		$(BIN)/pytest -m slow tests/faults/test_replay_month.py

migration: $(STAMP) ## the next revision of the schema, for the models as they are: M="what it does"
	@$(BIN)/python -m migrations "$(M)"

bench: $(STAMP) ## the budgets, as ratios measured in one run; ONLY=NAME, REPEAT=N, JSON=FILE, TABLE=PAGE
	$(BIN)/python -m benchmarks $(ONLY) $(if $(REPEAT),--repeat $(REPEAT)) $(if $(JSON),--json $(JSON)) \
		$(if $(TABLE),--table $(TABLE))

calibrate: $(STAMP) ## whether the intervals keep their word, over 600 invented catalogues
	$(BIN)/python -m benchmarks.calibration --json docs/results/calibration.json \
		--figure docs/images/calibration.svg

lock: ## pin the newest versions that pyproject.toml admits into requirements.lock
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet pip-tools
	$(BIN)/pip-compile --quiet --extra dev --strip-extras --no-emit-find-links --no-emit-index-url \
		--no-emit-trusted-host --upgrade --output-file requirements.lock pyproject.toml
	# This project is installed from where it lies, not from where it was locked.
	sed -i '/^tubegrader @/,+1d' requirements.lock
	# A CPU build carries a local version (+cpu) that other machines cannot find.
	sed -i -E 's/^(torch==[0-9.]+)\+.*/\1/' requirements.lock

format: $(STAMP) ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove what make made: .venv, .demo, caches
	@if [ -x $(BIN)/tubegrader ] && [ -d $(DEMO_HOME) ]; then $(BIN)/tubegrader --home $(DEMO_HOME) down; fi
	rm -rf $(VENV) $(DEMO_HOME) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
