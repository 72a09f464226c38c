"""Charts as shapes: where lines, bands, points and ticks stand in a drawing, and what each point says in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from reports import figures
from reports.curves import BYTES, FLOPS, LATENCY, SPARSITY, Chart, Point, Series, Trajectory
from reports.estimates import Estimate
from reports.html import axes
from reports.html.axes import Axis
from reports.scales import UNITS
from reports.table import MetricInfo

WIDTH, HEIGHT = 460.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 66.0, 12.0, 12.0, 46.0
ABOVE, BELOW, NAME = 4.0, 13.0, 12.0
"""From a level to the baseline of its name, and what a line of text takes."""
FAILED_STEP = 11.0
"""Between the rows of crosses at the bottom."""
DASHES = ("", "6 3", "2 3", "8 3 2 3")
"""Of the lines of one pruner, one a recipe."""
DENSE_CLASS = 0
"""Number of the dense reference's class."""


@dataclass(frozen=True)
class Mark:
    """A point, or the cross of cells that failed."""

    x: float
    y: float
    said: str
    """All that there is to know of it, in words."""
    row: int | None
    """Of the page's rows, whose cells it stands for."""
    kind: str
    """``point``, ``hollow`` where a layer collapsed, or ``failed``."""


@dataclass(frozen=True)
class Line:
    """One pruner."""

    pruner: str
    label: str
    number: int
    """Of its class and marker."""
    dash: str
    path: str
    """Through the points, broken where all cells failed; of a Pareto chart nothing."""
    band: str
    """The confidence interval as a polygon; nothing where x turns back."""
    bars: tuple[tuple[float, float, float], ...]
    """The intervals by themselves, x and both ends, where there is no band."""
    marks: tuple[Mark, ...]
    name: str = ""
    """Beside the line, where the legend does not have it."""


@dataclass(frozen=True)
class Level:
    """A line across: the dense model with its interval, or chance."""

    name: str
    y: float
    band: tuple[float, float] | None
    named: float
    """Baseline of its name."""


@dataclass(frozen=True)
class Drawing:
    """A chart in the units of its ``box``."""

    title: str
    x: Axis
    y: Axis
    lines: tuple[Line, ...]
    levels: tuple[Level, ...]
    front: str = ""
    """The Pareto front, in steps."""
    dense_last: bool = False
    """Whether the dense model stands at the right end, so that its level is named at the left."""


Rows = Mapping[str, int]
"""Keys of cells to the page's rows."""
Numbers = Mapping[str, int]
"""Pruners to the numbers of their classes."""


def dashes(lines: Iterable[tuple[str, str]]) -> dict[str, str]:
    """A dash for each line, given as label and pruner: lines of one pruner have one colour."""
    found: dict[str, str] = {}
    taken: dict[str, int] = {}
    for label, pruner in lines:
        if label not in found:
            found[label] = DASHES[taken.get(pruner, 0) % len(DASHES)]
            taken[pruner] = taken.get(pruner, 0) + 1
    return found


def chart(found: Chart, numbers: Numbers, rows: Rows, dash: Mapping[str, str]) -> Drawing:
    """A metric against sparsity, FLOPs, bytes or latency."""
    series = [one for one in found.series if any(point.x is not None for point in one.points)]
    pareto = found.kind in (BYTES, LATENCY)
    dense = [found.dense] if found.dense is not None and found.dense.mean is not None else []
    points = [point for one in series for point in one.points]
    seen = [p.mean for p in (*points, *dense) if p.mean is not None and p.x is not None] or [0.0]
    ends = [end for p in (*points, *dense) for end in (p.low, p.high) if end is not None]
    failing = [] if pareto else [one for one in series if any(p.failed and p.x is not None for p in one.points)]
    floor = HEIGHT - BOTTOM - (FAILED_STEP * len(failing) + 4 if failing else 0)
    y = axes.metric_axis(found.metric, [*seen, *_near(found.chance, seen)], ends, floor, TOP)
    x = _x_axis(found.kind, [p.x for p in (*points, *(dense if found.kind != SPARSITY else ())) if p.x is not None])
    drawn = [
        _line(one, numbers, rows, found, x, y, dash.get(one.label, ""), failing.index(one) if one in failing else None)
        for one in series
    ]
    if dense and found.kind != SPARSITY and dense[0].x is not None:
        drawn.append(_dense(dense[0], rows, found, x, y))
    return Drawing(
        f"{found.metric.name} against {found.kind}",
        x,
        y,
        tuple(drawn),
        _apart([*_levels(found, y)]),
        _steps([(x.place(p.x), y.place(p.mean)) for p in found.front if p.x is not None and p.mean is not None]),
        dense_last=found.kind != SPARSITY,
    )


