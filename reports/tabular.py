"""Cells for other programs, one a line: CSV and JSON lines. Nothing is averaged or rounded."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from bench.record import DENSE, Record
from bench.store import Store
from reports.escape import csv_field
from reports.latency import Measured, columns

SEPARATOR = ";"
"""Between the names of collapsed layers in one CSV field."""
LEADING = (
    *("key", "status", "task", "task_version", "model", "preset", "pruner", "when", "allocation", "structure"),
    *("target_sparsity", "iteration", "sparsity", "total_sparsity", "seed", "n"),
)
TRAILING = ("dense_flops", "flops", "dense_bytes", "compressed_bytes", "parameters", "prunable", "train_steps")

NOTHING_MEASURED: Measured = {}

Timed = tuple[Record, Mapping[str, float]]
"""A record and its seconds by step kind."""


def timed(store: Store, records: Iterable[Record]) -> list[Timed]:
    """Records with their timings, in the order of task, model, pruner, target and seed."""
    records = [*records]
    timings = store.timings([record.key for record in records])
    cells = [(record, timings[record.key]) for record in records]
    return sorted(cells, key=lambda cell: _order(cell[0]))


def jsonl(cells: Sequence[Timed], measured: Measured = NOTHING_MEASURED) -> str:
    """One object a cell: the whole record, ``seconds`` by step kind, and ``latency`` where it was measured."""
    lines = (
        json.dumps({**_plain(record), "seconds": dict(seconds), **_latency(record, measured)}, sort_keys=True)
        for record, seconds in cells
    )
    return "".join(f"{line}\n" for line in lines)


def comma_separated(cells: Sequence[Timed], measured: Measured = NOTHING_MEASURED) -> str:
    """One line a cell under one header, as ``flat`` has them. A text that a spreadsheet would take for a formula has an
    apostrophe before it."""
    titles, rows = flat(cells, measured)
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(titles)
    writer.writerows(
        [csv_field(value) if type(value := row.get(name, "")) is str else value for name in titles] for row in rows
    )
    return stream.getvalue()


def flat(cells: Sequence[Timed], measured: Measured = NOTHING_MEASURED) -> tuple[list[str], Iterator[dict[str, Any]]]:
    """Titles, and one mapping a cell, made when asked for: metrics as ``metric:NAME``, options as ``option:NAME``,
    ``seconds:KIND``; where it was measured, ``latency ms (BACKEND):median`` and its quartiles. What a cell lacks is
    missing or empty."""
    latencies = {key: columns(latency) for key, latency in measured.items()}
    metrics = dict.fromkeys(entry["name"] for record, _ in cells for entry in record.metric_info)
    metrics |= dict.fromkeys(sorted({name for record, _ in cells for name in record.metrics} - metrics.keys()))
    options = sorted({name for record, _ in cells for name in record.options})
    kinds = sorted({kind for _, seconds in cells for kind in seconds})
    titles = [
        *LEADING,
        *(f"metric:{name}" for name in metrics),
        *TRAILING,
        *("collapsed_layers", "data:name", "data:kind", "data:digest"),
        *(f"option:{name}" for name in options),
        *(f"seconds:{kind}" for kind in kinds),
        *dict.fromkeys(title for record, _ in cells for title in latencies.get(record.key, {})),
        "error",
    ]
    return titles, ({**_flat(record, seconds), **latencies.get(record.key, {})} for record, seconds in cells)


def _latency(record: Record, measured: Measured) -> dict[str, Any]:
    return {"latency": dict(measured[record.key])} if record.key in measured else {}


def _flat(record: Record, seconds: Mapping[str, float]) -> dict[str, Any]:
    return {
        **{name: "" if (value := getattr(record, name)) is None else value for name in (*LEADING, *TRAILING)},
        **{f"metric:{name}": value for name, value in record.metrics.items()},
        "collapsed_layers": SEPARATOR.join(record.collapsed_layers),
        **{f"data:{part}": record.data.get(part, "") for part in ("name", "kind", "digest")},
        **{f"option:{name}": _field(value) for name, value in record.options.items()},
        **{f"seconds:{kind}": value for kind, value in seconds.items()},
        "error": record.failure.error if record.failure else "",
    }


def _plain(record: Record) -> dict[str, Any]:
    """As ``asdict``, which copies every value and takes five times as long."""
    shallow = {entry.name: getattr(record, entry.name) for entry in fields(record)}
    layers = [vars(layer) for layer in record.layers]
    return {**shallow, "layers": layers, "failure": vars(record.failure) if record.failure else None}


def _field(value: object) -> object:
    return value if isinstance(value, str | int | float) else json.dumps(value, sort_keys=True)


def _order(record: Record) -> tuple[Any, ...]:
    data = str(record.data.get("digest", ""))
    recipe = (record.pruner != DENSE, record.pruner, record.variant)
    return record.task, data, record.model, record.preset, recipe, record.goal, record.seed, record.key
