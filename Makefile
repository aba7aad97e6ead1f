# The commands of the README. `make demo` and `make test` set up by themselves.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
GRID ?= digits
CORES ?= all
PYTEST_FLAGS ?=
export OMP_NUM_THREADS ?= 1
export MLFLOW_DISABLE_TELEMETRY := true
# Without bytecode each process compiles torch, timm and the rest anew, for twice its CPU time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo report test test-faults test-gpu test-services services test-slurm slurm bench-gpu lint format lock clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

setup: $(VENV)/.installed ## make .venv and install the locked requirements

$(VENV)/.installed: envs/requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; v = sys.version.split()[0]; sys.exit(sys.version_info < (3, 11) and f"agc needs Python 3.11 or newer, {sys.executable} is {v}")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv>=0.9,<1"
	UV_LINK_MODE=copy $(BIN)/uv pip install --python $(BIN)/python --no-deps --require-hashes -r envs/requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: setup ## run the grid GRID (default: digits) to tables, and check it against the committed report
	@$(BIN)/snakemake --cores $(CORES) --config grid=$(GRID) --rerun-incomplete --scheduler greedy --show-failed-logs --quiet rules host reason
	@$(MAKE) --no-print-directory report GRID=$(GRID)
	@$(BIN)/agc compare $(GRID) --show --against HEAD:reports/$(GRID)

report: setup reports/$(GRID)/report.html ## the page of the grid GRID, and Snakemake's report as its appendix

reports/$(GRID)/report.html: reports/$(GRID)/workflow.html
	@$(BIN)/agc report $(GRID)

reports/$(GRID)/workflow.html: reports/$(GRID)/comparison.csv
	@$(BIN)/snakemake --cores 1 --config grid=$(GRID) --report $@ --quiet all

test: setup ## run the tests (PYTEST_FLAGS=...)
	$(BIN)/python -m pytest -n 2 --dist loadfile -rs --ignore tests/services $(PYTEST_FLAGS)

test-services: setup services ## test servers and pages: PostgreSQL, Chromium, MLflow old and new, Kubernetes
	$(BIN)/python -m pytest -rs tests/services

services:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
		command -v chromium > /dev/null && command -v rsync > /dev/null && ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1 || \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends postgresql chromium rsync; } || \
		echo "not installed: no network? Their tests are skipped."; \
	else \
		command -v chromium chromium-browser > /dev/null || echo "missing: chromium (install it as root)"; \
		command -v initdb > /dev/null || ls /usr/lib/postgresql/*/bin/initdb > /dev/null 2>&1 || echo "missing: postgresql (install it as root)"; \
	fi
	@test -x $(VENV)/oldest-mlflow/bin/python || { \
		$(BIN)/uv venv --quiet --python $(BIN)/python $(VENV)/oldest-mlflow && \
		$(BIN)/uv pip install --quiet --python $(VENV)/oldest-mlflow/bin/python "mlflow==3.10.0" && \
		$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" > \
			"$$($(VENV)/oldest-mlflow/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/agc.pth"; } || \
		echo "missing: an environment with mlflow 3.10.0"
	@$(BIN)/python -c "import snakemake_executor_plugin_kubernetes, snakemake_storage_plugin_fs, kubernetes_validate" 2> /dev/null || \
		$(BIN)/uv pip install --quiet --python $(BIN)/python "snakemake-executor-plugin-kubernetes>=0.5,<1" \
			"snakemake-storage-plugin-fs>=1.1,<2" kubernetes-validate || echo "missing: the plugins of agc-bench[kubernetes]"
	@$(BIN)/python -c "import psycopg2" 2> /dev/null || $(BIN)/uv pip install --quiet --python $(BIN)/python "psycopg2-binary>=2.9,<3" || echo "missing: psycopg2-binary (pip install psycopg2-binary)"

test-faults: setup ## run all tests of faults: kills, full disks, broken files (FAULT_MOMENTS=20)
	$(BIN)/python -m pytest tests/faults -m "slow or not slow" -rs

test-gpu: setup ## test what needs a CUDA device: bits, waits, graphs, and what it refuses
	$(BIN)/python -m pytest -rs tests/gpu

bench-gpu: setup ## measure training steps on this card to reports/gpu/ (OFFICIAL=folder A-ITOP of the official code)
	$(BIN)/agc bench train --device cuda $(OFFICIAL:%=--official %)
	$(BIN)/agc readme reports/gpu/README.md

test-slurm: setup slurm ## run grids on a Slurm of one node (root on Debian; says what is missing)
	$(BIN)/python -m pytest -rs tests/slurm

slurm:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
		command -v slurmctld > /dev/null && command -v munged > /dev/null || \
		{ apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --no-install-recommends slurm-wlm munge; } || \
		echo "not installed: no network?"; \
	fi
	@$(BIN)/python -c "import snakemake_executor_plugin_slurm" 2> /dev/null || \
		$(BIN)/uv pip install --quiet --python $(BIN)/python "snakemake-executor-plugin-slurm>=2.8,<3" || \
		echo "missing: snakemake-executor-plugin-slurm (pip install 'agc-bench[slurm]')"

lint: setup ## check style, workflow and the generated blocks of READMEs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflows
	$(BIN)/snakemake --lint
	$(BIN)/agc readme --check

format: setup ## format code and workflow
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflows

# All extras but slurm and postgres, which only clusters and servers need.
EXTRAS := attacks autoattack equilibrium tracking workflow export dev

lock: setup ## resolve the requirements anew
	$(BIN)/uv pip compile pyproject.toml $(EXTRAS:%=--extra %) --universal --fork-strategy fewest --generate-hashes \
		--no-header --no-annotate --no-emit-index-url --no-emit-find-links --upgrade -o envs/requirements.lock

clean: ## remove results, keep the environment
	rm -rf results .snakemake
