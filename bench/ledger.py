"""What was read of a results folder before: its records and timings, in one file of the cache.

To read a record is to parse it, to check its checksum and to hash every file that belongs to it. The ledger keeps what
came of that under a *stamp* of these files, their names, sizes and times of change: what has changed is read anew. What
many records share (options, data, path) is kept and held once. A ledger that is damaged, or that cannot be written,
costs time and never a result. Imports no torch.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import astuple, fields, replace
from pathlib import Path
from typing import Any

from bench.data import cache_folder
from bench.record import SCHEMA, Failure, Layer, Record

LEAST = 200
"""Records from which on a ledger is worth its file."""
AT_ONCE = 5_000
"""Rows read or written at a time: nobody is kept waiting for long."""
PATIENCE = 2.0
"""Seconds to wait for another process that writes."""

SHARED = frozenset({"options", "path", "data", "provenance", "metric_info", "task_notes"})
"""Fields that are the same in many records."""
NAMES = tuple(entry.name for entry in fields(Record))
_SHARED = tuple(place for place, name in enumerate(NAMES) if name in SHARED)
_LAYERS, _FAILURE = NAMES.index("layers"), NAMES.index("failure")
_LAYOUT = hashlib.sha256(repr((SCHEMA, NAMES, [entry.name for entry in fields(Layer)])).encode()).hexdigest()[:8]
_KEEP = "INSERT OR REPLACE INTO records VALUES (?, ?, ?, ?)"
_TABLES = """
CREATE TABLE IF NOT EXISTS folder (path TEXT);
CREATE TABLE IF NOT EXISTS parts (id TEXT PRIMARY KEY, text TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS records (key TEXT PRIMARY KEY, stamp TEXT, status TEXT, body TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS timings (key TEXT PRIMARY KEY, stamp TEXT, body TEXT) WITHOUT ROWID;
"""


class Ledger:
    """The ledger of one results folder on this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder.resolve())
        name = hashlib.sha256(self._folder.encode(errors="surrogateescape")).hexdigest()[:32]
        self.path = cache_folder() / "ledgers" / f"{name}-{_LAYOUT}.sqlite"
        self._parts: dict[str, Any] = {}
        """What records share, by the digest of its JSON."""
        self._digests: dict[str, str] = {}

    def records(
        self, stamps: Mapping[str, str], read: Callable[[str], Record | None], *, layers: bool = True
    ) -> Iterator[Record]:
        """The records of these keys in their order: as they were read before under the same stamp, else as ``read``
        gives them now, which leaves out those that it gives None for. Without ``layers`` they have none."""
        known = self._rows("records", "key, stamp, body")
        row = next(known, None)
        new: list[tuple[str, str, str, str]] = []
        for key in sorted(stamps):
            while row is not None and row[0] < key:
                row = next(known, None)
            record = self._unpacked(row[2], layers) if row is not None and row[:2] == (key, stamps[key]) else None
            if record is None:
                record = read(key)
                if record is not None:
                    body, record = self._packed(record)
                    record = record if layers else replace(record, layers=())
                    new.append((key, stamps[key], record.status, body))
                if len(new) >= AT_ONCE:
                    self._write(_KEEP, new)
                    new.clear()
            if record is not None:
                yield record
        self._write(_KEEP, new)

    def statuses(self, stamps: Mapping[str, str], read: Callable[[str], Record | None]) -> dict[str, str]:
        """``done`` or ``failed`` for each of these keys that has a record; no more of those known is looked at."""
        known = {
            key: status
            for key, stamp, status in self._rows("records", "key, stamp, status")
            if stamps.get(key) == stamp
        }
        missing = {key: stamps[key] for key in stamps.keys() - known.keys()}
        return known | {record.key: record.status for record in self.records(missing, read)}

    def timings(
        self, stamps: Mapping[str, str], read: Callable[[str], dict[str, float]]
    ) -> dict[str, dict[str, float]]:
        """The timings of these keys, by key."""
        rows = self._rows("timings", "key, stamp, body")
        found = {key: json.loads(body) for key, stamp, body in rows if stamps.get(key) == stamp}
        new = {key: read(key) for key in sorted(stamps.keys() - found.keys())}
        rows_of_new = [(key, stamps[key], json.dumps(timing)) for key, timing in new.items()]
        self._write("INSERT OR REPLACE INTO timings VALUES (?, ?, ?)", rows_of_new)
        return found | new

    # Rows

    def _packed(self, record: Record) -> tuple[str, Record]:
        """The row's text, and the record once more: equal, but what it shares is held once."""
        values: list[Any] = [getattr(record, name) for name in NAMES]
        digests = {place: self._shared(values[place]) for place in _SHARED}
        named = self._shared([[layer.name, layer.type, layer.size, layer.flops] for layer in record.layers])
        row = [digests.get(place, value) for place, value in enumerate(values)]
        row[_LAYERS] = [named, [layer.kept for layer in record.layers]]
        row[_FAILURE] = None if record.failure is None else astuple(record.failure)
        for place, digest in digests.items():
            values[place] = self._parts[digest]
        values[_LAYERS] = self._layers(named, row[_LAYERS][1])
        return json.dumps(row), Record(*values)

    def _unpacked(self, body: str, layers: bool) -> Record | None:
        """The record, None where the row is damaged."""
        parts = self._parts
        try:
            values: list[Any] = json.loads(body)
            for place in _SHARED:
                values[place] = parts[values[place]]
            values[_LAYERS] = self._layers(*values[_LAYERS]) if layers else ()
            if values[_FAILURE] is not None:
                values[_FAILURE] = Failure(*values[_FAILURE])
            return Record(*values)
        except (ValueError, TypeError, LookupError):
            return None

    def _layers(self, named: str, kept: Sequence[int]) -> tuple[Layer, ...]:
        described = zip(self._parts[named], kept, strict=True)
        return tuple([Layer(name, kind, size, left, flops) for (name, kind, size, flops), left in described])

    def _shared(self, value: Any) -> str:
        """The digest of the value's JSON."""
        text = json.dumps(value)
        if text not in self._digests:
            digest = self._digests[text] = hashlib.sha256(text.encode()).hexdigest()[:16]
            self._parts.setdefault(digest, json.loads(text))
        return self._digests[text]

    # The file

    def _rows(self, table: str, columns: str) -> Generator[tuple[Any, ...], None, None]:
        """The rows of a table in the order of their keys, as far as the ledger is whole: a damaged one is removed."""
        if not self.path.is_file():
            return
        last = ""
        try:
            while True:
                with closing(self._connected()) as ledger:
                    self._parts |= {
                        digest: json.loads(text)
                        for digest, text in ledger.execute("SELECT id, text FROM parts")
                        if digest not in self._parts
                    }
                    page = ledger.execute(
                        f"SELECT {columns} FROM {table} WHERE key > ? ORDER BY key LIMIT ?", (last, AT_ONCE)
                    ).fetchall()
                yield from page
                if len(page) < AT_ONCE:
                    return
                last = page[-1][0]
        except sqlite3.OperationalError:  # another process writes
            return
        except (sqlite3.Error, ValueError):
            self._forget()

    def _write(self, statement: str, rows: Sequence[tuple[str, ...]]) -> None:
        if not rows:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._connected()) as ledger, ledger:
                ledger.executescript(_TABLES)
                ledger.execute("BEGIN IMMEDIATE")
                if ledger.execute("SELECT 1 FROM folder").fetchone() is None:
                    ledger.execute("INSERT INTO folder VALUES (?)", (self._folder,))
                parts = ((digest, json.dumps(value)) for digest, value in self._parts.items())
                ledger.executemany("INSERT OR IGNORE INTO parts VALUES (?, ?)", parts)
                ledger.executemany(statement, rows)
        except (sqlite3.OperationalError, OSError):  # another process writes, or the disk is full or read-only
            return
        except sqlite3.Error:
            self._forget()

    def _connected(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=PATIENCE)

    def _forget(self) -> None:
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
