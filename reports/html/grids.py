"""Tables as the page draws them: each cell with the number behind it, each line with what filters go by."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from markupsafe import Markup, escape

from reports import figures
from reports.answers import Answer
from reports.curves import Chart, Point, Trajectory
from reports.escape import clipped
from reports.html.charts import estimate, place, target
from reports.layout import Block, Column, layout
from reports.table import MetricInfo, Table

LABEL = 300
"""Characters of a cell at most."""
_INTERVAL = re.compile(r" (±\S+|\([^()]* to [^()]*\))")
STAR = '<abbr title="differs significantly from dense">*</abbr>'
MARKS = "marks"
"""Title of the column that has none elsewhere."""


class Cell(NamedTuple):
    text: str
    spread: str
    """Its interval: ``±0.5`` or ``(0.1 to 0.2)``."""
    value: str
    """The number that is shown, unrounded; empty for text."""
    best: bool
    starred: bool


@dataclass(frozen=True)
class Line:
    """A line and what it is filtered by."""

    cells: tuple[Cell, ...]
    pruner: int | None = None
    """Of the page's pruners; None where it stays whatever is chosen."""
    task: int | None = None
    row: int | None = None
    """Of the page's rows, which can be opened."""
    dense: bool = False
    ruled: bool = False
    """Whether a rule stands above."""


class Title(NamedTuple):
    text: str
    number: bool
    """Whether it sorts by numbers."""
    left: bool


@dataclass(frozen=True)
class Grid:
    titles: tuple[Title, ...]
    lines: tuple[Line, ...]

    def body(self) -> Markup:
        """The lines as a table's rows. Of a large page they are most, and the template would take three times as long
        for them."""
        classes = ["" if title.left else ' class="n"' for title in self.titles]
        return Markup("\n".join(_drawn(line, classes) for line in self.lines))


def _drawn(line: Line, classes: Sequence[str]) -> str:
    """A row; all of it but the cells' texts is our own."""
    numbers = {"p": line.pruner, "t": line.task, "r": line.row}
    said = "".join(f' data-{name}="{number}"' for name, number in numbers.items() if number is not None)
    kind = "dense " * line.dense + "rule" * line.ruled
    first, *others = line.cells
    cells = "".join(map(_cell, others, classes[1:]))
    said += f' class="{kind}"' if kind else ""
    return f'<tr{said}><th scope="row">{escape(first.text)}</th>{cells}</tr>'


def _cell(cell: Cell, kind: str) -> str:
    value = f' data-v="{cell.value}"' if cell.value else ""
    text = f"<strong>{escape(cell.text)}</strong>" if cell.best else escape(cell.text)
    below = " below" if cell.spread.startswith("(") else ""
    spread = f' <span class="ci{below}">{escape(cell.spread)}</span>' if cell.spread else ""
    return f"<td{kind}{value}>{text}{spread}{STAR if cell.starred else ''}</td>"


def of_table(table: Table, first_row: int, pruners: Mapping[str, int], task: int) -> Grid:
    """A task's table; its rows are the page's from ``first_row`` on."""
    shown = layout(table)
    columns = [*shown.names, *shown.sparsity, *shown.lead, *shown.others, *shown.cost]
    lines = [
        Line(
            cells,
            None if row is None or row.dense else pruners.get(row.pruner),
            task,
            None if row is None else first_row + number,
            row is not None and row.dense,
            number in shown.breaks,
        )
        for number, (cells, row) in enumerate(
            zip(_cells(columns), [*table.rows, *[None] * len(table.baselines)], strict=True)
        )
    ]
    return Grid(_titles(columns), tuple(lines))


def of_answers(block: Block, answers: Sequence[Answer], pruners: Mapping[str, int], tasks: Mapping[str, int]) -> Grid:
    """The cross-task table, whose lines are the answers; ``pruners`` by their lines' labels."""
    lines = [
        Line(cells, pruners.get(answer.pruner), tasks.get(answer.task), ruled=number in block.breaks)
        for number, (cells, answer) in enumerate(zip(_cells(block.columns), answers, strict=True))
    ]
    return Grid(_titles(block.columns), tuple(lines))


