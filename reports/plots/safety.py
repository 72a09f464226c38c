"""Which pruner is safe where: for each task and pruner the largest sparsity that keeps the dense metric, and how the
metric falls on the way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedFormatter, FixedLocator

from reports.answers import SHARES
from reports.overview import Panel, Safe
from reports.palette import FAINT, INK, Look
from reports.plots.axes import sparsity_axis
from reports.plots.charts import draw_series, marks
from reports.plots.style import (
    SMALL,
    THIN,
    WIDTH,
    Stroke,
    blank,
    frame,
    handle,
    shortened,
    strokes,
    width,
    wrapped,
)
from reports.retention import Kept

ROW = 9.5
"""Points."""
GAP = 0.35
"""Rows between two tasks."""
LABELS = 80.0
"""Points that pruners' names may take."""
PANEL = 1.0
"""Inches."""
CROWDED = 0.18
"""Share of the axis at whose beginning a marker leaves no room for a word."""
BOLD = 0.86
"""A plain word's width as a share of the bold one's."""
MOST = 2.12
"""Retention beyond which panels are cut."""


def safe_sparsities(panels: Sequence[Panel], looks: Mapping[str, Look]) -> Figure:
    """The cross-task answer: a block a task, a row a pruner, best first; filled at 99 % of dense, hollow at 95 %."""
    rows = sum(1 + GAP + len(panel.safe) for panel in panels)
    names = {one.answer.pruner: shortened(one.answer.pruner, LABELS) for panel in panels for one in panel.safe}
    inches = WIDTH - max(map(width, names.values())) / 72 - 0.2
    figure = blank((rows * ROW + 30) / 72)
    axes = figure.subplots()
    kept = [at for panel in panels for one in panel.safe for at in _ends(one)]
    sparsity_axis(axes, [0.0, 0.5, *kept], inches, label=False)
    labels: list[tuple[float, str]] = []
    y = 0.0
    for panel in panels:
        axes.annotate(
            shortened(_heading(panel), BOLD * (WIDTH * 72 - 12), SMALL + 0.5),
            (0, y),
            (-max(map(width, names.values())) - 2, 0),
            xycoords=axes.get_yaxis_transform(),
            textcoords="offset points",
            va="center",
            fontsize=SMALL + 0.5,
            fontweight="bold",
            annotation_clip=False,
        )
        for one in panel.safe:
            y += 1
            labels.append((y, names[one.answer.pruner]))
            _row(axes, y, one, looks[one.pruner])
        y += 1 + GAP
    axes.set_ylim(y - GAP - 0.3, -0.8)
    axes.set_yticks([at for at, _ in labels], [name for _, name in labels])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color="#e0e0e0", linewidth=THIN, zorder=0)
    axes.set_axisbelow(True)
    axes.set_xlabel("largest safe sparsity")
    frame(figure, "Which pruner is safe where", _shares(panels), _explained(panels))
    return figure


