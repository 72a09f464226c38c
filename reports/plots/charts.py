"""A metric against sparsity or FLOPs: a line a pruner with its interval, between the dense model and chance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.curves import FLOPS, SPARSITY, Chart, Place, Point, Series
from reports.palette import FAINT, INK, Look
from reports.plots.axes import cost_axis, metric_axis, metric_limits, sparsity_axis
from reports.plots.style import (
    LINE,
    MARKER,
    THIN,
    WIDTH,
    Stroke,
    blank,
    collapsed_handle,
    failed_handle,
    frame,
    handle,
    strokes,
)

HEIGHT = 1.85
"""Inches, the legend and the name not counted."""
INSIDE = WIDTH - 0.55
"""Inches between the y axis and the right edge, about."""
BAND, EDGES, DENSE_BAND = 0.1, 0.35, 0.12
"""Opacities."""
NAN = float("nan")


def curves(chart: Chart, looks: Mapping[str, Look]) -> Figure:
    """The figure of a chart over sparsity or FLOPs. A band is a 95 % confidence interval over seeds."""
    figure = blank(HEIGHT)
    axes = figure.subplots()
    drawn = strokes([one.pruner for one in chart.series], looks)
    for depth, (one, stroke) in enumerate(zip(chart.series, drawn, strict=True)):
        draw_series(axes, one, stroke, depth)
    handles = [*draw_levels(axes, chart.dense, chart.chance)]
    handles += [
        handle(stroke, one.label)
        for one, stroke in zip(chart.series, drawn, strict=True)
        if any(p.x is not None for p in one.points)
    ]
    _limit(axes, chart)
    handles += marks(axes, chart.series, looks)
    placed = [p.x for one in chart.series for p in one.points if p.x is not None]
    if chart.kind == SPARSITY:
        sparsity_axis(axes, placed, INSIDE)
    elif chart.kind == FLOPS:
        dense = [chart.dense.x] if chart.dense and chart.dense.x is not None else []
        cost_axis(axes, FLOPS, [*placed, *dense], INSIDE, "FLOPs per example")
        if dense:
            axes.axvline(dense[0], color=INK, linewidth=THIN, linestyle=(0, (1, 2)), zorder=1)
    metric_axis(axes, chart.metric)
    frame(figure, named(chart.place), remark(chart.place, spread(chart)), handles)
    return figure


def draw_series(axes: Any, one: Series, stroke: Stroke, depth: int = 0) -> None:
    """A line through the points, broken where all cells failed, its band, and hollow markers where layers collapsed."""
    points = [p for p in one.points if p.x is not None]
    if not points:
        return
    color = stroke.look.color
    x = [p.x for p in points]
    means = [NAN if p.mean is None else p.mean for p in points]
    axes.plot(x, means, color=color, linestyle=stroke.dash, linewidth=LINE, zorder=10 + depth, gid="line")
    for hollow in (False, True):
        marked = [p for p in points if p.mean is not None and p.seeds and bool(p.collapsed) is hollow]
        axes.plot(
            [p.x for p in marked],
            [p.mean for p in marked],
            linestyle="none",
            zorder=30 + depth,
            gid="collapsed" if hollow else "points",
            **stroke.points(hollow=hollow),
        )
    banded = [p for p in points if p.low is not None and p.high is not None]
    if _monotone([p.x for p in banded if p.x is not None]):
        low, high = ([NAN if end is None else end for end in ends] for ends in zip(*map(_ends, points), strict=True))
        axes.fill_between(x, low, high, color=color, alpha=BAND, linewidth=0, zorder=2, gid="band")
        for ends in (low, high):
            axes.plot(x, ends, color=color, linewidth=0.4, alpha=EDGES, zorder=3, gid="edge")
    else:
        for p in banded:
            axes.plot([p.x, p.x], [p.low, p.high], color=color, linewidth=THIN, alpha=0.6, zorder=3, gid="interval")


def draw_levels(axes: Any, dense: Point | None, chance: float | None) -> list[Any]:
    """The dense model's level with its band, and chance's; their entries in the legend."""
    handles: list[Any] = []
    if dense is not None and dense.mean is not None:
        line = axes.axhline(dense.mean, color=INK, linewidth=0.8, linestyle=(0, (5, 2)), zorder=4, label="dense")
        handles.append(line)
        if dense.low is not None and dense.high is not None:
            axes.axhspan(dense.low, dense.high, color=INK, alpha=DENSE_BAND, linewidth=0, zorder=1)
    if chance is not None:
        handles.append(
            axes.axhline(chance, color=FAINT, linewidth=0.8, linestyle=(0, (1, 1.5)), zorder=1, label="chance")
        )
    return handles


def marks(axes: Any, series: tuple[Series, ...], looks: Mapping[str, Look]) -> list[Line2D]:
    """A cross at the bottom, a row a pruner, wherever cells failed; entries that explain it and hollow markers."""
    failing = [one for one in series if any(p.failed and p.x is not None for p in one.points)]
    for row, one in enumerate(failing):
        x = [p.x for p in one.points if p.failed and p.x is not None]
        axes.plot(
            x,
            [0.025 + 0.05 * row] * len(x),
            linestyle="none",
            marker="x",
            markersize=MARKER - 0.6,
            markeredgewidth=0.9,
            color=looks[one.pruner].color,
            transform=axes.get_xaxis_transform(),
            zorder=40,
            clip_on=False,
            gid="failed",
        )
    if failing:
        low, high = axes.get_ylim()
        axes.set_ylim(low - (high - low) * (0.05 * len(failing) + 0.01), high)
    collapsed = any(p.collapsed and p.mean is not None for one in series for p in one.points)
    return [collapsed_handle()] * collapsed + [failed_handle()] * bool(failing)


def named(place: Place) -> str:
    """Task and model."""
    return " · ".join(part for part in (place.task, place.setting or ", ".join(place.models)) if part)


def remark(place: Place, *said: str) -> str:
    """What the reader must know of the data, and what else is ``said``."""
    kind = str(place.data.get("kind", ""))
    kind = {
        "sample": "synthetic sample",
        "subset": "official subset",
        "whole": "whole official data",
        "changed": "not the official content",
    }.get(kind, kind)
    return " · ".join(part for part in (kind, *said) if part)


def spread(chart: Chart) -> str:
    """How many seeds are behind it and what the band is."""
    counts = sorted({p.seeds for one in chart.series for p in one.points if p.seeds})
    if not counts or counts[-1] == 1:
        return "one seed"
    said = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]}–{counts[-1]}"
    return f"mean, 95 % CI of {said} seeds"


def _limit(axes: Any, chart: Chart) -> None:
    points = [p for one in chart.series for p in one.points if p.x is not None]
    points += [chart.dense] if chart.dense else []
    means = [p.mean for p in points if p.mean is not None] + ([chart.chance] if chart.chance is not None else [])
    intervals = [(p.low, p.high) for p in points if p.low is not None and p.high is not None]
    axes.set_ylim(*metric_limits(means, intervals, chart.metric))


def _ends(point: Point) -> tuple[float | None, float | None]:
    return point.low, point.high


def _monotone(values: list[float]) -> bool:
    """Whether they only rise or only fall, as a band needs."""
    return values in (sorted(values), sorted(values, reverse=True))
