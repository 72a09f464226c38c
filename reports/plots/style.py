"""How every figure looks: sizes for one column of a paper, text drawn as it stands, files equal byte for byte."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.path import Path
from matplotlib.textpath import TextPath

from reports.escape import printable
from reports.palette import FAINT, INK, OUTLINES, Look

FORMATS = ("png", "svg", "pdf")
WIDTH = 3.3
"""Inches: one column."""
TALLEST = 9.0
"""Inches: a page."""
SMALL, TITLE = 7.0, 8.0
"""Points; nothing is smaller."""
MARKER = 4.2
"""Points across."""
LINE, THIN = 1.1, 0.6
EDGE, LEADING = 4.0, 1.25
"""Points left free at the sides; lines of text by font size."""
SIGN, PAD, BETWEEN = 16.0, 4.0, 8.0
"""Points: a legend's sign, between it and its text, between columns."""
DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)), (0, (7, 2)), (0, (2, 2)))
"""What tells lines of one pruner apart: its first is solid."""
RESOLUTION = 300

STYLE: Mapping[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that a figure is the same on every machine
    "font.size": SMALL,
    "axes.titlesize": TITLE,
    "axes.labelsize": SMALL + 0.5,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "axes.titlelocation": "left",
    "axes.titlepad": 4.0,
    "axes.labelpad": 3.5,
    "axes.linewidth": THIN,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "xtick.major.width": THIN,
    "ytick.major.width": THIN,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.pad": 2.0,
    "ytick.major.pad": 2.0,
    "lines.linewidth": LINE,
    "lines.markersize": MARKER,
    "legend.frameon": False,
    "hatch.linewidth": THIN,
    "text.parse_math": False,  # a $ in a name is a $
    "text.usetex": False,
    "figure.constrained_layout.h_pad": 0.03,
    "figure.constrained_layout.w_pad": 0.03,
    "figure.constrained_layout.hspace": 0.03,
    "figure.constrained_layout.wspace": 0.03,
    "savefig.dpi": RESOLUTION,
    "svg.hashsalt": "prunebench",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,  # journals ask for TrueType
}


@contextmanager
def styled() -> Iterator[None]:
    """Within it figures are made and written in this style, whatever the user's own matplotlibrc says."""
    with style.context(["default", dict(STYLE)]):
        yield


def blank(height: float, *, laid_out: bool = True) -> Figure:
    """A figure so many inches high; ``laid_out``: that finds room for its labels itself."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained" if laid_out else None)
    FigureCanvasAgg(figure)
    return figure


def content(figure: Figure, format: str, title: str) -> bytes:
    """The file: without dates and versions, so that equal records give equal bytes."""
    left_out = {
        "png": ("Software",),
        "svg": ("Creator", "Date"),
        "pdf": ("Creator", "Producer", "CreationDate"),
    }[format]
    stream = io.BytesIO()
    figure.savefig(stream, format=format, metadata={**dict.fromkeys(left_out), "Title": title})
    return stream.getvalue()


@cache
def outline(marker: str) -> Path:
    """The marker's shape, closed."""
    corners = [*OUTLINES[marker]]
    return Path([*corners, corners[0]], closed=True)


@dataclass(frozen=True)
class Stroke:
    """How one line of a pruner is drawn: its look, and what tells it from the pruner's other lines in the figure."""

    look: Look
    further: int = 0
    """Lines of the pruner before this one."""

    @property
    def dash(self) -> Any:
        return DASHES[self.further % len(DASHES)]

    def points(self, *, hollow: bool = False) -> dict[str, Any]:
        """Arguments of a plot's markers: filled, or hollow; of further lines rimmed in ink, then pale."""
        rimmed, pale = self.further % 2 == 1, self.further // 2 % 2 == 1
        outlines = OUTLINES[self.look.marker]
        return {
            "marker": outline(self.look.marker),
            # matplotlib scales outlines to one width, in which a circle would look larger than a triangle
            "markersize": MARKER * max(abs(part) for corner in outlines for part in corner),
            "color": self.look.color,
            "markerfacecolor": "white" if hollow else _pale(self.look.color) if pale else self.look.color,
            "markeredgecolor": INK if rimmed else self.look.color,
            "markeredgewidth": 0.8 if hollow or rimmed or pale else 0.0,
        }


def strokes(pruners: Sequence[str], looks: Mapping[str, Look]) -> list[Stroke]:
    """One for each line, which are told by their pruners."""
    return [Stroke(looks[name], pruners[:i].count(name)) for i, name in enumerate(pruners)]


def _pale(color: str) -> str:
    """Half way to white."""
    return "#" + "".join(f"{(int(color[i : i + 2], 16) + 255) // 2:02x}" for i in (1, 3, 5))


