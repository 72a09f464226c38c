"""The first rows of the tables of examples that an evaluation left beside its record.

A task names them in its notes: ``samples`` lists kinds among ``Evaluation.files`` that are tab-separated text under a
header (source, reference and output of a translation, say).
"""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

from bench.cli.output import pairs
from bench.errors import StoreError

if TYPE_CHECKING:
    from bench.record import Record
    from bench.store import Store

SHOWN = 20
NOTE = "samples"


def samples(record: Record, store: Store) -> list[str]:
    """One section a table: its first rows, a line a cell, a blank line between rows."""
    named = record.notes.get(NOTE, [])
    kinds = [kind for kind in named if kind in record.files] if isinstance(named, list) else []
    return [_section(kind, record.files[kind], store) for kind in kinds]


def _section(kind: str, name: str, store: Store) -> str:
    try:
        lines = gzip.decompress(store.file(name)).decode().splitlines()
    except StoreError as error:
        return f"{kind}\n  {error}\n"
    header, rows = lines[0].split("\t"), lines[1:]
    title = f"{kind}: the first {min(SHOWN, len(rows))} of {len(rows)}"
    shown = [pairs(list(zip(header, row.split("\t"), strict=False)), indent=2) for row in rows[:SHOWN]]
    return f"{title}\n" + "\n".join(shown)
