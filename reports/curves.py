"""What figures show, before anything draws it: each point with its interval and the keys of the cells behind it.

Figures and HTML draw from here, so that both show the numbers of the tables. Metrics are as in the records (a share
where tables print per cent), sparsities and densities are shares, latency is in milliseconds.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bench.record import Record
from reports.estimates import estimate
from reports.table import MetricInfo, Row, Table

SPARSITY, FLOPS, BYTES, LATENCY = "sparsity", "FLOPs", "bytes", "latency"


@dataclass(frozen=True)
class Place:
    """What the cells of a figure share."""

    task: str
    title: str
    version: int
    setting: str
    """What sets model, options or training apart where a task has several; else empty."""
    models: tuple[str, ...]
    data: Mapping[str, Any]
    """``name``, ``kind`` (sample, subset or whole), ``counts``, ``digest``."""


@dataclass(frozen=True)
class Point:
    """One row of the table."""

    x: float | None
    """None where no cell is done that would tell."""
    mean: float | None
    """None where every cell failed, or none has the metric."""
    low: float | None
    """Lower end of the 95 % confidence interval; None with one seed."""
    high: float | None
    seeds: int
    """Cells behind the mean."""
    target: float
    """Target sparsity, or the number of the iteration."""
    iteration: int | None
    collapsed: int
    """Layers without a weight left, in one seed at least."""
    failed: int
    """Cells that failed."""
    keys: tuple[str, ...]
    """Of the cells that are done, by seed."""
    failed_keys: tuple[str, ...] = ()
    x_low: float | None = None
    """Lower quartile where x is measured."""
    x_high: float | None = None
    backend: str = ""
    """Which back-end took x milliseconds."""


@dataclass(frozen=True)
class Series:
    """One pruner's points, in the order of targets."""

    pruner: str
    """Its name alone, by which ``reports.palette`` gives it colour and marker."""
    label: str
    """As tables name it: with what is unusual about it, where something is."""
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Chart:
    """A metric against sparsity, FLOPs, bytes or latency."""

    kind: str
    """``sparsity``, ``FLOPs``, ``bytes`` or ``latency``."""
    place: Place
    metric: MetricInfo
    series: tuple[Series, ...]
    dense: Point | None
    chance: float | None
    """What chance alone reaches, where the records tell."""
    front: tuple[Point, ...] = ()
    """Bytes and latency: the points, dense included, than which none is at once cheaper and better; by x."""
    condition: str = ""
    """Latency: batch size, threads, device, and precision where it is half."""

    @property
    def drawable(self) -> bool:
        """Whether any pruner has a point."""
        return any(p.x is not None and p.mean is not None for one in self.series for p in one.points)


@dataclass(frozen=True)
class Densities:
    """What one pruner leaves of each layer."""

    place: Place
    pruner: str
    label: str
    layers: tuple[str, ...]
    """In the model's order."""
    columns: tuple[Point, ...]
    """One a target; x is the sparsity reached, the mean is the density of all layers together."""
    values: tuple[tuple[float | None, ...], ...]
    """Mean density over seeds, a row a layer and a column a target; None where the layer is not there."""


@dataclass(frozen=True)
class Trajectory:
    """An adaptive pruner over its iterations: x is the iteration's number."""

    place: Place
    pruner: str
    label: str
    metric: MetricInfo
    dense: Point | None
    pqi: tuple[Point, ...]
    """PQ Index of the weights that the iteration's cut was made on: its mean over layers."""
    density: tuple[Point, ...]
    """After the cut."""
    scores: tuple[Point, ...]
    """The metric after the cut and the training that follows."""


def against_sparsity(tables: Iterable[Table]) -> list[Chart]:
    """A chart a (table, setting, metric), the leading metric first. Points with no cell done stand at their target."""
    return _charts(tables, SPARSITY, _sparsity)


def against_flops(tables: Iterable[Table]) -> list[Chart]:
    """As ``against_sparsity``, over FLOPs of one example."""
    return _charts(tables, FLOPS, lambda row: row.flops)


def against_bytes(tables: Iterable[Table]) -> list[Chart]:
    """As ``against_sparsity``, over the bytes of the compressed model, with the Pareto front."""
    return [with_front(chart) for chart in _charts(tables, BYTES, lambda row: row.compressed_bytes)]


def densities(tables: Iterable[Table]) -> list[Densities]:
    """One for each (table, setting, pruner) of which a cell lists its layers."""
    found = []
    for table in tables:
        for setting in settings_of(table):
            rows = [row for row in table.rows if row.setting == setting]
            for line in _lines(rows):
                mine = [row for row in rows if row.line == line and any(cell.layers for cell in row.cells)]
                if mine:
                    found.append(_densities(_place(table, rows), line, mine))
    return found


def trajectories(tables: Iterable[Table]) -> list[Trajectory]:
    """One for each (table, setting, pruner) whose cells are iterations that a PQ Index led."""
    found = []
    for table in tables:
        for setting in settings_of(table):
            rows = [row for row in table.rows if row.setting == setting]
            for line in _lines(rows):
                mine = [row for row in rows if row.line == line and _pqi(row) and row.iteration is not None]
                if mine and table.metrics:
                    found.append(_trajectory(_place(table, rows), line, mine, _dense(rows), table.metrics[0]))
    return found