def of_pruners(block: Block, pruners: Mapping[str, int], task: int | None = None) -> Grid:
    """A table whose first column names pruners, by their lines' labels."""
    labels = block.columns[0].cells
    lines = [
        Line(cells, pruners.get(label), task, ruled=number in block.breaks)
        for number, (cells, label) in enumerate(zip(_cells(block.columns), labels, strict=True))
    ]
    return Grid(_titles(block.columns), tuple(lines))


def of_charts(found: Sequence[Chart], numbers: Mapping[str, int], rows: Mapping[str, int]) -> Grid:
    """The points of charts that share their rows and metric and differ in x: one line a point."""
    first = found[0]
    points = [(one.pruner, one.label, point) for one in first.series for point in one.points]
    points += [("", "dense", first.dense)] if first.dense is not None else []
    x = [_places(chart) for chart in found]
    columns = [
        Column("pruner", tuple(label for _, label, _ in points), left=True),
        Column("target", tuple("" if not pruner else target(p) for pruner, _, p in points),
               values=tuple(p.target if pruner else None for pruner, _, p in points)),
        *(_across(chart.kind, [placed.get(_name(label, p)) for _, label, p in points])
          for chart, placed in zip(found, x, strict=True)),
        *_measured(first.metric, [p for _, _, p in points]),
    ]  # fmt: skip
    lines = [
        Line(
            cells, numbers.get(pruner), row=next((rows[key] for key in (*p.keys, *p.failed_keys) if key in rows), None)
        )
        for cells, (pruner, _, p) in zip(_cells(columns), points, strict=True)
    ]
    return Grid(_titles(columns), tuple(lines))


def of_trajectory(found: Trajectory, numbers: Mapping[str, int], rows: Mapping[str, int]) -> Grid:
    """One line an iteration."""
    shares = MetricInfo("")
    columns = [
        Column("iteration", tuple(map(target, found.scores)), values=tuple(p.x for p in found.scores)),
        *(
            Column(name, tuple(figures.metric(estimate(p), shares) for p in of), values=tuple(p.mean for p in of))
            for name, of in (("PQ Index", found.pqi), ("density", found.density))
        ),
        *_measured(found.metric, found.scores),
    ]
    lines = [
        Line(cells, numbers.get(found.pruner), row=next((rows[key] for key in p.keys if key in rows), None))
        for cells, p in zip(_cells(columns), found.scores, strict=True)
    ]
    return Grid(_titles(columns), tuple(lines))


def _name(label: str, point: Point) -> tuple[str, float]:
    return label, point.target


def _places(chart: Chart) -> dict[tuple[str, float], Point]:
    found = {_name(one.label, p): p for one in chart.series for p in one.points}
    return found | ({_name("dense", chart.dense): chart.dense} if chart.dense is not None else {})


def _across(kind: str, points: Sequence[Point | None]) -> Column:
    values = tuple(None if p is None else p.x for p in points)
    return Column(kind, tuple(place(kind, value).removeprefix(f"{kind} ") for value in values), values=values)


def _measured(info: MetricInfo, points: Sequence[Point]) -> list[Column]:
    def ends(title: str, values: Sequence[float | None]) -> Column:
        said = tuple(figures.NOTHING if value is None else figures.number(value, info) for value in values)
        return Column(title, said, values=tuple(values))

    return [
        ends(figures.heading(info), [p.mean for p in points]),
        ends("95 % CI from", [p.low for p in points]),
        ends("to", [p.high for p in points]),
        Column("seeds", tuple(str(p.seeds) for p in points), values=tuple(float(p.seeds) for p in points)),
    ]


def _titles(columns: Sequence[Column]) -> tuple[Title, ...]:
    return tuple(Title(clipped(c.title, LABEL) or MARKS, bool(c.values), c.left) for c in columns)


def _cells(columns: Sequence[Column]) -> list[tuple[Cell, ...]]:
    """By line."""
    return [*zip(*map(_column, columns), strict=True)]


def _column(column: Column) -> list[Cell]:
    values = [*map(_value, column.values)] or [""] * len(column.cells)
    cells = []
    for line, (text, value) in enumerate(zip(column.cells, values, strict=True)):
        # Of numbers alone: a label may hold these signs as well.
        interval = _INTERVAL.search(text) if value else None
        spread = interval[0].strip() if interval else ""
        shown = text.replace(interval[0], "", 1) if interval else text
        cells.append(Cell(clipped(shown, LABEL), spread, value, line in column.best, line in column.starred))
    return cells


def _value(value: float | None) -> str:
    return "" if value is None else repr(value)
