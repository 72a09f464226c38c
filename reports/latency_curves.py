"""Metrics against measured latency: the points of ``reports.curves`` at what the clock said."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from reports.curves import LATENCY, Chart, Point, chart_of, settings_of, with_front
from reports.latency import Measured
from reports.table import Row, Table

HALF_PRECISION = " float16"
REFERENCES = ("dense", "dense float16")
"""Back-ends that run a dense model of the same shapes, not the pruned one."""
PRUNED_BACKENDS = ("masked dense", "CSR", "2:4 float16")
REMOVED = " removed"


def against_latency(tables: Iterable[Table], latency: Measured) -> list[Chart]:
    """A chart a (table, setting, metric, condition) with the Pareto front; none where nothing was measured.

    A pruned model stands at the median latency of the fastest back-end that runs it as it was evaluated; half precision
    is a condition of its own. Of several seeds x is the median of medians, as in the table, with the widest quartiles.
    """
    return [
        with_front(chart)
        for table in tables
        for setting in settings_of(table)
        for rows in [[row for row in table.rows if row.setting == setting]]
        for condition in _conditions(rows, latency)
        for metric in table.metrics
        for chart in [_clocked(chart_of(table, rows, LATENCY, metric, lambda row: None), rows, latency, condition)]
        if chart.drawable
    ]


def _conditions(rows: Sequence[Row], latency: Measured) -> list[str]:
    measured = [latency[cell.key] for row in rows if not row.dense for cell in row.cells if cell.key in latency]
    return sorted({_condition(found, name) for found in measured for name in _entries(found) if _runs_pruned(name)})


def _condition(found: Mapping[str, Any], backend: str) -> str:
    threads = found["threads"]
    said = f"batch size {found['batch_size']}, {threads} thread{'s' if threads != 1 else ''}, {found['device']}"
    return f"{said}, float16" if backend.endswith(HALF_PRECISION) else said


def _entries(found: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {entry["backend"]: entry for entry in found["backends"]}


def _runs_pruned(backend: str) -> bool:
    return backend in PRUNED_BACKENDS or backend.endswith(REMOVED)


def _clocked(chart: Chart, rows: Sequence[Row], latency: Measured, condition: str) -> Chart:
    """The chart with each point at what the clock said under ``condition``."""
    cells = {cell.key: latency[cell.key] for row in rows for cell in row.cells if cell.key in latency}
    series = tuple(
        replace(one, points=tuple(_fastest(p, cells, condition, _runs_pruned) for p in one.points))
        for one in chart.series
    )
    dense = chart.dense and _fastest(chart.dense, cells, condition, lambda name: name in REFERENCES)
    if dense is not None and dense.x is None:
        # Half precision is measured beside each pruned model alone, so what all of them took stands for the dense one.
        everywhere = _fastest(replace(dense, keys=tuple(cells)), cells, condition, lambda name: name in REFERENCES)
        dense = replace(everywhere, keys=dense.keys)
    return replace(chart, series=series, dense=dense, condition=condition)


def _fastest(at: Point, cells: Measured, condition: str, counts: Callable[[str], bool]) -> Point:
    """The point at the lowest median latency of the back-ends that count."""
    times: dict[str, list[Mapping[str, Any]]] = {}
    for found in (cells[key] for key in at.keys if key in cells):
        for name, entry in _entries(found).items():
            if counts(name) and _condition(found, name) == condition:
                times.setdefault(name, []).append(entry)
    if not times:
        return at
    medians = {name: statistics.median(entry["median"] for entry in entries) for name, entries in times.items()}
    best = min(medians, key=lambda name: (medians[name], name))
    lower, upper = min(e["lower"] for e in times[best]), max(e["upper"] for e in times[best])
    return replace(at, x=medians[best], x_low=lower, x_high=upper, backend=best)
