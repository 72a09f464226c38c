"""Tables for a paper: ``tabular`` with booktabs rules, plain ASCII, nothing that a preamble must define."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from reports.escape import latex as escaped
from reports.footer import footer
from reports.layout import Block, Column, facts, heading, layout
from reports.table import Table

PREAMBLE = r"""% Needs \usepackage{booktabs} in the preamble, and nothing else. To compile it alone, run pdflatex on
% \documentclass{article}\usepackage{booktabs}\begin{document}\input{FILE}\end{document}"""
_SIGNED = re.compile(r"^-(?=\d)")


def render(tables: Sequence[Table], others: Sequence[Block] = ()) -> str:
    """All tables, each a ``table`` environment with its facts in the caption and its notes below, then the others."""
    return document([*(_block(table) for table in tables), *others])


def document(blocks: Iterable[Block]) -> str:
    """The blocks below a comment that says what they need."""
    return "\n\n".join([PREAMBLE, *(_drawn(block) for block in blocks)]) + "\n"


def _block(table: Table) -> Block:
    shown = layout(table)
    return Block(
        heading(table),
        (*shown.names, *shown.sparsity, *shown.lead, *shown.others, *shown.cost),
        above=tuple(f"{name}: {said}" for name, said in facts(table)),
        below=tuple(footer(table, "bold")),
        breaks=shown.breaks,
    )


def _drawn(block: Block) -> str:
    columns = block.columns
    lines = [" & ".join(_cell(column, line) for column in columns) for line in range(len(columns[0].cells))]
    body = "".join(
        ("\\midrule\n" if line in block.breaks else "") + f"{text} \\\\\n" for line, text in enumerate(lines)
    )
    notes = "\n\n".join(rf"\noindent {escaped(said)}" for said in block.below)
    caption = " ".join(f"{escaped(said).rstrip('.')}." for said in (block.heading, *block.above))
    return (
        "\\begin{table}[htbp]\n\\centering\n"
        f"\\caption{{{caption}}}\n"
        "\\scriptsize\n\\setlength{\\tabcolsep}{3pt}\n"
        f"\\begin{{tabular}}{{@{{}}{''.join('l' if column.left else 'r' for column in columns)}@{{}}}}\n"
        "\\toprule\n"
        f"{' & '.join(escaped(column.title) for column in columns)} \\\\\n"
        f"\\midrule\n{body}\\bottomrule\n\\end{{tabular}}\n\n"
        f"\\smallskip\n\\begin{{minipage}}{{\\linewidth}}\n{notes}\n\\end{{minipage}}\n\\end{{table}}"
    )


def _cell(column: Column, line: int) -> str:
    text = _SIGNED.sub("$-$", escaped(column.cells[line]))
    marked = rf"\textbf{{{text}}}" if line in column.best else text
    return marked + r"\rlap{$^{*}$}" * (line in column.starred)
