"""The first rows of the tables of examples that an evaluation left beside its record.

A task names them in its notes: ``samples`` lists kinds among ``Evaluation.files`` that are tab-separated text under a
header (source, reference and output of a translation, say).
"""

from __future__ import annotations

import gzip
import io
import zlib
from typing import TYPE_CHECKING

from bench.cli.output import pairs
from bench.errors import StoreError

if TYPE_CHECKING:
    from bench.record import Record
    from bench.store import Store

SHOWN = 20
NOTE = "samples"
LARGEST = 64 << 20
"""Bytes of a table at most."""


def samples(record: Record, store: Store) -> list[str]:
    """One section a table: its first rows, a line a cell, a blank line between rows."""
    named = record.notes.get(NOTE, [])
    kinds = [kind for kind in named if kind in record.files] if isinstance(named, list) else []
    return [_section(kind, record.files[kind], store) for kind in kinds]


def _unpacked(content: bytes) -> str:
    with gzip.open(io.BytesIO(content)) as stream:
        found = stream.read(LARGEST + 1)
    if len(found) > LARGEST:
        raise ValueError(f"more than {LARGEST:,} bytes")
    return found.decode()


def _section(kind: str, name: str, store: Store) -> str:
    try:
        lines = _unpacked(store.file(name)).splitlines()
    except StoreError as error:
        return f"{kind}\n  {error}\n"
    except (OSError, EOFError, zlib.error, ValueError) as error:
        return f"{kind}\n  cannot be shown ({error})\n"
    header, rows = lines[0].split("\t") if lines else [], lines[1:]
    title = f"{kind}: the first {min(SHOWN, len(rows))} of {len(rows)}"
    shown = [pairs(list(zip(header, row.split("\t"), strict=False)), indent=2) for row in rows[:SHOWN]]
    return f"{title}\n" + "\n".join(shown)