def trajectory(found: Trajectory, numbers: Numbers, rows: Rows) -> list[Drawing]:
    """PQ Index and density over iterations, then the metric."""
    x = axes.number_axis("iteration", [p.x for p in found.scores if p.x is not None], LEFT, WIDTH - RIGHT)
    shares = axes.share_axis("share", HEIGHT - BOTTOM, TOP)
    number = numbers.get(found.pruner, DENSE_CLASS)
    lines = []
    for name, points, dash in (("PQ Index", found.pqi, ""), ("density", found.density, DASHES[1])):
        said = {id(p): f"{found.label} #{p.iteration}: {name} {_share(p)}{_seeds(p)}" for p in points}
        line = _drawn(found.pruner, f"{found.label}: {name}", number, dash, points, x, shares, said, rows)
        lines.append(replace(line, name=name))
    means = [p.mean for p in found.scores if p.mean is not None]
    drawings = [Drawing("PQ Index and density over iterations", x, shares, tuple(lines), ())]
    if not means:
        return drawings
    ends = [end for p in found.scores for end in (p.low, p.high) if end is not None]
    level = found.dense.mean if found.dense is not None else None
    y = axes.metric_axis(found.metric, [*means, *([level] if level is not None else [])], ends, HEIGHT - BOTTOM, TOP)
    said = {id(p): f"{found.label} #{p.iteration}: {_measured(p, found.metric)}{_seeds(p)}" for p in found.scores}
    line = _drawn(found.pruner, found.label, number, "", found.scores, x, y, said, rows)
    levels = [_level(found.dense, y)] if found.dense is not None and level is not None else []
    return [*drawings, Drawing(f"{found.metric.name} over iterations", x, y, (line,), tuple(levels))]


def place(kind: str, value: float | None) -> str:
    """x in words."""
    if value is None:
        return figures.NOTHING
    if kind == SPARSITY:
        return f"sparsity {figures.sparsities([value])[0]}"
    if kind == LATENCY:
        return f"{value:.3g} ms"
    divisor, unit = next((scale for scale in UNITS[kind] if value >= scale[0]), UNITS[kind][-1])
    return f"{figures.flops(value, divisor)} {unit}"


def target(point: Point) -> str:
    """``0.9``, or ``#3``."""
    return f"#{point.iteration}" if point.iteration is not None else f"{point.target:g}"


def estimate(point: Point) -> Estimate | None:
    """The point's mean with its interval."""
    if point.mean is None:
        return None
    return Estimate(point.mean, None if point.high is None else point.high - point.mean, point.seeds)


def _x_axis(kind: str, values: Sequence[float]) -> Axis:
    start, end = LEFT, WIDTH - RIGHT
    if kind == SPARSITY:
        return axes.sparsity_axis(values, start, end)
    titles = {FLOPS: "FLOPs per example", BYTES: "bytes, compressed", LATENCY: "latency, measured (ms)"}
    return axes.cost_axis(titles[kind], kind, values, start, end)


def _near(chance: float | None, means: Sequence[float]) -> list[float]:
    """Chance belongs in the drawing where it leaves the means half of it."""
    spread = max(means) - min(means)
    return [chance] if chance is not None and min(abs(chance - mean) for mean in means) <= spread else []


def _line(
    one: Series, numbers: Numbers, rows: Rows, found: Chart, x: Axis, y: Axis, dash: str, failing: int | None
) -> Line:
    said = {id(p): _said(one.label, p, found) for p in one.points}
    number = numbers.get(one.pruner, DENSE_CLASS)
    line = _drawn(one.pruner, one.label, number, dash, one.points, x, y, said, rows, joined=not found.front)
    if failing is None:
        return line
    depth = HEIGHT - BOTTOM - FAILED_STEP * (failing + 0.5) - 2
    crosses = [
        Mark(_at(x.place(p.x)), _at(depth), f"{one.label} at {target(p)}: {_failures(p)}", _row(p, rows), "failed")
        for p in one.points
        if p.failed and p.x is not None
    ]
    return replace(line, marks=(*line.marks, *crosses))


def _dense(point: Point, rows: Rows, found: Chart, x: Axis, y: Axis) -> Line:
    said = {id(point): _said("dense", point, found)}
    return _drawn("", "dense", DENSE_CLASS, "", [point], x, y, said, rows, joined=False)


