"""What pruners leave of each layer: a panel a pruner, a row a layer, a column a sparsity."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from reports import figures
from reports.curves import Densities
from reports.palette import FAINT
from reports.plots.charts import named, remark
from reports.plots.style import EDGE, LEADING, SMALL, TALLEST, THIN, WIDTH, blank, frame, shortened, width, wrapped

COLUMN, ROW = 9.5, 8.5
"""Points: a column holds its label set upright, a row its own; lower rows go without some labels."""
BETWEEN, BAR = 8.0, 38.0
"""Points between panels of a line, and of the bar of colours."""
WIDEST, HIGHEST, LEAST_ROW = 24.0, 10.5, 1.0
"""Points: of columns and rows."""
LABELS, LONGEST_WORD = 92.0, 60.0
"""Points that layers' names may take, and a word of a pruner's."""
LOWEST = -4
"""Power of ten below which the colours tell nothing apart."""


def heat_map(found: Sequence[Densities]) -> Figure:
    """The figure of the pruners of one place. A cross marks a layer without a weight left."""
    names = list(dict.fromkeys(name for one in found for name in one.layers))
    shown = _names(names)
    left = max(map(width, shown)) + EDGE + 5
    room = WIDTH * 72 - left - EDGE
    lines = _packed(found, room)
    column = min(_column(line, room) for line in lines)
    headings = [[_heading(one, column) for one in line] for line in lines]
    above = [max(text.count("\n") + 1 for text in line) * SMALL * LEADING + 5 for line in headings]
    below = max(width(text) for one in found for text in _targets(one)) + 7
    free = TALLEST * 72 - BAR - 40 - sum(above) - below * len(lines)
    row = max(LEAST_ROW, min(HIGHEST, free / len(lines) / len(names)))
    inside = sum(above) + len(lines) * (row * len(names) + below) + BAR
    figure = blank(inside / 72, laid_out=False)
    place = found[0].place
    counted = any(p.iteration is not None for one in found for p in one.columns)
    said = "means; columns: sparsity" + ", # iteration" * counted
    floor = frame(figure, named(place), remark(place, said), [])
    wide, high = (72 * inches for inches in figure.get_size_inches())
    norm = LogNorm(_least(found), 1.0)
    colors = matplotlib.colormaps["cividis"].with_extremes(bad="white")  # where nothing is left
    y = floor + inside
    for line, texts, head in zip(lines, headings, above, strict=True):
        y -= head + row * len(names)
        x = left
        for place_, (one, text) in enumerate(zip(line, texts, strict=True)):
            across = len(one.columns) * column
            axes = figure.add_axes((x / wide, y / high, across / wide, row * len(names) / high))
            mesh = _panel(axes, one, names, norm, colors, row)
            axes.set_title(text, fontsize=SMALL)
            _label(axes, one, shown, row, column, left=place_ == 0)
            x += _slot(one, column)
        y -= below
    bar = figure.add_axes((left / wide, (floor + BAR - 14) / high, room / wide, 7 / high))
    _bar(figure, bar, mesh, any(value == 0 for one in found for values in one.values for value in values))
    return figure


def _packed(found: Sequence[Densities], room: float) -> list[list[Densities]]:
    """The panels in lines, those of iterations last, as many in each as fit."""
    lines: list[list[Densities]] = []
    left = 0.0
    for one in sorted(found, key=lambda one: one.columns[0].iteration is not None):
        if not lines or _slot(one, COLUMN) - BETWEEN > left:
            lines.append([])
            left = room
        lines[-1].append(one)
        left -= _slot(one, COLUMN)
    return lines


def _slot(one: Densities, column: float) -> float:
    """Points from a panel to the next: its columns, or the longest word above them."""
    return max(len(one.columns) * column + BETWEEN, _longest_word(one) + 5)


def _longest_word(one: Densities) -> float:
    return min(max((width(word) for word in one.label.split()), default=0.0), LONGEST_WORD)


def _column(line: Sequence[Densities], room: float) -> float:
    """How wide the columns of a line can be."""
    column = WIDEST
    while column > 1 and sum(_slot(one, column) for one in line) - BETWEEN > room:
        column -= 0.25
    return column


def _heading(one: Densities, column: float) -> str:
    return wrapped(one.label, _slot(one, column) - 4)


def _bar(figure: Figure, axes: Any, mesh: Any, crossed: bool) -> None:
    """The colours' meaning."""
    bar = figure.colorbar(mesh, cax=axes, orientation="horizontal")
    least = round(math.log10(mesh.norm.vmin))
    ticks = [10.0**power for power in range(least, 1)]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FixedFormatter([f"{tick:g}" for tick in ticks]))
    axes.xaxis.set_minor_locator(NullLocator())
    bar.outline.set_linewidth(THIN)
    bar.set_label("density of the layer" + (" (×: none left)" if crossed else ""))


def _panel(axes: Any, one: Densities, names: Sequence[str], norm: Any, colors: Any, row: float) -> Any:
    rows = dict(zip(one.layers, one.values, strict=True))
    absent = (None,) * len(one.columns)
    cells = [[np.nan if value is None else value for value in rows.get(name, absent)] for name in names]
    values = np.array(cells, dtype=np.float64)
    lines = {"edgecolors": "white", "linewidth": 0.4} if row >= 4 else {"edgecolors": "face", "linewidth": 0.1}
    mesh = axes.pcolormesh(np.ma.masked_invalid(values), cmap=colors, norm=norm, gid="densities", **lines)
    y, x = np.nonzero(values == 0)
    cross = {"marker": "x", "markersize": min(4.0, row * 0.6), "markeredgewidth": 0.7, "color": "black"}
    axes.plot(x + 0.5, y + 0.5, linestyle="none", gid="empty", **cross)
    axes.set_ylim(len(names), 0)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color(FAINT)
    return mesh


def _targets(one: Densities) -> list[str]:
    """``0.9``, or ``#3`` of an iteration."""
    targets = iter(figures.sparsities([p.target for p in one.columns if p.iteration is None]))
    return [f"#{p.iteration}" if p.iteration is not None else next(targets).rstrip("0") for p in one.columns]


def _label(axes: Any, one: Densities, names: Sequence[str], row: float, column: float, *, left: bool) -> None:
    said = _targets(one)
    every = math.ceil(ROW / column)
    axes.set_xticks([place + 0.5 for place in range(0, len(said), every)], said[::every], rotation=90)
    skip = math.ceil(ROW / row)
    axes.set_yticks([place + 0.5 for place in range(0, len(names), skip)], names[::skip])
    axes.tick_params(labelleft=left)


def _names(names: Sequence[str]) -> list[str]:
    """Without the last part where all share it, as ``.weight``; outer parts by their first letter where long."""
    parts = [name.split(".") for name in names]
    same = len({part[-1] for part in parts}) == 1 and min(map(len, parts)) > 1
    return [_abbreviated(part[:-1] if same else part) for part in parts]


def _abbreviated(parts: Sequence[str]) -> str:
    """``e.b.0.l.0.SelfAttention.q`` for ``encoder.block.0.layer.0.SelfAttention.q``."""
    for done in range(len(parts)):
        said = ".".join([*(part[:1] if not part.isdigit() else part for part in parts[:done]), *parts[done:]])
        if width(said) <= LABELS:
            return said
    return shortened(said, LABELS)


def _least(found: Sequence[Densities]) -> float:
    """The lower end of the colours: a power of ten at or below every density, zero left aside."""
    least = min((value for one in found for values in one.values for value in values if value), default=1.0)
    return float(10.0 ** max(LOWEST, min(-1, math.floor(math.log10(least) + 1e-9))))
