"""An adaptive pruner over its iterations: the metric, the density that it left, the PQ Index that it went by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from reports.curves import Point, Series, Trajectory
from reports.palette import Look
from reports.plots.axes import metric_axis, metric_limits
from reports.plots.charts import draw_levels, draw_series, named, remark
from reports.plots.style import blank, collapsed_handle, frame, handle, strokes
from reports.table import MetricInfo

PANEL = 1.05
"""Inches."""


def trajectory(found: Sequence[Trajectory], looks: Mapping[str, Look]) -> Figure:
    """The figure of the adaptive pruners of one place."""
    figure = blank(3 * PANEL + 0.3)
    above, middle, below = figure.subplots(3, 1, sharex=True)
    drawn = strokes([one.pruner for one in found], looks)
    info = found[0].metric
    levels = draw_levels(above, found[0].dense, None)
    for depth, (one, stroke) in enumerate(zip(found, drawn, strict=True)):
        for axes, points in ((above, one.scores), (middle, one.density), (below, one.pqi)):
            draw_series(axes, Series(one.pruner, one.label, points), stroke, depth)
    dense = [found[0].dense] if found[0].dense else []
    _limit(above, [*dense, *(p for one in found for p in one.scores)], info)
    metric_axis(above, info)
    share = MetricInfo("")
    middle.set_ylim(0, 1.05)
    middle.set_ylabel("density left")
    _limit(below, [p for one in found for p in one.pqi], share)
    below.set_ylabel("PQ Index")
    for axes in (middle, below):
        axes.yaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    below.set_xlabel("iteration (the index is that of the weights it cut)")
    below.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.align_ylabels([above, middle, below])
    seeds = max((p.seeds for one in found for p in one.scores), default=0)
    hollow = [collapsed_handle()] * any(p.collapsed for one in found for p in one.scores)
    lines = [handle(stroke, one.label) for one, stroke in zip(found, drawn, strict=True)]
    said = "one seed" if seeds <= 1 else f"mean, 95 % CI of {seeds} seeds"
    place = found[0].place
    frame(figure, named(place), remark(place, said), [*levels, *lines, *hollow])
    return figure


def _limit(axes: Any, points: Sequence[Point], info: MetricInfo) -> None:
    means = [p.mean for p in points if p.mean is not None]
    intervals = [(p.low, p.high) for p in points if p.low is not None and p.high is not None]
    if means:
        axes.set_ylim(*metric_limits(means, intervals, info))
