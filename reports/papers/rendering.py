"""A published table, alone or with measured figures beside, as columns of strings with sentences below."""

from __future__ import annotations

from decimal import Decimal

from reports.figures import NOTHING
from reports.layout import Block
from reports.layout import Column as Shown
from reports.papers.beside import VERDICTS, Beside, Figure
from reports.papers.published import Column, Paper, Value

WORDS = ("label", "model")
"""What rows are known by that is text."""
RULE = (
    "Verdicts: a figure compares only on the same kind of data, with the preset paper, and where the source leaves "
    "nothing in doubt. reproduced: the mean lies within the tolerance of the published figure, and half its 95 % "
    "interval is no wider than that. contradicted: the whole interval lies further away. undecided: neither."
)


def block(found: Beside) -> Block:
    """The table: as published where nothing was measured, else a line a figure."""
    paper = found.paper
    heading = f"{paper.name} · {paper.title}"
    below = tuple(sentences(found))
    if not _measured(found):
        shown = tuple(
            Shown(column.name, tuple(_column(paper, index)), left=column.row in WORDS)
            for index, column in enumerate(paper.columns)
        )
        return Block(heading, shown, below=below)
    known = [column for column in paper.columns if column.row is not None]
    titles = [*(column.name for column in known), "figure", "published", "measured", "difference", "verdict"]
    left = [*(column.row in WORDS for column in known), True, False, False, False, True]
    cells = zip(*(_line(paper, figure) for figure in found.figures), strict=True)
    labels = [figure.labels for figure in found.figures]
    return Block(
        heading,
        tuple(Shown(title, column, left=side) for title, column, side in zip(titles, cells, left, strict=True)),
        below=below,
        breaks=tuple(line for line in range(1, len(labels)) if labels[line] != labels[line - 1]),
    )


def sentences(found: Beside) -> list[str]:
    """What stands below: verdicts and their rule, data, failures, source, how to reproduce."""
    paper, said = found.paper, []
    if _measured(found):
        counts = [f"{count} {verdict}" for verdict in VERDICTS if (count := found.count(verdict))]
        published = [figure for figure in found.figures if figure.published is not None]
        missing = sum(figure.measured is None and not figure.failed for figure in published)
        counts += [f"{missing} not measured"] * bool(missing)
        said.append(f"{', '.join(counts) or 'nothing to judge'}; tolerance {_tolerances(paper)}.")
        reasons = dict.fromkeys(f"{figure.verdict}: {figure.reason}" for figure in found.figures if figure.reason)
        said += [f"{reason.rstrip('.')}." for reason in reasons]
        said.append(f"Measured: {'; '.join(found.settings)}.")
        if found.left_out:
            said.append(f"{found.left_out} cells on other data or with another preset are left out.")
    else:
        said.append("Published figures alone: nothing of it is measured here.")
    if percent := [column.name for column in paper.columns if column.scale == 100]:
        all_ = len(percent) == sum(column.metric is not None for column in paper.columns)
        said.append("All figures are in %." if all_ else f"In %: {', '.join(percent)}.")
    if failures := {key for figure in found.figures for key in figure.failed}:
        said.append(f"{len(failures)} {'cell' if len(failures) == 1 else 'cells'} failed: 'bench status' lists them.")
    if not _measured(found) and paper.doubt:
        said.append(f"Not comparable: {paper.doubt.rstrip('.')}.")
    said += [f"Note: {paper.note.rstrip('.')}."] if paper.note else []
    said.append(f"Source: {paper.source.rstrip('.')}.")
    if paper.grids:
        said.append(f"'bench paper run {paper.name}' computes it ({', '.join(paper.tasks)}).")
    return [*said, RULE] if _measured(found) else said


def _measured(found: Beside) -> bool:
    return any(figure.measured is not None or figure.failed for figure in found.figures)


def _column(paper: Paper, index: int) -> list[str]:
    column = paper.columns[index]
    places = _decimals(paper, column)
    return [_said(row[index]) if column.row else _number(row[index], places) for row in paper.rows]


def _line(paper: Paper, figure: Figure) -> list[str]:
    """The cells of a figure: what its row is known by, then what the titles of ``block`` say."""
    places = _decimals(paper, figure.column)
    if figure.measured is None:
        measured = "failed" if figure.failed else NOTHING
    elif figure.measured.half_width is None:
        measured = _number(figure.measured.mean, places)
    else:
        measured = f"{_number(figure.measured.mean, places)} ±{_number(figure.measured.half_width, places)}"
    difference = figure.difference
    return [
        *map(_said, figure.labels),
        figure.column.name,
        NOTHING if figure.published is None else _number(figure.published, places),
        measured,
        NOTHING if difference is None else f"{round(difference, places) + 0.0:+.{places}f}",
        figure.verdict,
    ]


def _decimals(paper: Paper, column: Column) -> int:
    """As many as the most precise figure of the column was published with; two of a column without any."""
    index = paper.columns.index(column)
    given = [row[index] for row in paper.rows if not isinstance(row[index], str)]
    return max((max(0, -int(Decimal(str(value)).as_tuple().exponent)) for value in given), default=2) if given else 4


def _number(value: Value, places: int) -> str:
    return NOTHING if isinstance(value, str) else f"{value:.{places}f}"


def _said(value: Value) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _tolerances(paper: Paper) -> str:
    own = {column.name: column.tolerance for column in paper.columns if column.tolerance is not None}
    return ", ".join([f"{paper.tolerance:g}", *(f"{name} {value:g}" for name, value in own.items())])
