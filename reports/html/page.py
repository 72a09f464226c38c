"""The page: what stands on it, put into the template with its style and script inside."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from bench.record import Record
from bench.store import Store
from reports import headlines, identity, latency, palette, summary
from reports.answers import Answer
from reports.escape import clipped
from reports.evidence import stored
from reports.footer import footer
from reports.html import charts, colors, grids, safety
from reports.html.drawers import Command, Drawers, drawers
from reports.html.gallery import Figure, Gallery, Room
from reports.html.grids import Grid
from reports.html.header import header
from reports.html.heat import Heat
from reports.latency import Measured
from reports.layout import Block, facts, heading
from reports.overview import overview
from reports.palette import OUTLINES
from reports.rows import tables as tables_of
from reports.table import Table

HERE = Path(__file__).parent
TEXT = 2000
"""Characters of any text at most."""
MARKER = 4.4
"""Half a marker's width, in the units of a drawing."""


@dataclass(frozen=True)
class Section:
    """A table's part of the page."""

    number: int
    task: int
    heading: str
    facts: tuple[tuple[str, str], ...]
    grid: Grid
    notes: tuple[str, ...]
    legend: tuple[tuple[str, int, str], ...]
    """Label, number of the pruner and dash of each line."""
    figures: tuple[Figure, ...]
    more: tuple[Figure, ...]
    heats: tuple[Heat, ...]
    clocked: tuple[tuple[Block, Grid], ...]


def render(store: Store, records: Sequence[Record], command: Command, *, whole: bool = True) -> str:
    """The page of the records; without ``whole`` its header and the cross-task answer alone."""
    measured = latency.measured(store, records)
    tables = tables_of(records, store.references(), stored(store))
    looks = palette.looks(row.pruner for table in tables for row in table.rows)
    numbers = colors.order(looks)
    tasks = {task: number for number, task in enumerate(dict.fromkeys(table.task for table in tables))}
    drawn = drawers(tables if whole else (), store, command, measured)
    room = Room()
    panels = overview(tables)
    found = [one.answer for panel in panels for one in panel.safe]
    labels = _labels(tables, numbers)
    style, script = _file("style.css") + colors.css(looks.values()), _file("script.js")
    page: str = _template().render(
        header=header(tables, records, store),
        headlines=headlines.headlines(tables, found),
        summary=_summary(found, labels, tasks),
        safety=[safety.safety(panel, numbers, tasks) for panel in panels],
        sections=_sections(tables, records, measured, numbers, tasks, drawn, room) if whole else [],
        pruners=[(clipped(name, TEXT), number) for name, number in numbers.items() if number],
        tasks=[(clipped(name, TEXT), number) for name, number in tasks.items()],
        markers=[(numbers[name], outline(look.marker)) for name, look in looks.items()],
        left_out=[*room.left_out, *drawn.left_out],
        data=Markup(embedded(drawn.data)) if whole else None,
        style=Markup(style),
        script=Markup(script),
        policy=policy(style, script),
        chart=charts,
        strip=safety,
    )
    return page.lstrip()


def embedded(data: object) -> str:
    """Plain data as JSON that may stand in a script element: nothing in it can end the element or begin a comment."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def policy(style: str, script: str) -> str:
    """The content security policy under which the page's own style and script run, and nothing is loaded."""
    return (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def outline(marker: str) -> str:
    """Corners of a marker about (0, 0), as a polygon's points."""
    return " ".join(f"{MARKER * x:.2f},{-MARKER * y:.2f}" for x, y in OUTLINES[marker])


def _sections(
    tables: Sequence[Table],
    records: Sequence[Record],
    measured: Measured,
    numbers: Mapping[str, int],
    tasks: Mapping[str, int],
    drawn: Drawers,
    room: Room,
) -> list[Section]:
    galleries = [Gallery(table, numbers, drawn.rows, measured, room) for table in tables]
    leading = [gallery.leading() for gallery in galleries]
    more = [gallery.more() for gallery in galleries]
    heats = [gallery.heats() for gallery in galleries]
    sections, first = [], 0
    for number, table in enumerate(tables):
        labels, task = _labels([table], numbers), tasks[table.task]
        repeated = any(other.task == table.task for other in tables[:number])
        mine = [record for record in records if record.task == table.task] if measured and not repeated else []
        sections.append(
            Section(
                number,
                task,
                clipped(heading(table), TEXT),
                tuple(facts(table)),
                grids.of_table(table, first, numbers, task),
                tuple(footer(table, "bold")),
                tuple((label, labels[label], dash) for label, dash in galleries[number].dashes.items()),
                leading[number],
                more[number],
                heats[number],
                tuple((block, grids.of_pruners(block, labels, task)) for block in latency.blocks(mine, measured)),
            )
        )
        first += len(table.rows)
    return sections


def _summary(found: Sequence[Answer], labels: Mapping[str, int], tasks: Mapping[str, int]) -> list[tuple[Block, Grid]]:
    """The cross-task tables; none where no cell was pruned."""
    if not found:
        return []
    by_task, by_family = summary.blocks(found)
    return [
        (by_task, grids.of_answers(by_task, found, labels, tasks)),
        (by_family, grids.of_pruners(by_family, labels)),
    ]


def _labels(tables: Iterable[Table], numbers: Mapping[str, int]) -> dict[str, int]:
    """Numbers of pruners by the labels that lines have in tables."""
    rows = [row for table in tables for row in table.rows if not row.dense]
    recipes = {
        identity.recipe_label(identity.recipe(cell)): numbers[row.pruner]
        for row in rows
        for cell in (*row.cells[:1], *row.failures[:1])
    }
    return {**recipes, **{row.line: numbers[row.pruner] for row in rows}}


@cache
def _template() -> Any:
    environment = Environment(
        loader=FileSystemLoader(HERE),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_harmless,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html.jinja")


def _harmless(value: object) -> object:
    """What any expression of the template writes: text of records without control characters, of bounded length."""
    return clipped(value, TEXT) if type(value) is str else value


@cache
def _file(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
