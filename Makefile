# `make demo` and `make test` need nothing but Python 3.11 or newer; CONTRIBUTING.md says what else there is.
PYTHON ?= python3
MACHINES ?= 24
RUNS ?= 1000000
BIN := .venv/bin

.PHONY: help demo up setup test check bench bench-dhcp fuzz chaos format docs clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo [MACHINES=24]  simulated machines install through the real services; no root'
	@echo 'make setup               the virtual environment, with the kickfleet command in .venv/bin'
	@echo 'make up                  the real thing, with kickfleet.toml'
	@echo 'make test                checks and all tests that this machine allows'
	@echo 'make bench               the benchmarks; bench-dhcp: DHCP servers side by side (root, deploy/bench-packages.txt)'
	@echo 'make fuzz [RUNS=1000000] decoders and protocol engines under a coverage-guided fuzzer'
	@echo 'make chaos               two dhcp servers and a bus that come and go; see services/dhcp/README.md'
	@echo 'make format | docs       format the sources | renew what documents draw from the code'
	@echo 'make clean               remove the virtual environment and caches; never var/'

demo: .venv/.runtime
	@$(BIN)/kickfleet demo --machines $(MACHINES)

up: .venv/.runtime
	@$(BIN)/kickfleet up

setup: .venv/.runtime
	@echo "the command is .venv/bin/kickfleet, and ./kickfleet from here"

check: .venv/.development
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: check
	$(BIN)/python -m pytest -rs --no-fold-skipped

bench: .venv/.development
	$(BIN)/python -m pytest -s -o timeout=1800 tests/bench/bench_*.py
	$(BIN)/python -m tests.bench.dhcp

bench-dhcp: .venv/.development
	$(BIN)/python -m tests.bench.dhcp $(if $(SERVICE_PYTHON),--python $(SERVICE_PYTHON))

fuzz: .venv/.development
	$(BIN)/python -m tests.fuzz dhcp --runs $(RUNS)
	$(BIN)/python -m tests.fuzz tftp --runs $(RUNS)

chaos: .venv/.development
	$(BIN)/python -m pytest tests/services/dhcp/sharing/chaos.py

format: .venv/.development
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: .venv/.development
	$(BIN)/python -m tests.support.documents

clean:
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find libs services tests -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'kickfleet needs Python 3.11 or newer; name one: make PYTHON=python3.12 …' >&2; exit 2; }
	@$(PYTHON) -m venv .venv \
	  || { rm -rf .venv; echo 'no virtual environment: on Debian and Ubuntu, apt-get install python3-venv' >&2; exit 2; }

.venv/.runtime: .venv/bin/pip requirements.txt pyproject.toml
	@echo 'installing what kickfleet runs on into .venv …'
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt -e .
	@touch $@

.venv/.development: .venv/.runtime requirements-dev.txt
	@echo 'installing what kickfleet is tested with into .venv …'
	@$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@
