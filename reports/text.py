"""Tables for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from tabulate import SEPARATING_LINE, DataRow, Line, TableFormat, tabulate

from reports.escape import printable
from reports.footer import footer
from reports.layout import Block, Column, facts, heading, layout, split
from reports.table import Table

WIDTH = 140
"""Columns where no terminal tells."""
PROSE = 100
"""Least width of the header's and the footer's lines."""
BEST, STAR = "›", "*"
RULED = TableFormat(
    lineabove=None,
    linebelowheader=Line("", "─", "  ", ""),
    linebetweenrows=None,
    linebelow=None,
    headerrow=DataRow("", "  ", ""),
    datarow=DataRow("", "  ", ""),
    padding=0,
    with_header_hide=None,
)


def render(tables: Sequence[Table], width: int = WIDTH) -> str:
    """All tables, each with its header and footer, in at most ``width`` columns where the first metric leaves room."""
    return "\n\n".join(_render(table, width) for table in tables) + "\n"


def block(shown: Block, width: int = WIDTH) -> str:
    """A smaller table under a heading of its own."""
    drawn = _draw(shown.columns, shown.breaks)
    above, below = (["\n".join(_wrapped(said, "", width, 2) for said in sentences)] * bool(sentences)
                    for sentences in (shown.above, shown.below))  # fmt: skip
    return "\n\n".join([printable(shown.heading), *above, drawn, *below]) + "\n"


def _render(table: Table, width: int) -> str:
    shown = layout(table)
    drawn = [_draw(columns, shown.breaks) for columns in split(shown, lambda columns: _width(columns) <= width)]
    length = max((len(line) for block in drawn for line in block.splitlines()), default=0)
    wrapped = min(width, max(length, PROSE))
    names = facts(table)
    margin = max(len(name) for name, _ in names) + 2
    header = [_wrapped(said, f"{name:<{margin}}", wrapped, margin) for name, said in names]
    below = [_wrapped(said, "", wrapped, 2) for said in footer(table, BEST)]
    return "\n\n".join([printable(heading(table)), "\n".join(header), *drawn, "\n".join(below)])


def _width(columns: Sequence[Column]) -> int:
    """Width of the drawn table: two spaces between columns."""
    return sum(max(map(len, (column.title, *_cells(column)))) + 2 for column in columns) - 2


def _cells(column: Column) -> list[str]:
    """With their marks; where one has a star the others have a space, so that digits stand below each other."""
    gap = " " * bool(column.starred)
    return [
        f"{BEST * (line in column.best)}{printable(cell)}{STAR if line in column.starred else gap}"
        for line, cell in enumerate(column.cells)
    ]


def _draw(columns: Sequence[Column], breaks: Sequence[int]) -> str:
    # The titles go in as a line of their own: tabulate would pad each of them by two.
    titles = [printable(column.title) + " " * bool(column.starred) for column in columns]
    lines: list[list[str] | str] = [titles, SEPARATING_LINE]
    cells = [_cells(column) for column in columns]
    for index in range(len(columns[0].cells)):
        if index in breaks:
            lines.append(SEPARATING_LINE)
        lines.append([column[index] for column in cells])
    alignments = ["left" if column.left else "right" for column in columns]
    drawn: str = tabulate(lines, tablefmt=RULED, colalign=alignments, disable_numparse=True, preserve_whitespace=True)
    return "\n".join(line.rstrip() for line in drawn.splitlines())


def _wrapped(text: str, first: str, width: int, margin: int) -> str:
    return textwrap.fill(
        printable(text), width, initial_indent=first, subsequent_indent=" " * margin, break_long_words=False
    )
