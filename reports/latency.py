"""Measured latency, in a table of its own: what the clock said stands beside no theoretical figure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from bench.record import Record
from bench.store import Store
from reports import figures, identity
from reports.figures import NOTHING
from reports.layout import Block, Column

NOTE = (
    "Measured on this machine, one forward pass at a time, back-ends in turn: median (lower to upper quartile; of "
    "several seeds the median of medians, and the widest quartiles). No theory: compare within a line."
)
Measured = Mapping[str, Mapping[str, Any]]
"""Latency as ``bench.measure.latency`` gives it, by key of the cell."""


def measured(store: Store, records: Sequence[Record]) -> dict[str, Mapping[str, Any]]:
    """Latency of the records that have it, by key."""
    found: dict[str, Any] = {record.key: store.measurement(record.key).get("latency") for record in records}
    return {key: latency for key, latency in found.items() if readable(latency)}


def readable(latency: Any) -> bool:
    """Whether this is what ``bench.measure.latency`` gives: the checksum says nothing of who wrote it."""
    try:
        whole = (latency["batch_size"], latency["threads"], latency["rounds"])
        entries = [(entry["backend"], entry["median"], entry["lower"], entry["upper"]) for entry in latency["backends"]]
    except (KeyError, TypeError, IndexError):
        return False
    return (
        all(type(count) is int for count in whole)
        and isinstance(latency.get("device"), str)
        and isinstance(latency.get("left_out", {}), dict)
        and all(isinstance(name, str) and all(map(_is_number, times)) for name, *times in entries)
    )


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e300


def blocks(records: Sequence[Record], latency: Measured) -> list[Block]:
    """A table a task, with the batch size, threads and device named; none where nothing was measured."""
    tasks = sorted({record.task for record in records if record.key in latency})
    return [_task(task, [r for r in records if r.task == task and r.key in latency], latency) for task in tasks]


def _task(task: str, records: Sequence[Record], latency: Measured) -> Block:
    backends = list(dict.fromkeys(name for record in records for name in _backends(latency[record.key])))
    lines: dict[tuple[Any, ...], list[Record]] = {}
    for record in sorted(records, key=_order):
        lines.setdefault((identity.recipe(record), identity.target(record)), []).append(record)
    targets = figures.sparsities([target for _, target in lines])
    settings = sorted({_setting(latency[record.key]) for record in records})
    return Block(
        f"{task} · measured latency",
        (
            Column("pruner", tuple(identity.recipe_label(recipe) for recipe, _ in lines), left=True),
            Column("target", tuple(targets)),
            *(
                Column(f"latency ms ({name})", tuple(_cell(group, name, latency) for group in lines.values()))
                for name in backends
            ),
        ),
        above=("; ".join(settings),),
        below=(NOTE,),
    )


def _setting(found: Mapping[str, Any]) -> str:
    threads, rounds = found["threads"], found["rounds"]
    return (
        f"batch size {found['batch_size']}, {threads} thread{'s' if threads != 1 else ''}, {found['device']}, "
        f"{rounds} rounds"
    )


def _backends(found: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    return {entry["backend"]: entry for entry in found["backends"]}


def _cell(records: Sequence[Record], backend: str, latency: Measured) -> str:
    entries = [_backends(latency[record.key]).get(backend) for record in records]
    found = [entry for entry in entries if entry is not None]
    if not found:
        return NOTHING
    median = statistics.median(entry["median"] for entry in found)
    lower, upper = min(entry["lower"] for entry in found), max(entry["upper"] for entry in found)
    return f"{median:.3g} ({lower:.3g} to {upper:.3g})"


def _order(record: Record) -> tuple[Any, ...]:
    return not identity.is_dense(record), identity.recipe(record), identity.target(record), record.seed, record.key


def columns(found: Mapping[str, Any]) -> dict[str, Any]:
    """Flat columns of one cell's latency, for CSV."""
    flat: dict[str, Any] = {f"latency:{name}": found[name] for name in ("batch_size", "threads", "device", "rounds")}
    for name, entry in _backends(found).items():
        for part in ("median", "lower", "upper"):
            flat[f"latency ms ({name}):{part}"] = entry[part]
    return flat