def handle(stroke: Stroke, label: str, *, hollow: bool = False, line: bool = True) -> Line2D:
    """The entry of a legend."""
    dash = stroke.dash if line else "none"
    return Line2D([], [], linestyle=dash, label=wrapped(label), **stroke.points(hollow=hollow))


def collapsed_handle() -> Line2D:
    return handle(Stroke(Look(FAINT, "circle")), "hollow: layer collapsed", hollow=True, line=False)


def failed_handle() -> Line2D:
    return Line2D([], [], color=INK, linestyle="none", marker="x", markersize=MARKER, label="cells failed")


def frame(figure: Figure, name: str, aside: str, handles: Sequence[Any]) -> float:
    """Name and remark above, the legend below, where they cover nothing: the figure grows by what they take, below by
    as many points as this returns."""
    room = figure.get_figwidth() * 72 - 2 * EDGE
    heading, remark = wrapped(name, room, TITLE, bold=True), wrapped(aside, room)
    columns = _columns([entry.get_label() for entry in handles], room)
    above = (_lines(heading) * TITLE + _lines(remark) * SMALL) * LEADING + 5
    below = sum(_tallest(columns, row) for row in range(len(columns[0]))) * SMALL * LEADING + 3 if handles else 0.0
    height = figure.get_figheight() * 72 + above + below
    figure.set_figheight(height / 72)
    engine: Any = figure.get_layout_engine()
    if engine is not None:
        engine.set(rect=(0, below / height, 1, 1 - (above + below) / height))
    left = EDGE / (room + 2 * EDGE)
    down = 1 - 3 / height
    figure.text(left, down, heading, va="top", fontsize=TITLE, fontweight="bold", linespacing=LEADING, gid="name")
    down -= (_lines(heading) * TITLE * LEADING + 1) / height
    figure.text(left, down, remark, va="top", fontsize=SMALL, color=FAINT, linespacing=LEADING, gid="remark")
    if handles:
        figure.legend(
            handles=handles,
            loc="lower left",
            bbox_to_anchor=(left, 3 / height),
            ncols=len(columns),
            handlelength=SIGN / SMALL,
            handletextpad=PAD / SMALL,
            columnspacing=BETWEEN / SMALL,
            labelspacing=0.2,
            borderaxespad=0.0,
            borderpad=0.0,
        ).set_in_layout(False)
    return below


def _lines(text: str) -> int:
    return text.count("\n") + 1 if text else 0


def _tallest(columns: Sequence[Sequence[str]], row: int) -> int:
    """Lines of text in a legend's row."""
    return max(_lines(column[row]) for column in columns if row < len(column))


def _columns(labels: Sequence[str], room: float) -> list[list[str]]:
    """The labels column by column, as matplotlib spreads them: as many columns as ``room`` points hold."""
    for count in range(len(labels), 1, -1):
        long, rest = divmod(len(labels), count)
        lengths = [long + (i < rest) for i in range(count)]
        columns = [list(labels[sum(lengths[:i]) : sum(lengths[: i + 1])]) for i in range(count)]
        wide = [max(width(line) for label in column for line in label.split("\n")) for column in columns]
        if sum(wide) + count * (SIGN + PAD) + (count - 1) * BETWEEN <= room:
            return columns
    return [[*labels]]


@cache
def width(text: str, size: float = SMALL, *, bold: bool = False) -> float:
    """Points that a line of text takes."""
    if not text:
        return 0.0
    font = FontProperties(family=STYLE["font.family"], weight="bold" if bold else "normal")
    return float(TextPath((0, 0), text.replace("$", "\\$"), size=size, prop=font).get_extents().width)


def wrapped(text: str, points: float = 200.0, size: float = SMALL, *, bold: bool = False) -> str:
    """Harmless text, broken into lines of so many points; a word that is longer is broken as well."""
    lines = [""]
    for word in printable(text).split():
        longer = f"{lines[-1]} {word}".lstrip()
        if width(longer, size, bold=bold) <= points:
            lines[-1] = longer
            continue
        lines.append(word)
        while width(lines[-1], size, bold=bold) > points and len(lines[-1]) > 1:
            head = max(n for n in range(1, len(lines[-1])) if n == 1 or width(lines[-1][:n], size, bold=bold) <= points)
            lines[-1:] = [lines[-1][:head], lines[-1][head:]]
    return "\n".join(line for line in lines if line)


def shortened(text: str, points: float, size: float = SMALL) -> str:
    """Harmless text of at most so many points; of a longer one the ends, which tell layers' names apart."""
    text = printable(text)
    if width(text, size) <= points:
        return text
    for kept in range(len(text) - 1, 1, -1):
        head = kept // 3
        said = f"{text[:head]}…{text[len(text) - (kept - head) :]}"
        if width(said, size) <= points:
            return said
    return "…"
