"""What ``bench show KEY`` prints of the tables of examples beside a record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.cli.output import pairs

if TYPE_CHECKING:
    from bench.record import Record
    from bench.store import Store
    from reports.samples import Samples

SHOWN = 20


def samples(record: Record, store: Store) -> list[str]:
    """One section a table: its first rows, a line a cell, a blank line between rows."""
    from reports import samples as tables

    return [_section(table) for table in tables.samples(record, store, SHOWN)]


def _section(table: Samples) -> str:
    if table.problem:
        return f"{table.kind}\n  {table.problem}\n"
    title = f"{table.kind}: the first {len(table.rows)} of {table.total}"
    return f"{title}\n" + "\n".join(pairs([*zip(table.header, row, strict=False)], indent=2) for row in table.rows)
