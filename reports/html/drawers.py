"""What the page tells of each cell when its row is opened: plain data, compact, for the script to draw.

What many cells share (layers, steps, provenance, options) is there once and named by its place.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.errors import BenchError
from bench.record import Record
from bench.store import Store
from reports import facts
from reports.escape import clipped
from reports.footer import why
from reports.latency import Measured, columns
from reports.samples import NOTE, kinds, samples
from reports.table import Row, Table

LAYERS = 400_000
"""Densities of layers in all; cells beyond leave theirs out."""
SAMPLED, SAMPLES, FIELD = 300, 5, 400
"""Cells with samples of their outputs, samples of each, and characters of a field."""
LABEL, SENTENCE = 300, 2000
"""Characters of a name and of a longer text."""

Command = Callable[[Record], str]
"""The command that computes a record's cell again, its seed the last word; ``BenchError`` where there is none."""


@dataclass(frozen=True)
class Drawers:
    """Of all rows of a page."""

    data: Mapping[str, Any]
    rows: Mapping[str, int]
    """Keys of cells to rows."""
    left_out: tuple[str, ...]
    """What the file does not hold, a sentence each."""


class _Shared:
    """Plain data that is there once."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._places: dict[Hashable, int] = {}

    def place(self, name: Hashable, value: Callable[[], Any]) -> int:
        """Of the data that ``name`` stands for."""
        if name not in self._places:
            self._places[name] = len(self.values)
            self.values.append(value())
        return self._places[name]


class _Filling:
    """The data while it is gathered."""

    def __init__(
        self, store: Store, command: Command, latency: Measured, seconds: Mapping[str, Mapping[str, float]]
    ) -> None:
        self.store, self.command, self.latency, self.seconds = store, command, latency, seconds
        self.shared = {name: _Shared() for name in ("layers", "steps", "provenance", "facts")}
        self.layers_left, self.samples_left = LAYERS, SAMPLED
        self.without_layers = self.without_samples = 0
        self.last: tuple[object, int] = (None, 0)

    def row(self, table: int, row: Row) -> dict[str, Any]:
        cells = sorted((*row.cells, *row.failures), key=lambda record: record.seed)
        first = cells[0]
        return {
            "task": table,
            "name": _label(row.label),
            "target": first.goal_name,
            "cells": [self.cell(record) for record in cells],
            "steps": self.shared["steps"].place(str(first.path), lambda: _steps(first)),
            "options": self._facts({"model": first.model, "preset": first.preset, **first.options}),
            **self._command(first),
        }

    def cell(self, record: Record) -> dict[str, Any]:
        found: dict[str, Any] = {
            "key": record.key,
            "seed": record.seed,
            "numbers": [getattr(record, name) for name, _ in NUMBERS],
            "metrics": dict(_clipped(record.metrics)),
            "seconds": dict(_clipped(self.seconds.get(record.key, {}))),
            "provenance": self._provenance(record),
            "notes": self._facts({name: note for name, note in record.notes.items() if name != NOTE}),
        }
        if record.status != "done":
            found["failure"] = clipped(why(record.failure), SENTENCE)
        if record.layers:
            found |= self._layers(record)
        if record.key in self.latency:
            found["latency"] = _lines([(n, facts.plain(v)) for n, v in columns(self.latency[record.key]).items()])
        if record.mask_digest:
            found["masks"] = record.mask_digest[:16]
        return {**found, **self._samples(record)}

    def _facts(self, values: Mapping[str, Any]) -> int:
        return self.shared["facts"].place(str(values), lambda: _lines(facts.mapping(values)))

    def _provenance(self, record: Record) -> int:
        facts_of = (record.task, record.task_version, record.data, record.provenance)
        if facts_of != self.last[0]:  # nearly all records have their neighbour's
            place = self.shared["provenance"].place(str(facts_of), lambda: _lines(_provenance(record)))
            self.last = (facts_of, place)
        return self.last[1]

    def _layers(self, record: Record) -> dict[str, Any]:
        if len(record.layers) > self.layers_left:
            self.without_layers += 1
            return {}
        self.layers_left -= len(record.layers)
        shape = tuple((layer.name, layer.type, layer.size) for layer in record.layers)
        place = self.shared["layers"].place(
            shape, lambda: [[_label(name), _label(type_), n] for name, type_, n in shape]
        )
        return {"layers": place, "kept": [layer.kept for layer in record.layers]}

    def _samples(self, record: Record) -> dict[str, Any]:
        if not kinds(record):
            return {}
        if not self.samples_left:
            self.without_samples += 1
            return {}
        self.samples_left -= 1
        return {
            "samples": [
                {
                    "kind": _label(found.kind),
                    "header": [_label(title) for title in found.header],
                    "rows": [[clipped(field, FIELD) for field in row] for row in found.rows],
                    "total": found.total,
                    **({"problem": clipped(found.problem, SENTENCE)} if found.problem else {}),
                }
                for found in samples(record, self.store, SAMPLES)
            ]
        }

    def _command(self, record: Record) -> dict[str, str]:
        try:
            return {"command": self.command(record).rpartition(" ")[0]}
        except BenchError as error:
            return {"problem": clipped(str(error), SENTENCE)}

    def left_out(self) -> list[str]:
        told = "'bench show KEY' prints them."
        found = []
        if self.without_layers:
            found.append(f"Layers of {self.without_layers:,} cells are left out to keep the file small: {told}")
        if self.without_samples:
            found.append(f"Sample outputs of {self.without_samples:,} cells are left out: {told}")
        return found


NUMBERS = (
    ("sparsity", "sparsity"),
    ("total_sparsity", "total"),
    ("flops", "FLOPs"),
    ("dense_flops", "dense FLOPs"),
    ("compressed_bytes", "bytes, compressed"),
    ("dense_bytes", "bytes, dense"),
    ("train_steps", "training steps"),
    ("n", "examples"),
)
"""Fields of a record and what the page calls them."""


def drawers(tables: Sequence[Table], store: Store, command: Command, latency: Measured) -> Drawers:
    """All rows of the tables, in their order."""
    keys = [record.key for table in tables for row in table.rows for record in (*row.cells, *row.failures)]
    filling = _Filling(store, command, latency, store.timings(keys))
    rows: list[dict[str, Any]] = []
    places: dict[str, int] = {}
    for number, table in enumerate(tables):
        for row in table.rows:
            for record in (*row.cells, *row.failures):
                places[record.key] = len(rows)
            rows.append(filling.row(number, row))
    data = {
        "numbers": [title for _, title in NUMBERS],
        "tasks": [
            {"name": _label(table.task), "metrics": [_label(info.name) for info in table.metrics]} for table in tables
        ],
        "rows": rows,
        **{name: shared.values for name, shared in filling.shared.items()},
    }
    return Drawers(data, places, tuple(filling.left_out()))


def _provenance(record: Record) -> facts.Facts:
    """Versions of packages by name, all else as it is."""
    versions = record.provenance.get("versions")
    rest = {name: value for name, value in record.provenance.items() if name != "versions"}
    data = {f"data {name}": value for name, value in record.data.items()}
    task = {"task": f"{record.task} version {record.task_version}", **data}
    return [
        *facts.mapping(task),
        *facts.mapping(rest),
        *(facts.mapping(versions) if isinstance(versions, Mapping) else []),
    ]


def _steps(record: Record) -> list[str]:
    return [clipped(facts.step(step), SENTENCE) for step in record.path]


def _label(text: str) -> str:
    return clipped(text, LABEL)


def _lines(found: Sequence[tuple[str, str]]) -> list[list[str]]:
    return [[_label(name), clipped(value, SENTENCE)] for name, value in found]


def _clipped(values: Mapping[str, float]) -> list[tuple[str, float]]:
    return [(_label(name), value) for name, value in values.items()]
