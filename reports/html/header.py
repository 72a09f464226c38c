"""The top of the page: what was run, on what, when, and what to beware of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bench.record import Record
from bench.store import Store
from reports import facts, figures
from reports.escape import clipped
from reports.footer import SHOWN_FAILURES, why
from reports.layout import data_kind, heading
from reports.layout import facts as header_of
from reports.table import Table

LABEL = 300
VALUES = 4
"""Values of one fact that are told."""


@dataclass(frozen=True)
class Ran:
    """One task's line."""

    heading: str
    models: str
    presets: str
    data: str
    counts: str
    digest: str
    seeds: str
    cells: int
    """All of its records, failed ones and repeated ones included."""
    failed: int


@dataclass(frozen=True)
class Header:
    subtitle: str
    written: str
    """When the records were."""
    ran: tuple[Ran, ...]
    provenance: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...]


def header(tables: Sequence[Table], records: Sequence[Record], store: Store) -> Header:
    failed = sum(record.status != "done" for record in records)
    tasks, pruners = {r.task for r in records}, {row.pruner for t in tables for row in t.rows if not row.dense}
    seeds, provenance = {record.seed for record in records}, _facts(records)
    counts = [
        _count(len(tasks), "task"),
        _count(len(pruners), "pruner"),
        f"{_count(len(seeds), 'seed')} ({figures.ranges([*seeds])})",
        _count(len(records), "cell") + (f", {failed} of them failed" if failed else ""),
    ]
    return Header(
        " · ".join(counts),
        _written(records, store),
        tuple(map(_ran, tables)),
        tuple((clipped(name, LABEL), _told(values)) for name, values in provenance.items()),
        tuple(_warnings(tables, [name for name, values in provenance.items() if len(values) > 1], provenance)),
    )


def _ran(table: Table) -> Ran:
    data = table.data
    counts = ", ".join(f"{count:,} {name}" for name, count in dict(data.get("counts", {})).items())
    return Ran(
        clipped(heading(table), LABEL),
        clipped(", ".join(table.models), LABEL),
        clipped(", ".join(table.presets), LABEL),
        clipped(data_kind(str(data.get("name", "")), str(data.get("kind", ""))), LABEL),
        clipped(counts, LABEL),
        clipped(str(data.get("digest", ""))[:12], LABEL),
        figures.ranges(table.seeds),
        sum(len(row.cells) + len(row.failures) for row in table.rows) + table.repeated,
        sum(len(row.failures) for row in table.rows),
    )


def _written(records: Sequence[Record], store: Store) -> str:
    times = [time for record in records if (time := store.written(record.key)) is not None]
    if not times:
        return ""
    first, last = (datetime.fromtimestamp(time, UTC) for time in (min(times), max(times)))
    until = f"{last:%H:%M}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M}"
    return f"{first:%Y-%m-%d %H:%M}" + (f" to {until}" if first != last else "") + " UTC"


def _facts(records: Sequence[Record]) -> dict[str, Counter[str]]:
    """Facts of the machine and the versions, with the number of cells that have each value."""
    alike: list[tuple[Mapping[str, Any], int]] = []
    for record in records:  # nearly all have their neighbour's
        same = alike and alike[-1][0] == record.provenance
        alike[-1:] = [(record.provenance, alike[-1][1] + 1)] if same else [*alike[-1:], (record.provenance, 1)]
    found: dict[str, Counter[str]] = {}
    for provenance, cells in alike:
        versions = provenance.get("versions")
        rest = {name: value for name, value in provenance.items() if name != "versions"}
        for name, value in [*facts.mapping(rest), *(facts.mapping(versions) if isinstance(versions, Mapping) else [])]:
            found.setdefault(name, Counter())[value] += cells
    return found


def _told(values: Counter[str]) -> str:
    if len(values) == 1:
        return clipped(next(iter(values)), LABEL)
    told = [f"{clipped(value, LABEL)} ({_count(cells, 'cell')})" for value, cells in values.most_common(VALUES)]
    more = len(values) - VALUES
    return ", ".join(told) + (f" and {more} more" if more > 0 else "")


def _warnings(tables: Sequence[Table], mixed: Sequence[str], provenance: Mapping[str, Counter[str]]) -> list[str]:
    found = []
    for kind, said in (("sample", "Embedded synthetic sample, not the real data"),
                       ("subset", "A subset of the official release"),
                       ("changed", "As many rows as the official release, other content")):  # fmt: skip
        of = [table for table in tables if table.data.get("kind") == kind]
        if of:
            found.append(f"{said}: {_names([table.task for table in of])}.")
    for table in tables:
        found += [f"{clipped(table.task, LABEL)}: {said}." for name, said in header_of(table) if name == "warning"]
    found += _unsound(tables)
    if mixed:
        found.append(f"Cells were not all computed alike: they differ in {_names(mixed)}. See “Provenance”.")
    if provenance.get("dirty", Counter())["true"]:
        found.append("Some cells were computed by a checkout with changes that its commit does not have.")
    return found


def _unsound(tables: Sequence[Table]) -> list[str]:
    """Collapsed layers, failed cells, tables of one seed."""
    found = []
    collapsed = [table.task for table in tables for row in table.rows for _ in row.collapses]
    if collapsed:
        found.append(f"{_count(len(collapsed), 'cell')} with layers that have no weight left (†): {_names(collapsed)}.")
    failures = [(table, row, record) for table in tables for row in table.rows for record in row.failures]
    for table, row, record in failures[:SHOWN_FAILURES]:
        name = f"{table.task}, {row.label} at {record.goal_name}, seed {record.seed}"
        found.append(f"Failed: {clipped(name, LABEL)}: {why(record.failure)}.")
    if len(failures) > SHOWN_FAILURES:
        found.append(f"And {len(failures) - SHOWN_FAILURES} more cells failed: ‘bench status’ lists them.")
    single = [table.task for table in tables if len(table.seeds) == 1]
    if single:
        found.append(f"One seed, so no confidence interval: {_names(single)}.")
    return found


def _names(names: Sequence[str], most: int = 8) -> str:
    unique = [clipped(name, LABEL) for name in dict.fromkeys(names)]
    more = len(unique) - most
    return ", ".join(unique[:most]) + (f" and {more} more" if more > 0 else "")


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' if number != 1 else ''}"
