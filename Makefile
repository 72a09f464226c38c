# make demo   install into .venv, run the main command on the embedded sample, print its table
# make test   install into .venv, run all tests
# make lint   ruff and the type checker
# make figures  run the grid behind docs/pruners.md and draw its curves
# Nothing beyond Python 3.11 and make is presumed. PYTHON=python3.12 make demo uses another interpreter.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: demo test lint figures clean

demo: $(INSTALLED)
	$(BIN)/bench run --task msmarco-dsi --pruner grasp --data sample --out results/demo

test: $(INSTALLED)
	$(BIN)/python -m pytest

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

figures: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	$(BIN)/python docs/figures/make.py results/figures

$(INSTALLED): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist results
