# Two commands: `make demo` and `make test`. Both need git, make and python3.11, nothing else.
SHELL := /bin/bash
.DEFAULT_GOAL := help
UV := .tools/bin/uv
PY := .venv/bin/python
export PYTHONDONTWRITEBYTECODE :=
export UV_SYSTEM_CERTS ?= 1
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: help setup demo test lint types layers unit nightly bench environment picture lock clean

help:
	@echo "make demo   set everything up, run the main job on the embedded default, serve UI and API"
	@echo "make test   set everything up, then lint, types, layers and tests"
	@echo "make setup  only set up;  make nightly  the long tests;  make bench  benchmarks;  make lock  new pins"

$(UV):
	python3.11 -m pip install --quiet --no-warn-script-location --target .tools uv==0.13.9

.venv/.ready: $(UV) requirements.lock setup.py
	$(UV) venv --quiet --clear --python 3.11 .venv
	$(UV) pip sync --quiet --python $(PY) --compile-bytecode requirements.lock
	$(UV) pip install --quiet --python $(PY) --no-deps --editable .
	@echo "compiling the numerical kernels for this machine (once)"
	$(PY) -m portfolio_platform.optimization.warm > /dev/null
	$(PY) -m portfolio_platform.backtesting.warm > /dev/null
	touch $@

setup: .venv/.ready

demo: setup
	.venv/bin/portfolio-platform demo

test: setup
	$(MAKE) --no-print-directory -j2 lint types layers
	$(MAKE) --no-print-directory unit

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .

types: setup
	.venv/bin/mypy

layers: setup
	.venv/bin/lint-imports

unit: setup
	$(PY) -m pytest -n 3 --dist loadfile --no-loadscope-reorder

nightly: setup
	$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "nightly or not nightly"

bench: setup
	for script in benchmarks/*.py; do PYTHONPATH=. $(PY) $$script; done

environment: setup
	$(PY) docs/environment.py

picture: setup
	docs/picture.sh

lock: $(UV)
	$(UV) pip compile --quiet --python 3.11 --extra dask --extra telemetry --extra dev setup.py -o requirements.lock \
	    --no-header --no-emit-index-url --no-emit-find-links --no-annotate

clean:
	rm -rf .venv .tools .portfolio
