"""Which differences and which winners a table marks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from bench.record import Record
from bench.store import Store
from reports.significance import Paired, holm, paired
from reports.table import Evidence, MetricInfo, Row

Values = NDArray[np.floating[Any]]
Examples = Callable[[Record, str], Values | None]
"""The per-example values of a record under a metric's name, or None where it has none."""


def stored(store: Store) -> Examples:
    """Per-example values as they lie beside the records, read when asked for, one metric at a time.

    No digest is computed here: ``Store.record`` has checked the file.
    """

    def read(record: Record, metric: str) -> Values | None:
        name = record.files.get("examples")
        if name is None:
            return None
        try:
            with safe_open(store.local(name), "numpy") as file:
                values: Values = file.get_tensor(metric)
        except (SafetensorError, OSError):
            return None
        return values

    return read


def compare(shared: Sequence[Record], dense: Mapping[int, Record], metric: str, examples: Examples) -> Evidence | None:
    """Records against the dense ones of their seeds: over per-example values where each has them and they agree in
    number, else over the seeds' metrics, of which it takes two. The p-value is not adjusted yet."""
    found = _over_examples(shared, dense, metric, examples) or _over_seeds(shared, dense, metric)
    return None if found is None or found.p is None else Evidence(found.p, found.p, found.seeds, found.examples)


def _over_examples(
    shared: Sequence[Record], dense: Mapping[int, Record], metric: str, examples: Examples
) -> Paired | None:
    after = [values for record in shared if (values := examples(record, metric)) is not None]
    before = [values for record in shared if (values := examples(dense[record.seed], metric)) is not None]
    if not shared or len(after) != len(shared) or len(before) != len(shared):
        return None
    try:
        return paired(before, after, confidence=None)
    except ValueError:
        return None


def _over_seeds(shared: Sequence[Record], dense: Mapping[int, Record], metric: str) -> Paired | None:
    if len(shared) < 2:
        return None
    return paired(
        [dense[record.seed].metrics[metric] for record in shared], [r.metrics[metric] for r in shared], confidence=None
    )


def adjusted(rows: Sequence[Row]) -> list[Row]:
    """The rows of one table with Holm's p-values."""
    p_values = holm([row.evidence.unadjusted if row.evidence else None for row in rows])
    return [
        replace(row, evidence=replace(row.evidence, p=p)) if row.evidence and p is not None else row
        for row, p in zip(rows, p_values, strict=True)
    ]


def with_best(rows: Sequence[Row], metrics: Sequence[MetricInfo]) -> list[Row]:
    """The rows of one setting, each with the metrics in which it is the best pruner at its target.

    Equal means are equally good. Where all pruners at a target are, or one stands alone, and of iterations, which have
    no target in common, none is marked.
    """
    levels: dict[float, list[Row]] = {}
    for row in rows:
        if not row.dense and row.iteration is None and row.seeds:
            levels.setdefault(row.target, []).append(row)
    tops = {
        (target, info.name): (max if info.higher_is_better else min)(values)
        for target, level in levels.items()
        for info in metrics
        if info.higher_is_better is not None
        and len(values := {row.metrics[info.name].mean for row in level if info.name in row.metrics}) > 1
    }

    def marked(row: Row) -> frozenset[str]:
        if row.dense or row.iteration is not None:
            return frozenset()
        return frozenset(name for name, value in row.metrics.items() if value.mean == tops.get((row.target, name)))

    return [replace(row, best=best) if (best := marked(row)) else row for row in rows]