def pareto_front(points: Iterable[Point], info: MetricInfo) -> tuple[Point, ...]:
    """The points than which none has a smaller or equal x and a better or equal mean, one of them truly; by x.
    Empty where the records do not tell which direction of the metric is better."""
    if info.higher_is_better is None:
        return ()
    sign = 1 if info.higher_is_better else -1
    placed = [(p.x, -sign * p.mean, p) for p in points if p.x is not None and p.mean is not None]
    front: list[Point] = []
    best = math.inf
    last = None
    for x, loss, point in sorted(placed, key=lambda entry: entry[:2]):
        if loss < best or (loss, x) == last:
            front.append(point)
            best, last = loss, (loss, x)
    return tuple(front)


def point(row: Row, metric: str, x: float | None) -> Point:
    """The row at ``x``, with the table's mean and interval of ``metric``."""
    found = row.metrics.get(metric)
    width = found.half_width if found else None
    return Point(
        x,
        found.mean if found else None,
        found.mean - width if found and width is not None else None,
        found.mean + width if found and width is not None else None,
        found.n if found else 0,
        row.target,
        row.iteration,
        len(row.collapsed),
        len(row.failures),
        tuple(cell.key for cell in row.cells),
        tuple(cell.key for cell in row.failures),
    )


def settings_of(table: Table) -> list[str]:
    """What sets the table's settings apart, each once."""
    return list(dict.fromkeys(row.setting for row in table.rows))


def _lines(rows: Sequence[Row]) -> list[str]:
    return list(dict.fromkeys(row.line for row in rows if not row.dense))


def _dense(rows: Sequence[Row]) -> Row | None:
    return next((row for row in rows if row.dense), None)


def _place(table: Table, rows: Sequence[Row]) -> Place:
    models = tuple(sorted({cell.model for row in rows for cell in (*row.cells, *row.failures)}))
    return Place(table.task, table.title, table.version, rows[0].setting, models, table.data)


def _sparsity(row: Row) -> float | None:
    if row.sparsity is not None:
        return row.sparsity
    return row.target if row.iteration is None else None


def _charts(tables: Iterable[Table], kind: str, x: Callable[[Row], float | None]) -> list[Chart]:
    found = []
    for table in tables:
        for setting in settings_of(table):
            rows = [row for row in table.rows if row.setting == setting]
            charts = [chart_of(table, rows, kind, metric, x) for metric in table.metrics]
            found += [chart for chart in charts if chart.drawable]
    return found


def chart_of(
    table: Table, rows: Sequence[Row], kind: str, metric: MetricInfo, x: Callable[[Row], float | None]
) -> Chart:
    series = []
    for line in _lines(rows):
        mine = [row for row in rows if row.line == line]
        series.append(Series(mine[0].pruner, line, tuple(point(row, metric.name, x(row)) for row in mine)))
    dense = _dense(rows)
    floors = [row.floor[metric.name] for row in rows if metric.name in row.floor]
    reference = point(dense, metric.name, x(dense)) if dense is not None and metric.name in dense.metrics else None
    chance = dense.floor.get(metric.name) if dense is not None else None
    return Chart(
        kind,
        _place(table, rows),
        metric,
        tuple(series),
        reference,
        chance if chance is not None else statistics.median(floors) if floors else None,
    )


def with_front(chart: Chart) -> Chart:
    points = [p for one in chart.series for p in one.points] + ([chart.dense] if chart.dense else [])
    return replace(chart, front=pareto_front(points, chart.metric))


def _densities(place: Place, line: str, rows: Sequence[Row]) -> Densities:
    layers = tuple(dict.fromkeys(layer.name for row in rows for cell in row.cells for layer in cell.layers))
    by_row = [_layer_means(row.cells) for row in rows]
    columns = tuple(
        _estimated(row, row.sparsity, [1 - cell.sparsity for cell in row.cells if cell.sparsity is not None])
        for row in rows
    )
    values = tuple(tuple(means.get(layer) for means in by_row) for layer in layers)
    return Densities(place, rows[0].pruner, line, layers, columns, values)


def _layer_means(cells: Sequence[Record]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for cell in cells:
        for layer in cell.layers:
            found.setdefault(layer.name, []).append(layer.density)
    return {name: math.fsum(values) / len(values) for name, values in found.items()}


def _pqi(row: Row) -> list[float]:
    """Of each cell, before its last cut."""
    last = [cell.trace[-1].get("pqi") for cell in row.cells if cell.trace]
    return [float(value) for value in last if isinstance(value, int | float)]


def _trajectory(place: Place, line: str, rows: Sequence[Row], dense: Row | None, metric: MetricInfo) -> Trajectory:
    left = [[1 - cell.sparsity for cell in row.cells if cell.sparsity is not None] for row in rows]
    return Trajectory(
        place,
        rows[0].pruner,
        line,
        metric,
        point(dense, metric.name, 0.0) if dense is not None and metric.name in dense.metrics else None,
        tuple(_estimated(row, row.target, _pqi(row)) for row in rows),
        tuple(_estimated(row, row.target, values) for row, values in zip(rows, left, strict=True)),
        tuple(point(row, metric.name, row.target) for row in rows),
    )


def _estimated(row: Row, x: float | None, values: Sequence[float]) -> Point:
    """A point of the row whose values are not one of its metrics."""
    found = estimate(values)
    width = found.half_width if found else None
    mean = found.mean if found else None
    interval = (mean - width, mean + width) if mean is not None and width is not None else (None, None)
    return replace(point(row, "", x), mean=mean, low=interval[0], high=interval[1], seeds=len(values))
