"""Cells for data frames: one row a cell, typed columns, compressed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bench.errors import UsageError
from reports.answers import Answer
from reports.latency import Measured
from reports.summary import flat as answers_flat
from reports.tabular import NOTHING_MEASURED, Timed, flat

WHOLE = frozenset(
    {"task_version", "iteration", "seed", "n", "dense_flops", "flops", "dense_bytes", "compressed_bytes"}
    | {"parameters", "prunable", "train_steps", "latency:batch_size", "latency:threads", "latency:rounds"}
)
REAL = ("metric:", "seconds:", "latency ms (", "target_sparsity", "sparsity", "total_sparsity")


def content(cells: Sequence[Timed], measured: Measured = NOTHING_MEASURED) -> bytes:
    """The columns of ``tabular.flat`` as a Parquet file; what a cell lacks is null."""
    titles, rows = flat(cells, measured)
    kinds = {name: "int" if name in WHOLE else "float" if name.startswith(REAL) else "text" for name in titles}
    return _file(kinds, [*rows])


def summary(found: Sequence[Answer]) -> bytes:
    """The mappings of ``summary.flat`` as a Parquet file."""
    rows = answers_flat(found)
    texts = ("family", "task", "data", "setting", "metric", "pruner", "bound")
    kinds = {
        name: "bool" if name == "informative" else "text" if name.startswith(texts) else "float"
        for name in (rows[0] if rows else {})
    }
    return _file(kinds, rows)


def _file(kinds: Mapping[str, str], rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Columns of these kinds. Raises ``UsageError`` without pyarrow."""
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UsageError(
            "needs pyarrow, which is not installed", where="--format parquet", mend="pip install 'prunebench[parquet]'"
        ) from error
    types = {"int": pyarrow.int64(), "float": pyarrow.float64(), "text": pyarrow.string(), "bool": pyarrow.bool_()}
    columns = {
        name: pyarrow.array([_value(row.get(name, ""), kind) for row in rows], types[kind])
        for name, kind in kinds.items()
    }
    sink = pyarrow.BufferOutputStream()
    parquet.write_table(pyarrow.table(columns), sink, compression="zstd")
    written: bytes = sink.getvalue().to_pybytes()
    return written


def _value(value: object, kind: str) -> object:
    """Options of one name may differ in kind between tasks: as text they share a column. Lone surrogates, which UTF-8
    cannot hold, become ``?``."""
    if value is None or value == "":
        return None
    return str(value).encode(errors="replace").decode() if kind == "text" else value
