"""Which figures a selection of cells has, under which names, and writing them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from matplotlib.figure import Figure

from bench.errors import UsageError
from reports import curves, latency_curves
from reports.curves import Chart, Densities, Place, Trajectory
from reports.latency import Measured
from reports.overview import overview
from reports.palette import Look
from reports.plots.charts import curves as draw_curves
from reports.plots.iterations import trajectory
from reports.plots.layers import heat_map
from reports.plots.pareto import pareto
from reports.plots.safety import retention, safe_sparsities
from reports.plots.style import content, styled
from reports.table import Table

LONGEST = 100
"""Characters of a file's name."""
Placed = TypeVar("Placed", Densities, Trajectory)
_UNSAFE = re.compile(r"[^A-Za-z0-9.@]+")


@dataclass(frozen=True)
class Named:
    """A figure that is not drawn yet."""

    name: str
    """Of its files, without the ending."""
    title: str
    """In the files' metadata."""
    draw: Callable[[], Figure]


@dataclass(frozen=True)
class Book:
    """The figures of a selection."""

    figures: tuple[Named, ...]
    missing: tuple[str, ...]
    """Kinds of figures that no cell is there for, and why."""


def of_tasks(tables: Sequence[Table], latency: Measured, looks: Mapping[str, Look]) -> Book:
    """For each task, setting and metric the curves over sparsity and FLOPs and the Pareto fronts over bytes and
    latency; for each task and setting the heat maps of layers' densities and the iterations of adaptive pruners."""
    found: list[tuple[Place, str, str, Callable[[], Figure]]] = []
    missing = []

    def add(place: Place, *what: str, draw: Callable[[], Figure]) -> None:
        found.append((place, "-".join(what), f"{place.task}: {' against '.join(what)}", draw))

    lines = [*curves.against_sparsity(tables), *curves.against_flops(tables)]
    fronts = [*curves.against_bytes(tables), *latency_curves.against_latency(tables, latency)]
    for chart in lines:
        add(chart.place, chart.metric.name, chart.kind, draw=_call(draw_curves, chart, looks))
    for chart in fronts:
        add(chart.place, chart.metric.name, *_kind(chart), draw=_call(pareto, chart, looks))
    if not any(chart.kind == curves.LATENCY for chart in fronts):
        missing.append("latency (no cell here was measured: 'bench run --measure latency')")
    for maps in _by_place(curves.densities(tables)):
        add(maps[0].place, "densities", draw=_call(heat_map, maps))
    paths = _by_place(curves.trajectories(tables))
    for one in paths:
        add(one[0].place, "iterations", draw=_call(trajectory, one, looks))
    if not paths:
        missing.append("iterations (no cell here is one of a pruner that a PQ Index leads: 'sap')")
    names = _names([(place, what) for place, what, _, _ in found])
    return Book(
        tuple(Named(name, title, draw) for name, (_, _, title, draw) in zip(names, found, strict=True)), tuple(missing)
    )


def of_summary(tables: Sequence[Table], looks: Mapping[str, Look]) -> Book:
    """The cross-task figures: safe sparsities, and retention on the way."""
    panels = overview(tables)
    if not any(one.answer.kept for panel in panels for one in panel.safe):
        return Book((), ("summary (no pruned cell can be compared to a dense one)",))
    return Book(
        (
            Named("summary-safe", "largest safe sparsity by task and pruner", _call(safe_sparsities, panels, looks)),
            Named("summary-retention", "retention against sparsity by task", _call(retention, panels, looks)),
        ),
        (),
    )


def write(book: Book, folder: Path, formats: Iterable[str]) -> None:
    """Draws each figure and writes it in each format; ``folder`` is made where it is not there.

    Raises ``UsageError`` where it cannot be written.
    """
    where = f"--figures {folder}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with styled():
            for named in book.figures:
                figure = named.draw()
                for format in formats:
                    (folder / f"{named.name}.{format}").write_bytes(content(figure, format, named.title))
    except OSError as error:
        raise UsageError(f"cannot be written ({error.strerror or error})", where=where) from error


def _call(draw: Callable[..., Figure], *given: Any) -> Callable[[], Figure]:
    return lambda: draw(*given)


def _kind(chart: Chart) -> tuple[str, ...]:
    """``latency`` with its condition, which tells charts of one task apart."""
    return (chart.kind, chart.condition) if chart.condition else (chart.kind,)


def _by_place(found: Sequence[Placed]) -> list[list[Placed]]:
    groups: dict[str, list[Placed]] = {}
    for one in found:
        groups.setdefault(_digest(one.place), []).append(one)
    return list(groups.values())


def _names(of: Sequence[tuple[Place, str]]) -> list[str]:
    """A file name each: task, setting and what is shown; of those that would be alike a digest tells them apart, so
    that none depends on which other figures are drawn beside it with another name."""
    names = [_slug("-".join(part for part in (place.task, place.setting, what) if part)) for place, what in of]
    lower = [name.lower() for name in names]
    return [
        f"{name}-{_digest(place, what)[:8]}" if lower.count(name.lower()) > 1 else name
        for name, (place, what) in zip(names, of, strict=True)
    ]


def _slug(text: str) -> str:
    """Text as part of a file's name on any system, shortened where it is long."""
    slug = _UNSAFE.sub("-", text).strip("-.") or "figure"
    return slug if len(slug) <= LONGEST else f"{slug[: LONGEST - 9]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _digest(place: Place, what: str = "") -> str:
    return hashlib.sha256(json.dumps([asdict(place), what], sort_keys=True, default=str).encode()).hexdigest()
