"""A metric against what is measured or stored: the Pareto front as steps, what it dominates faint."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports import figures
from reports.curves import LATENCY, Chart, Point
from reports.palette import DENSE_LOOK, INK, Look
from reports.plots.axes import cost_axis, metric_axis, metric_limits
from reports.plots.charts import HEIGHT, INSIDE, named, remark, spread
from reports.plots.style import (
    MARKER,
    SMALL,
    THIN,
    Stroke,
    blank,
    collapsed_handle,
    frame,
    handle,
    strokes,
    width,
)

DENSE = Stroke(DENSE_LOOK)
DOMINATED = 0.3
"""Opacity."""
PLACES = ((4, 3, "left", "bottom"), (4, -3, "left", "top"), (-4, 3, "right", "bottom"), (-4, -3, "right", "top"))
"""Where a label may stand beside its point, in points."""
NEAR = 45.0
"""Points within which one label speaks for points of the same sparsity."""


def pareto(chart: Chart, looks: Mapping[str, Look]) -> Figure:
    """The figure of a chart over bytes or latency. Points on the front have their intervals and sparsities."""
    figure = blank(HEIGHT + 0.15)
    axes = figure.subplots()
    drawn = strokes([one.pruner for one in chart.series], looks)
    lines = [*zip(chart.series, drawn, strict=True)]
    shown = [(p, stroke) for one, stroke in lines for p in one.points if _there(p)]
    shown += [(chart.dense, DENSE)] if chart.dense and _there(chart.dense) else []
    front = set(chart.front)
    faint = bool(front) and any(p not in front for p, _ in shown)
    for depth, (p, stroke) in enumerate(shown):
        _mark(axes, p, stroke, depth, faint=faint and p not in front)
    points = [p for p, _ in shown]
    _limit(axes, chart, points)
    label = "latency of one batch" if chart.kind == LATENCY else "compressed model"
    cost_axis(axes, chart.kind, _ends(points, front), INSIDE, label)
    if chart.front:
        _steps(axes, chart.front)
    metric_axis(axes, chart.metric)
    pruners = [handle(stroke, one.label, line=False) for one, stroke in lines if any(map(_there, one.points))]
    dense = [handle(DENSE, "dense", line=False)] * any(stroke is DENSE for _, stroke in shown)
    hollow = [collapsed_handle()] * any(p.collapsed for p in points)
    said = remark(chart.place, spread(chart), chart.condition)
    frame(figure, named(chart.place), said, [*dense, *pruners, *_explained(chart, faint), *hollow])
    _label(figure, axes, chart, points)
    return figure


def _there(point: Point) -> bool:
    return point.x is not None and point.mean is not None


def _mark(axes: Any, point: Point, stroke: Stroke, depth: int, *, faint: bool) -> None:
    axes.plot(
        [point.x],
        [point.mean],
        linestyle="none",
        alpha=DOMINATED if faint else 1.0,
        **stroke.points(hollow=bool(point.collapsed)),
        zorder=(10 if faint else 30) + depth / 1000,
        gid="dominated" if faint else "front",
    )
    if faint:
        return
    line = {"color": stroke.look.color, "linewidth": THIN, "alpha": 0.7, "zorder": 20}
    if point.low is not None:
        axes.plot([point.x, point.x], [point.low, point.high], gid="interval", **line)
    if point.x_low is not None:
        axes.plot([point.x_low, point.x_high], [point.mean, point.mean], gid="quartiles", **line)


def _steps(axes: Any, front: tuple[Point, ...]) -> None:
    """Along the best metric that so much cost has reached, on to the right edge."""
    x = [p.x for p in front] + [axes.get_xlim()[1]]
    means = [p.mean for p in front] + [front[-1].mean]
    axes.plot(x, means, drawstyle="steps-post", color=INK, linewidth=0.8, zorder=5, gid="steps")


def _explained(chart: Chart, faint: bool) -> list[Line2D]:
    if not chart.front:
        return []
    front = Line2D([], [], color=INK, linewidth=0.8, label="Pareto front, with sparsities")
    dominated = handle(Stroke(Look(INK, "circle")), "faint: dominated", line=False)
    dominated.set_alpha(DOMINATED)
    return [front, *[dominated] * faint]


def _limit(axes: Any, chart: Chart, points: list[Point]) -> None:
    means = [p.mean for p in points if p.mean is not None]
    intervals = [(p.low, p.high) for p in chart.front if p.low is not None and p.high is not None]
    axes.set_ylim(*metric_limits(means, intervals, chart.metric))


def _ends(points: Iterable[Point], front: Collection[Point]) -> list[float]:
    """All that is drawn along the x axis; quartiles are the front's alone, or all's where there is none."""
    found = [x for p in points for x in ((p.x, p.x_low, p.x_high) if p in front or not front else (p.x,))]
    return [x for x in found if x is not None]


def _label(figure: Figure, axes: Any, chart: Chart, points: list[Point]) -> None:
    """Sparsities beside the front's points, as far as they cover no point, no part of the front and no other label."""
    if not chart.front:
        return
    figure.draw_without_rendering()
    scale = figure.dpi / 72
    taken = [_box(axes.transData.transform((p.x, p.mean)), MARKER, MARKER, scale) for p in points]
    frame = axes.get_window_extent()
    taken += _line([axes.transData.transform((p.x, p.mean)) for p in chart.front], frame.x1)
    placed: list[tuple[str, float, float]] = []
    for p, said in zip(chart.front, _said(chart.front), strict=True):
        at = axes.transData.transform((p.x, p.mean))
        wide = width(said)
        if any(said == other and math.dist(at, there) < NEAR * scale for other, *there in placed):
            continue
        for right, up, horizontal, vertical in PLACES:
            middle = (at[0] + scale * (right + (wide / 2 if right > 0 else -wide / 2)),
                      at[1] + scale * (up + (SMALL / 2 if up > 0 else -SMALL / 2)))  # fmt: skip
            box = _box(middle, wide, SMALL, scale)
            inside = frame.x0 <= box[0] and box[2] <= frame.x1 and frame.y0 <= box[1] and box[3] <= frame.y1
            if inside and not any(_overlap(box, other) for other in taken):
                taken.append(box)
                placed.append((said, *at))
                axes.annotate(
                    said, (p.x, p.mean), (right, up), textcoords="offset points", ha=horizontal, va=vertical, zorder=50
                ).set_in_layout(False)
                break


def _line(corners: Sequence[Any], right: float) -> list[tuple[float, float, float, float]]:
    """The steps of the front, on to the ``right`` edge, as boxes of no width."""
    ends = [*((x, y) for x, y in corners[1:]), (right, corners[-1][1])]
    across = [(x, y, after, y) for (x, y), (after, _) in zip(corners, ends, strict=True)]
    up = [(after, min(y, above), after, max(y, above)) for (_, y), (after, above) in zip(corners, ends, strict=True)]
    return [*across, *up]


def _said(front: Iterable[Point]) -> list[str]:
    """Targets, ``#3`` for an iteration; nothing for the dense model."""
    points = [*front]
    targets = iter(figures.sparsities([p.target for p in points if p.iteration is None]))
    said = [f"#{p.iteration}" if p.iteration is not None else next(targets) for p in points]
    return [
        "" if p.iteration is None and p.target == 0 else text.rstrip("0") for p, text in zip(points, said, strict=True)
    ]


def _box(middle: Any, wide: float, high: float, scale: float) -> tuple[float, float, float, float]:
    x, y = float(middle[0]), float(middle[1])
    return x - wide * scale / 2, y - high * scale / 2, x + wide * scale / 2, y + high * scale / 2


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]
