"""Tables for a README or an issue: GitHub's Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from reports.escape import markdown as escaped
from reports.footer import footer
from reports.layout import Block, Column, facts, heading, layout
from reports.table import Table


def render(tables: Sequence[Table]) -> str:
    """All tables, each under a heading, with its facts above and its notes below."""
    return "\n\n".join(_render(table) for table in tables) + "\n"


def _render(table: Table) -> str:
    shown = layout(table)
    drawn = draw([*shown.names, *shown.sparsity, *shown.lead, *shown.others, *shown.cost])
    header = "\n".join(f"- {name}: {escaped(said)}" for name, said in facts(table))
    below = "\n".join(f"- {escaped(said)}" for said in footer(table, "bold"))
    return f"## {escaped(heading(table))}\n\n{header}\n\n{drawn}\n\n{below}"


def block(shown: Block) -> str:
    """A smaller table under a heading of its own."""
    above, below = (["\n".join(f"- {escaped(said)}" for said in said_there)] * bool(said_there)
                    for said_there in (shown.above, shown.below))  # fmt: skip
    return "\n\n".join([f"### {escaped(shown.heading)}", *above, draw(shown.columns), *below]) + "\n"


def draw(columns: Sequence[Column]) -> str:
    """The columns as a pipe table: the best in bold, significant differences with a star."""
    drawn: str = tabulate(
        [[_cell(column, index) for column in columns] for index in range(len(columns[0].cells))],
        headers=[escaped(column.title) for column in columns],
        tablefmt="pipe",
        colalign=["left" if column.left else "right" for column in columns],
        disable_numparse=True,
    )
    return drawn


def _cell(column: Column, line: int) -> str:
    text = escaped(column.cells[line])
    return (f"**{text}**" if line in column.best else text) + "\\*" * (line in column.starred)
