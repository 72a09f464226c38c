"""Tables for a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

from tabulate import SEPARATING_LINE, DataRow, Line, TableFormat, tabulate

from reports.footer import footer
from reports.layout import Column, Layout, facts, heading, layout
from reports.rows import Table

WIDTH = 140
"""Columns where no terminal tells."""
PROSE = 100
"""Least width of the header's and the footer's lines."""
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


def _render(table: Table, width: int) -> str:
    shown = layout(table)
    drawn = [_draw(columns, shown.breaks) for columns in _split(shown, width)]
    length = max((len(line) for block in drawn for line in block.splitlines()), default=0)
    wrapped = min(width, max(length, PROSE))
    names = facts(table)
    margin = max(len(name) for name, _ in names) + 2
    header = [_wrapped(said, f"{name:<{margin}}", wrapped, margin) for name, said in names]
    below = [_wrapped(said, "", wrapped, 2) for said in footer(table)]
    return "\n\n".join([heading(table), "\n".join(header), *drawn, "\n".join(below)])


def _split(shown: Layout, width: int) -> Iterator[list[Column]]:
    """One table of all columns where it fits, else the other metrics in tables of their own below the first."""
    everything = [*shown.names, *shown.sparsity, *shown.lead, *shown.others, *shown.cost]
    if _width(everything) <= width:
        yield everything
        return
    yield [*shown.names, *shown.sparsity, *shown.lead, *shown.cost]
    pending: list[Column] = []
    for column in shown.others:
        if pending and _width([*shown.names, *pending, column]) > width:
            yield [*shown.names, *pending]
            pending = []
        pending.append(column)
    if pending:
        yield [*shown.names, *pending]


def _width(columns: Sequence[Column]) -> int:
    """Width of the drawn table: two spaces between columns."""
    return sum(max(map(len, (column.title, *column.cells))) + 2 for column in columns) - 2


def _draw(columns: Sequence[Column], breaks: Sequence[int]) -> str:
    # The titles go in as a line of their own: tabulate would pad each of them by two.
    lines: list[list[str] | str] = [[column.title for column in columns], SEPARATING_LINE]
    for index in range(len(columns[0].cells)):
        if index in breaks:
            lines.append(SEPARATING_LINE)
        lines.append([column.cells[index] for column in columns])
    alignments = ["left" if column.left else "right" for column in columns]
    drawn: str = tabulate(lines, tablefmt=RULED, colalign=alignments, disable_numparse=True)
    return "\n".join(line.rstrip() for line in drawn.splitlines())


def _wrapped(text: str, first: str, width: int, margin: int) -> str:
    return textwrap.fill(text, width, initial_indent=first, subsequent_indent=" " * margin, break_long_words=False)
