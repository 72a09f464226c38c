"""Tables for a paper: ``tabular`` with booktabs rules, plain ASCII, nothing that a preamble must define."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import takewhile

from reports.escape import latex as escaped
from reports.footer import footer
from reports.layout import Block, Column, facts, heading, layout, split
from reports.table import Table

PREAMBLE = r"""% Needs \usepackage{booktabs} in the preamble, and nothing else. To compile it alone, run pdflatex on
% \documentclass{article}\usepackage{booktabs}\begin{document}\input{FILE}\end{document}"""
LINE, CHARACTER, GAP = 345.0, 4.0, 2.0
"""Points: a line of ``article``, a character in ``\\scriptsize``, and what stands at either side of a column."""
CONTINUED = " (continued)"
_SIGNED = re.compile(r"^-(?=\d)")


def render(tables: Sequence[Table], others: Sequence[Block] = ()) -> str:
    """All tables, each a ``table`` environment with its facts in the caption and its notes below, then the others.

    Other metrics than the leading one, and costs, stand in environments of their own where a line of ``article`` has no
    room.
    """
    return _written([*(block for table in tables for block in _blocks(table)), *(p for o in others for p in _parts(o))])


def document(blocks: Iterable[Block]) -> str:
    """The blocks below a comment that says what they need, each in as many tables as a line of ``article`` asks for."""
    return _written([part for block in blocks for part in _parts(block)])


def _written(blocks: Iterable[Block]) -> str:
    return "\n\n".join([PREAMBLE, *(_drawn(block) for block in blocks)]) + "\n"


def _parts(block: Block) -> Iterator[Block]:
    """The block where a line has room for it, else its columns in turn behind those that name the lines."""
    names = [*takewhile(lambda column: column.left, block.columns)]
    columns, shown = block.columns[len(names) :], list[Column]()
    for column in columns:
        if shown and names and _width([*names, *shown, column]) > LINE:
            yield replace(block, columns=(*names, *shown))
            block, shown = Block(f"{block.heading.removesuffix(CONTINUED)}{CONTINUED}", (), breaks=block.breaks), []
        shown.append(column)
    yield replace(block, columns=(*names, *shown))


def _blocks(table: Table) -> Iterator[Block]:
    shown = layout(table)
    first, *further = split(shown, lambda columns: _width(columns) <= LINE)
    said = tuple(f"{name}: {said}" for name, said in facts(table))
    notes = tuple(footer(table, "bold", commands=False))
    yield Block(heading(table), tuple(first), above=said, below=notes, breaks=shown.breaks)
    for columns in further:
        yield Block(f"{heading(table)}: further columns", tuple(columns), breaks=shown.breaks)


def _width(columns: Sequence[Column]) -> float:
    """Points, about."""
    return sum(CHARACTER * max(map(len, (column.title, *column.cells))) + 2 * GAP for column in columns) - 2 * GAP


def _drawn(block: Block) -> str:
    columns = block.columns
    lines = [" & ".join(_cell(column, line) for column in columns) for line in range(len(columns[0].cells))]
    body = "".join(
        ("\\midrule\n" if line in block.breaks else "") + f"{text} \\\\\n" for line, text in enumerate(lines)
    )
    notes = "\n\n".join(rf"\noindent {escaped(said)}" for said in block.below)
    caption = " ".join(f"{escaped(said).rstrip('.')}." for said in (block.heading, *block.above))
    below = f"\n\n\\smallskip\n\\begin{{minipage}}{{\\linewidth}}\n{notes}\n\\end{{minipage}}" if notes else ""
    return (
        "\\begin{table}[htbp]\n\\centering\n"
        f"\\caption{{{caption}}}\n"
        f"\\scriptsize\n\\setlength{{\\tabcolsep}}{{{GAP:g}pt}}\n"
        f"\\begin{{tabular}}{{@{{}}{''.join('l' if column.left else 'r' for column in columns)}@{{}}}}\n"
        "\\toprule\n"
        f"{' & '.join(escaped(column.title) for column in columns)} \\\\\n"
        f"\\midrule\n{body}\\bottomrule\n\\end{{tabular}}{below}\n\\end{{table}}"
    )


def _cell(column: Column, line: int) -> str:
    text = _SIGNED.sub("$-$", escaped(column.cells[line]))
    marked = rf"\textbf{{{text}}}" if line in column.best else text
    return marked + r"\rlap{$^{*}$}" * (line in column.starred)
