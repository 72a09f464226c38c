# make demo   install into .venv, run the main command on the embedded sample, print its table
# make test   install into .venv, run all tests
# make test-compat  compare with the originals, each in an environment of its own under .compat/ on the data sets in
#             $BENCH_DATA or ../shared/data: token ids with torchtext 0.18's (test-torchtext: 2.5 GB to fetch, 4.3 GB on
#             disk), BM25 with Lucene's (test-pyserini: 1 GB to fetch, 2.2 GB on disk)
# make test-chaos  kill a small grid at a hundred random moments, inline and with two workers: the same records each time
# make test-fuzz  the fuzz tests with 1,000 mutated inputs a format (100 in make test): a quarter of an hour
# make test-scale  a finished grid of 100,000 records: what status, report and plan cost (a quarter of an hour, 2 GB of disk)
# make lint   ruff and the type checker
# make compare  run a small grid on the embedded sample and compare it with the committed baseline
# make baseline  the same, and write the baseline anew: then read the difference
# make figures  run the grid behind docs/pruners.md and draw its curves
# make docs   build the documentation's site into build/site, strictly
# make tutorial  run the tutorial and write its outputs anew
# make wheel  build the wheel into dist/
# make test-extras  install the wheel with each extra into a fresh environment of its own, one after the other, and look at
#             what came (network; minutes an extra, at most 3 GB on disk at a time). EXTRAS='wandb mlflow' names some
# Nothing beyond Python 3.11 and make is presumed. PYTHON=python3.12 make demo uses another interpreter.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
COMPAT := .compat
BENCH_DATA ?= ../shared/data

GATED := --task ag-news --pruner random,magnitude,grasp --when trained --prune-embeddings --grid 0.5,0.9 --seeds 0-2
BASELINE := tests/baseline/ag-news.jsonl

.PHONY: demo test test-chaos test-fuzz test-scale test-compat test-torchtext test-pyserini test-extras lint compare baseline \
        figures docs tutorial wheel clean

demo: $(INSTALLED)
	$(BIN)/bench run --task msmarco-dsi --pruner grasp --data sample --out results/demo

test: $(INSTALLED)
	$(BIN)/python -m pytest

test-chaos: $(INSTALLED)
	CHAOS_ROUNDS=50 CHAOS_KILLS=1 $(BIN)/python -m pytest -m chaos

test-fuzz: $(INSTALLED)
	$(BIN)/python -m pytest tests/fuzz --fuzz 1000 --capture=no

test-scale: $(INSTALLED)
	SCALE_RECORDS=100000 $(BIN)/python -m pytest tests/perf/test_scale.py --capture=no

test-compat: test-torchtext test-pyserini

test-torchtext: $(COMPAT)/torchtext/.installed
	PYTHONPATH=. XDG_CACHE_HOME=$(COMPAT)/cache $(COMPAT)/torchtext/bin/python tests/compat/torchtext_ids.py $(BENCH_DATA)

test-pyserini: $(COMPAT)/pyserini/.installed
	XDG_CACHE_HOME=$(COMPAT)/cache $(COMPAT)/pyserini/bin/python tests/compat/pyserini_agreement.py $(BENCH_DATA)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

compare: $(INSTALLED)
	rm -rf results/compare
	$(BIN)/bench run $(GATED) --data sample --threads 1 --out results/compare
	$(BIN)/bench compare $(BASELINE) results/compare --markdown results/compare.md --junit results/compare.xml

baseline: $(INSTALLED)
	rm -rf results/compare
	$(BIN)/bench run $(GATED) --data sample --threads 1 --out results/compare
	$(BIN)/bench compare $(BASELINE) results/compare --update-baseline

figures: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[figures]'
	$(BIN)/python docs/figures/make.py results/figures

docs: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

tutorial: $(INSTALLED)
	$(BIN)/python -m tests.docs.tutorial

wheel: $(INSTALLED)
	rm -rf dist
	$(BIN)/python -m build --no-isolation --wheel

test-extras: wheel
	$(BIN)/python tests/packaging/extras.py dist $(EXTRAS)

$(INSTALLED): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

$(COMPAT)/torchtext/.installed: tests/compat/requirements.txt
	test -x $(COMPAT)/torchtext/bin/python || $(PYTHON) -m venv $(COMPAT)/torchtext
	$(COMPAT)/torchtext/bin/python -m pip install --quiet --no-deps --requirement tests/compat/requirements.txt
	touch $@

$(COMPAT)/pyserini/.installed: pyproject.toml
	test -x $(COMPAT)/pyserini/bin/python || $(PYTHON) -m venv $(COMPAT)/pyserini
	$(COMPAT)/pyserini/bin/python -m pip install --quiet --editable '.[pyserini]'
	touch $@

clean:
	rm -rf $(VENV) $(COMPAT) build dist results
