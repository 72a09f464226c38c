"""Measured latency, in a table of its own: what the clock said stands beside no theoretical figure."""

from __future__ import annotations

import statistics
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from tabulate import tabulate

from bench.record import Record
from bench.store import Store
from reports import figures, identity
from reports.figures import NOTHING

NOTE = (
    "Measured on this machine, one forward pass at a time, back-ends in turn: median (lower to upper quartile; of "
    "several seeds the median of medians, and the widest quartiles). No theory: compare within a line."
)
Measured = Mapping[str, Mapping[str, Any]]
"""Latency as ``bench.measure.latency`` gives it, by key of the cell."""


def measured(store: Store, records: Sequence[Record]) -> dict[str, Mapping[str, Any]]:
    """Latency of the records that have it, by key."""
    found = {record.key: store.measurement(record.key).get("latency") for record in records}
    return {key: latency for key, latency in found.items() if latency}


def render(records: Sequence[Record], latency: Measured, *, markdown: bool = False, width: int = 140) -> str:
    """A table a task, with the batch size, threads and device named; empty where nothing was measured."""
    tasks = dict.fromkeys(record.task for record in records if record.key in latency)
    parts = [_task(task, [r for r in records if r.task == task and r.key in latency], latency, markdown, width)
             for task in sorted(tasks)]  # fmt: skip
    return "".join(f"\n{part}" for part in parts)


def _task(task: str, records: Sequence[Record], latency: Measured, markdown: bool, width: int) -> str:
    backends = list(dict.fromkeys(name for record in records for name in _backends(latency[record.key])))
    lines: dict[tuple[Any, ...], list[Record]] = {}
    for record in sorted(records, key=_order):
        lines.setdefault((identity.recipe(record), identity.target(record)), []).append(record)
    targets = figures.sparsities([target for _, target in lines])
    cells = [
        [identity.recipe_label(recipe), shown, *(_cell(group, backend, latency) for backend in backends)]
        for ((recipe, _), group), shown in zip(lines.items(), targets, strict=True)
    ]
    headers = ["pruner", "target", *(f"latency ms ({backend})" for backend in backends)]
    drawn = tabulate(
        cells,
        headers=headers,
        tablefmt="pipe" if markdown else "simple",
        disable_numparse=True,
        colalign=["left", *(["right"] * (len(headers) - 1))],
    )
    settings = sorted({_setting(latency[record.key]) for record in records})
    heading = f"{'### ' if markdown else ''}{task} · measured latency"
    note = NOTE if markdown else textwrap.fill(NOTE, width)
    return f"{heading}\n\n{'; '.join(settings)}\n\n{drawn}\n\n{note}\n"


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
