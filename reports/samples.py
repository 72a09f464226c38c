"""The tables of examples that an evaluation left beside its record: source, reference and output of a translation, say.

A task names them in its notes: ``samples`` lists kinds among ``Evaluation.files`` that are tab-separated text under a
header.
"""

from __future__ import annotations

import gzip
import io
import zlib
from dataclasses import dataclass

from bench.errors import StoreError
from bench.record import Record
from bench.store import Store

NOTE = "samples"
LARGEST = 64 << 20
"""Bytes of a table at most."""


@dataclass(frozen=True)
class Samples:
    """The first rows of one such table."""

    kind: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    total: int
    """Rows of the whole table."""
    problem: str = ""
    """Why there are none, where the file cannot be read."""


def samples(record: Record, store: Store, shown: int) -> list[Samples]:
    """The first ``shown`` rows of each table of the record, in the order of its notes."""
    return [_read(kind, record.files[kind], store, shown) for kind in kinds(record)]


def kinds(record: Record) -> list[str]:
    """Kinds of the record's files that are such tables."""
    named = record.notes.get(NOTE, [])
    return [kind for kind in named if kind in record.files] if isinstance(named, list) else []


def _read(kind: str, name: str, store: Store, shown: int) -> Samples:
    try:
        text = _unpacked(store.file(name))
    except StoreError as error:
        return Samples(kind, (), (), 0, str(error))
    except (OSError, EOFError, zlib.error, ValueError) as error:
        return Samples(kind, (), (), 0, f"cannot be shown ({error})")
    # Not ``splitlines``: a text may hold what that takes for the end of a line.
    lines = text.removesuffix("\n").split("\n")
    header, *rows = [tuple(line.split("\t")) for line in lines[: shown + 1]]
    return Samples(kind, header, tuple(rows), len(lines) - 1)


def _unpacked(content: bytes) -> str:
    with gzip.open(io.BytesIO(content)) as stream:
        found = stream.read(LARGEST + 1)
    if len(found) > LARGEST:
        raise ValueError(f"more than {LARGEST:,} bytes")
    return found.decode()
