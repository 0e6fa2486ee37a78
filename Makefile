# Two commands on a fresh machine with Python and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
SHOP := examples/gift_shop
# What is imported is compiled then, and kept, even where the environment says not to keep it: starting a command anew
# costs seconds otherwise. Compiling all that is installed takes longer than unpacking it.
unexport PYTHONDONTWRITEBYTECODE
INSTALL := -m pip install --quiet --no-compile --constraint constraints.txt
# Two at once, of one thread each: most tests are too small to share among threads. Three on two cores are no faster.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n 2 --dist worksteal

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types fast slow cluster docs wheel clean

help:  ## Show what can be made.
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

$(VENV)/installed: pyproject.toml whole/pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(INSTALL) torch
	$(BIN)/python $(INSTALL) --editable . --editable './whole[demo,dev]'
	touch $@

install: $(VENV)/installed  ## Make .venv and install vdistill into it.

demo: install  ## The gift shop from nothing to a gallery page.
	PATH="$(BIN):$$PATH" sh $(SHOP)/demo.sh

test: lint types  ## All that CI runs; the tests in one go, so that what they share is made once.
	$(PYTEST) -m "slow or not slow"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

fast: install  ## The tests that take seconds.
	$(PYTEST)

slow: install
	$(PYTEST) -m slow

cluster: install  ## The tests of Ray clusters, which need Ray, which is large; TESTS=… chooses some.
	$(BIN)/python $(INSTALL) --editable '.[ray]'
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m "slow or not slow" tests/cluster -k '$(or $(TESTS),cluster)'

docs: install  ## Write docs/cli.md and docs/api.md anew, and build the site into build/site.
	$(BIN)/python docs/make_cli.py
	$(BIN)/python docs/make_api.py
	PYTHONPATH=docs $(BIN)/zensical build --clean --strict
	rm build/site/*.py

wheel:  ## Build and check what is released, and try it in environments that have nothing else.
	rm -rf build/tools build/empty build/core dist
	$(PYTHON) -m venv build/tools
	build/tools/bin/python $(INSTALL) build hatchling twine
	build/tools/bin/python -m build --no-isolation --outdir dist
	build/tools/bin/python -m build --no-isolation --outdir dist whole
	build/tools/bin/twine check --strict dist/*
	$(PYTHON) -m venv build/empty
	build/empty/bin/python $(INSTALL) dist/*.whl
	build/empty/bin/python tests/try_wheel.py
	$(PYTHON) tests/try_core.py build/core

clean:  ## Remove what was made.
	rm -rf $(VENV) build dist .cache .pytest_cache .mypy_cache .ruff_cache
