"""Parquet holds what CSV and JSON lines hold, in typed columns."""

from __future__ import annotations

import io
import sys

import pytest

from bench.cli.report import rendered, summarised
from bench.errors import UsageError
from reports import tabular
from tests.factories import make_failure, make_record, make_store

RECORDS = (
    make_record("dense", seed=0),
    make_record("=grasp", 0.9, metrics={"accuracy": 0.123456789012345, "loss": 1.0}, options={"dim": "wide"}),
    make_failure("=grasp", 0.5),
)


@pytest.fixture
def table(tmp_path):
    pq = pytest.importorskip("pyarrow.parquet", reason="the extra 'parquet' is not installed")

    def read(make):
        store = make_store(tmp_path, RECORDS)
        return pq.read_table(io.BytesIO(make(store, [*store.records()], "parquet")))

    return read


def test_numbers_are_numbers_and_what_is_missing_is_null(table):
    found = table(rendered)
    types = {field.name: str(field.type) for field in found.schema}
    assert (types["seed"], types["metric:accuracy"], types["sparsity"]) == ("int64", "double", "double")
    dense, failed, done = found.to_pylist()
    assert (done["metric:accuracy"], done["flops"], done["option:dim"]) == (0.123456789012345, 200_000, "wide")
    assert (failed["metric:accuracy"], failed["flops"]) == (None, None)
    assert (dense["option:dim"], done["pruner"]) == ("8", "=grasp")  # no spreadsheet, no apostrophe


def test_its_columns_are_those_of_csv(table):
    titles, rows = tabular.flat([(record, {"Train": 1.5, "Evaluate": 0.25}) for record in RECORDS])
    found = table(rendered)
    assert found.column_names == titles
    assert found.num_rows == len([*rows])


def test_the_summary_is_one_row_a_task_and_pruner(table):
    found = table(summarised).to_pylist()
    # with dim=8 all pruned cells failed, with dim=wide there is no dense one
    assert [(row["pruner"], row["setting"], row["informative"], row["area"]) for row in found] == [
        ("=grasp", "dim=8", True, None),
        ("=grasp", "dim=wide", False, None),
    ]


def test_without_pyarrow_it_is_one_line(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    store = make_store(tmp_path, RECORDS)
    with pytest.raises(UsageError, match=r"needs pyarrow, which is not installed. pip install 'prunebench\[parquet\]'"):
        rendered(store, [*store.records()], "parquet")