def retention(panels: Sequence[Panel], looks: Mapping[str, Look]) -> Figure:
    """A panel a task, by family: metric / dense metric over sparsity, with 95 % of the samples of seeds."""
    shown = [panel for panel in panels if panel.retention]
    across = 2 if len(shown) > 1 else 1
    down = -(-len(shown) // across)
    figure = blank(down * (PANEL + 0.2) + 0.2)
    grid = figure.subplots(down, across, squeeze=False, sharex=True, sharey=True)
    placed = [p.x for panel in shown for one in panel.retention for p in one.points if p.x is not None]
    highest = max((p.mean for panel in shown for one in panel.retention for p in one.points if p.mean), default=1.0)
    top = min(max(highest, 1.0) + 0.12, MOST)
    drawn = _strokes(shown, looks)
    handles: list[Any] = []
    for place, axes in enumerate(grid.flat):
        if place >= len(shown):
            axes.set_visible(False)
            continue
        panel = shown[place]
        for share in SHARES:
            axes.axhline(share, color=FAINT, linewidth=THIN, linestyle=(0, (1, 1.5)), zorder=1)
        for depth, one in enumerate(panel.retention):
            draw_series(axes, one, drawn[one.label], depth)
        axes.set_ylim(0, top)
        handles = marks(axes, panel.retention, looks) or handles
        sparsity_axis(axes, [0.0, *placed], (WIDTH - 0.5) / across - 0.15, label=False)
        last = place + across >= len(shown)
        axes.tick_params(labelbottom=last)
        axes.set_xlabel("sparsity" if last else "")
        ticks = [tick for tick in (0, 0.5, 1, 1.5, 2) if tick <= top]
        axes.yaxis.set_major_locator(FixedLocator(ticks))
        axes.yaxis.set_major_formatter(FixedFormatter([f"{tick:g}" for tick in ticks]))
        axes.set_title(wrapped(_heading(panel), (WIDTH - 0.5) * 72 / across), fontsize=SMALL)
    pruners = {one.label for panel in shown for one in panel.retention}
    lines = [handle(drawn[label], label) for label in sorted(pruners)]
    level = Line2D([], [], color=FAINT, linewidth=THIN, linestyle=(0, (1, 1.5)), label="99 %, 95 % of dense")
    frame(figure, "Metric / dense metric", "bands: 95 % of the samples of seeds", [*lines, level, *handles])
    return figure


def _strokes(panels: Sequence[Panel], looks: Mapping[str, Look]) -> dict[str, Stroke]:
    """By label: a line is drawn alike in all panels."""
    lines = sorted({(one.pruner, one.label) for panel in panels for one in panel.retention})
    drawn = strokes([pruner for pruner, _ in lines], looks)
    return {label: stroke for (_, label), stroke in zip(lines, drawn, strict=True)}


def _heading(panel: Panel) -> str:
    said = f"{panel.task} [{panel.setting}]" if panel.setting else panel.task
    aside = [panel.family] if panel.family != "unspecified" else []
    aside += ["sample"] * panel.sample + ["not informative"] * (not panel.informative)
    return f"{said} ({', '.join(aside)})" if aside else said


def _shares(panels: Sequence[Panel]) -> str:
    said = " and ".join(f"{share:.0%}".replace("%", " %") for share in SHARES)
    return f"largest sparsity that keeps {said} of the dense metric"


def _ends(one: Safe) -> list[float]:
    found = [kept for kept in (one.strict, one.lenient) if kept is not None]
    return [at for kept in found for at in (kept.sparsity, *(kept.sparsity_interval or ()))]


def _row(axes: Any, y: float, one: Safe, look: Look) -> None:
    strict, lenient = one.strict, one.lenient
    if strict is None or lenient is None:
        axes.annotate("no comparison to dense", (0, y), (4, 0), textcoords="offset points", va="center", color=FAINT)
        return
    if strict.bound == "none":
        _nowhere(axes, y, None if lenient.bound == "none" else lenient)
    if lenient.bound == "none":
        return
    opacity = 1.0 if one.answer.informative else 0.35
    shown = [(lenient, True), *([(strict, False)] if strict.bound != "none" else [])]
    axes.plot([kept.sparsity for kept, _ in shown], [y] * len(shown), color=look.color, linewidth=THIN, alpha=opacity,
              zorder=3)  # fmt: skip
    if strict.sparsity_interval and strict.bound != "none":
        axes.plot(strict.sparsity_interval, [y, y], color=look.color, linewidth=2.6, alpha=0.3 * opacity, zorder=2,
                  solid_capstyle="butt", gid="interval")  # fmt: skip
    for kept, hollow in shown:
        axes.plot(
            [kept.sparsity],
            [y],
            linestyle="none",
            alpha=opacity,
            **Stroke(look).points(hollow=hollow),
            clip_on=False,
            zorder=4 if hollow else 5,
            gid="lenient" if hollow else "strict",
        )
    if said := _bound(strict, lenient):
        at = max(strict.sparsity, lenient.sparsity)
        axes.annotate(said, (at, y), (5, 0), textcoords="offset points", va="center", fontsize=SMALL, color=INK,
                      annotation_clip=False)  # fmt: skip


def _nowhere(axes: Any, y: float, hollow: Kept | None) -> None:
    """``none`` at the beginning of the row, or behind the hollow marker where that stands there."""
    at, points = 0.0, 3
    if hollow is not None and (axes.transScale + axes.transLimits).transform((hollow.sparsity, y))[0] < CROWDED:
        at, points = hollow.sparsity, 14 if _bound(hollow, hollow) else 5
    axes.annotate("none", (at, y), (points, 0), textcoords="offset points", va="center", color=FAINT)


def _bound(strict: Kept, lenient: Kept) -> str:
    """What the markers cannot say: an arrow where it is kept on the whole grid, a cross where the next cells failed."""
    return {"at least": "→", "failed": "✗"}.get(lenient.bound, "") or {"failed": "✗"}.get(strict.bound, "")


def _explained(panels: Sequence[Panel]) -> list[Any]:
    found = [one for panel in panels for one in panel.safe if one.strict is not None and one.lenient is not None]
    grey = Stroke(Look(FAINT, "circle"))
    entries: list[Any] = [
        handle(grey, f"{SHARES[0] * 100:g} %", line=False),
        handle(grey, f"{SHARES[1] * 100:g} %", hollow=True, line=False),
    ]
    if any(one.strict and one.strict.sparsity_interval and one.strict.bound != "none" for one in found):
        entries.append(Line2D([], [], color=FAINT, linewidth=2.6, alpha=0.4, label="95 % of samples of seeds"))
    said = {_bound(one.strict, one.lenient) for one in found if one.strict and one.lenient}
    said |= {"none" for one in found if one.strict and one.strict.bound == "none"}
    for sign, text in (
        ("→", "→ on all of the grid"),
        ("✗", "✗ the next failed"),
        ("none", "none: not at the lowest"),
    ):
        if sign in said:
            entries.append(Line2D([], [], linestyle="none", label=text))
    return entries
