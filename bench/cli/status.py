"""``bench status``: what a results folder holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli.output import block, pairs, write, write_json
from bench.errors import UsageError
from bench.machine import human

if TYPE_CHECKING:
    from bench.record import Record
    from bench.store import Store

SHOWN_KEY = 12
"""Digits of a key that are printed; any prefix that is one cell's alone finds it again."""


def status(
    folder: Annotated[
        str, typer.Argument(metavar="[FOLDER]", help="A results folder: the --out of a 'bench run'.")
    ] = "results",
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show how far the runs on it are, until nobody is at work or Ctrl-C.")
    ] = False,
    every: Annotated[float, typer.Option(min=0.1, max=3600, help="Seconds between two looks with --watch.")] = 2.0,
) -> None:
    """Show which cells of a folder are done or failed, and why.

    And by task and pruner, what is damaged, and what the folder takes on the disk.
    """
    from bench.store import Store

    if watch and json:
        raise UsageError("prints one object, --watch line after line", where="--json", mend="Leave out one of them.")
    store = Store(folder)
    if watch:
        from bench.cli.watch import watch as watched

        watched(store, every)
        return
    found = _status(store, store.records(layers=False))
    if json:
        write_json(found)
    else:
        write(_text(found))


def _status(store: Store, records: Iterable[Record]) -> dict[str, Any]:
    """The state of a folder. No record is kept that did not fail: there may be very many."""
    from bench.foresight.runs import cells_of, runs
    from bench.foresight.watch import left_of
    from bench.leases import Leases

    asked = [cells_of(store.storage, run) for run in runs(store.storage)]
    counts: Counter[tuple[str, str, str]] = Counter()
    keys: list[str] = []
    failed: list[Record] = []
    for record in records:
        counts[record.task, record.pruner, record.status] += 1
        keys.append(record.key)
        if record.status != "done":
            failed.append(record)
    return {
        "cells": len(keys),
        "done": len(keys) - len(failed),
        "failed": len(failed),
        "left": left_of(asked, keys),
        "by": [
            {
                "task": task,
                "pruner": pruner,
                "done": counts[task, pruner, "done"],
                "failed": _failed(counts, task, pruner),
            }
            for task, pruner in sorted({(task, pruner) for task, pruner, _ in counts})
        ],
        "failures": [_failure(record) for record in failed],
        "running": Leases(store).holders(),
        "partial": len(store.partials()),
        "damaged": store.damaged(),
        "left_out": dict(sorted(store.left_out.items())),
        "bytes": dict(store.storage.sizes()),
    }


def _failed(counts: Counter[tuple[str, str, str]], task: str, pruner: str) -> int:
    return sum(n for (t, p, state), n in counts.items() if (t, p) == (task, pruner) and state != "done")


def _failure(record: Record) -> dict[str, Any]:
    failure = record.failure
    return {
        "key": record.key,
        "task": record.task,
        "model": record.model,
        "pruner": record.pruner,
        "target": record.goal_name,
        "seed": record.seed,
        "error": " ".join(failure.error.split()) if failure else "no reason recorded",
        "step": failure.step if failure else None,
        "log": failure.log if failure else None,
    }


def _text(found: dict[str, Any]) -> str:
    size = sum(found["bytes"].values())
    taken = ", ".join(f"{name} {human(count)}" for name, count in found["bytes"].items() if count)
    left = f", and {found['left']} left" if found["left"] else ""
    facts = [
        ("cells", f"{found['cells']}: {found['done']} done, {found['failed']} failed{left}"),
        ("on disk", human(size) + (f" ({taken})" if taken else "")),
    ]
    if found["running"]:
        rows = (f"{count} row{'s' if count != 1 else ''} of steps by {who}" for who, count in found["running"].items())
        facts.append(("running", ", ".join(rows)))
    if found["partial"]:
        count = found["partial"]
        facts.append(("under way", f"{count} unfinished training{'s' if count != 1 else ''}, kept half-way"))
    if found["damaged"]:
        facts.append(("damaged", f"{len(found['damaged'])} files that runs set aside in damaged/: nothing reads them"))
    if found["left_out"]:
        facts.append(("left out", f"{len(found['left_out'])} that are not whole: 'bench run' computes them again"))
    parts = [pairs(facts)]
    if found["by"]:
        lines = [[entry["task"], entry["pruner"], entry["done"], entry["failed"]] for entry in found["by"]]
        parts.append(block(["task", "pruner", "done", "failed"], lines, right=(2, 3)))
    if found["failures"]:
        parts.append("".join(["failed\n", *(f"  {_told(entry)}\n" for entry in found["failures"])]))
    if found["left_out"]:
        parts.append("".join(["left out\n", *(f"  {name} {why}\n" for name, why in found["left_out"].items())]))
    if found["damaged"]:
        parts.append("".join(["damaged\n", *(f"  {name}\n" for name in found["damaged"])]))
    return "\n".join(parts)


def _told(entry: dict[str, Any]) -> str:
    cell = f"{entry['task']} {entry['pruner']} at {entry['target']}, seed {entry['seed']}"
    log = f", see {entry['log']}" if entry["log"] else ""
    return f"{entry['key'][:SHOWN_KEY]}  {cell}: {entry['error'].rstrip('.')} ({entry['step']}){log}"