def _drawn(
    pruner: str,
    label: str,
    number: int,
    dash: str,
    points: Sequence[Point],
    x: Axis,
    y: Axis,
    said: Mapping[int, str],
    rows: Rows,
    *,
    joined: bool = True,
) -> Line:
    shown = [p for p in points if p.x is not None]
    placed = [(p, x.place(p.x or 0.0)) for p in shown]
    marks = tuple(
        Mark(_at(at), _at(y.place(p.mean)), said[id(p)], _row(p, rows), "hollow" if p.collapsed else "point")
        for p, at in placed
        if p.mean is not None
    )
    banded = [(at, y.place(p.low), y.place(p.high)) for p, at in placed if p.low is not None and p.high is not None]
    steps = [b[0] - a[0] for a, b in pairwise(banded)]
    one_way = joined and bool(steps) and (min(steps) > 0 or max(steps) < 0)
    bars = tuple((_at(at), _at(low), _at(high)) for at, low, high in banded) if not one_way else ()
    runs = _runs([(at, y.place(p.mean)) if p.mean is not None else None for p, at in placed]) if joined else []
    corners = [*((at, low) for at, low, _ in banded), *((at, high) for at, _, high in reversed(banded))]
    return Line(
        pruner,
        label,
        number,
        dash,
        "".join(map(_path, runs)),
        " ".join(f"{_at(a):g},{_at(b):g}" for a, b in corners) if one_way else "",
        bars,
        marks,
    )


def _runs(points: Iterable[tuple[float, float] | None]) -> list[list[tuple[float, float]]]:
    """Rows of points without a gap."""
    runs: list[list[tuple[float, float]]] = [[]]
    for point in points:
        if point is None:
            runs.append([])
        else:
            runs[-1].append(point)
    return [run for run in runs if len(run) > 1]


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_at(a):g} {_at(b):g}" for a, b in points) if len(points) > 1 else ""


def _steps(points: Sequence[tuple[float, float]]) -> str:
    """What can be had for so much: level until the next point."""
    first, *others = points or [(0.0, 0.0)]
    return (
        f"M{_at(first[0]):g} {_at(first[1]):g}" + "".join(f"H{_at(a):g}V{_at(b):g}" for a, b in others)
        if others
        else ""
    )


def _at(value: float) -> float:
    return round(value, 1)


def _row(point: Point, rows: Rows) -> int | None:
    return next((rows[key] for key in (*point.keys, *point.failed_keys) if key in rows), None)


def _levels(found: Chart, y: Axis) -> Iterator[Level]:
    if found.dense is not None and found.dense.mean is not None:
        yield _level(found.dense, y)
    if found.chance is not None and _inside(y.place(found.chance)):
        yield _placed("chance", y.place(found.chance), None)


def _level(dense: Point, y: Axis) -> Level:
    def clamped(value: float) -> float:
        return _at(min(max(y.place(value), TOP), HEIGHT - BOTTOM))

    band = None if dense.low is None or dense.high is None else (clamped(dense.high), clamped(dense.low))
    return _placed("dense", y.place(dense.mean or 0.0), band)


def _placed(name: str, y: float, band: tuple[float, float] | None) -> Level:
    """Its name above the line, or below it where there is no room."""
    return Level(name, _at(y), band, _at(y - ABOVE if y > TOP + NAME else y + BELOW))


def _apart(levels: Sequence[Level]) -> tuple[Level, ...]:
    """Two names that would overlap: one above the upper line, one below the lower one, or stacked at an edge."""
    if len(levels) < 2 or abs(levels[0].named - levels[1].named) >= NAME:
        return tuple(levels)
    upper, lower = sorted(levels, key=lambda level: level.y)
    below = _at(max(lower.y + BELOW, upper.named + NAME))
    if below > HEIGHT - BOTTOM:
        below = lower.named
        upper = replace(upper, named=_at(min(upper.named, below - NAME)))
    moved = {upper.name: upper, lower.name: replace(lower, named=below)}
    return tuple(moved[level.name] for level in levels)


def _inside(y: float) -> bool:
    return TOP <= y <= HEIGHT - BOTTOM


def _said(label: str, p: Point, found: Chart) -> str:
    backend = f" ({p.backend})" if p.backend else ""
    name = label if label == "dense" else f"{label} at {target(p)}"
    return f"{name}: {_measured(p, found.metric)}, {place(found.kind, p.x)}{backend}{_seeds(p)}"


def _measured(p: Point, info: MetricInfo) -> str:
    return f"{info.name} {figures.metric(estimate(p), info)}{' %' if info.percent else ''}"


def _share(p: Point) -> str:
    return figures.metric(estimate(p), MetricInfo(""))


def _seeds(p: Point) -> str:
    seeds = f", {p.seeds} seed{'s' if p.seeds != 1 else ''}"
    collapsed = f", {p.collapsed} layer{'s' if p.collapsed != 1 else ''} collapsed" if p.collapsed else ""
    return seeds + collapsed + (f", {_failures(p)}" if p.failed else "")


def _failures(p: Point) -> str:
    return f"{p.failed} cell{'s' if p.failed != 1 else ''} failed"
