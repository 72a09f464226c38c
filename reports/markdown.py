"""Tables for a README or an issue: GitHub's Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from tabulate import tabulate

from reports.footer import footer
from reports.layout import facts, heading, layout
from reports.rows import Table


def render(tables: Sequence[Table]) -> str:
    """All tables, each under a heading, with its facts above and its notes below."""
    return "\n\n".join(_render(table) for table in tables) + "\n"


def _render(table: Table) -> str:
    shown = layout(table)
    columns = [*shown.names, *shown.sparsity, *shown.lead, *shown.others, *shown.cost]
    drawn = tabulate(
        [[_escaped(column.cells[index]) for column in columns] for index in range(len(columns[0].cells))],
        headers=[_escaped(column.title) for column in columns],
        tablefmt="pipe",
        colalign=["left" if column.left else "right" for column in columns],
        disable_numparse=True,
    )
    header = "\n".join(f"- {name}: {said}" for name, said in facts(table))
    below = "\n".join(f"- {said}" for said in footer(table))
    return f"## {heading(table)}\n\n{header}\n\n{drawn}\n\n{below}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
