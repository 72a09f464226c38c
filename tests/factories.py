"""Records with fixed numbers, for tests of what reads them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.record import Failure, Layer, Record
from bench.store import Store

SCHEDULE = {"lr": 0.001, "batch_size": 64, "steps": 100, "optimizer": "adam"}
EVALUATE = {"step": "Evaluate", "split": "test", "options": []}
METRICS = (
    {"name": "accuracy", "higher_is_better": True, "percent": True},
    {"name": "loss", "higher_is_better": False, "percent": False},
)


def path(pruner: str, target: float, when: str, allocation: str = "global", **schedule: Any) -> list[dict[str, Any]]:
    """The steps of a one-shot cell, as a record keeps them."""
    train = {"step": "Train", "schedule": {**SCHEDULE, **schedule}, "to": 100}
    if pruner == "dense":
        return [{"step": "Init"}, train, EVALUATE]
    cut = [
        {"step": "Score", "criterion": pruner, "version": 1, "batches": 1, "batch_size": 64},
        {"step": "Cut", "sparsity": target, "allocation": allocation, "structure": "weights"},
    ]
    if when == "init":
        return [{"step": "Init"}, *cut, train, EVALUATE]
    return [{"step": "Init"}, train, *cut, {**train, "schedule": {**SCHEDULE, "stream": "recover"}}, EVALUATE]


def make_record(pruner: str = "dense", target: float = 0.0, seed: int = 0, **changes: Any) -> Record:
    """A finished cell of a small classifier; ``changes`` replace any field. ``schedule`` changes its first training."""
    when, allocation = changes.get("when", "init"), changes.get("allocation", "global")
    steps = path(pruner, target, when, allocation, **changes.pop("schedule", {}))
    identity = f"{pruner} {target} {seed} {sorted((name, str(value)) for name, value in changes.items())} {steps}"
    kept = round((1 - target) * 1000)
    fields: dict[str, Any] = {
        "key": hashlib.sha256(identity.encode()).hexdigest(),
        "status": "done",
        "task": "toy-news",
        "task_version": 1,
        "model": "linear",
        "pruner": pruner,
        "when": when,
        "allocation": allocation,
        "structure": "weights",
        "variant": ", ".join(name for name, usual in ((when, "init"), (allocation, "global")) if name != usual),
        "target_sparsity": target,
        "seed": seed,
        "preset": "smoke",
        "options": {"dim": 8},
        "path": steps,
        "data": {
            "name": "toy",
            "kind": "subset",
            "counts": {"train rows": 1200, "test rows": 400},
            "digest": "ab" * 32,
        },
        "provenance": {"device": "cpu", "threads": 1, "dtype": "float32", "packages": {"torch": "2.13.0"}},
        "title": "Classification of toy news",
        "metric_info": METRICS,
        "task_notes": ("The toy's test rows are its own.",),
        "sparsity": 1 - kept / 1000,
        "total_sparsity": (1000 - kept) / 4000,
        "parameters": 4000,
        "prunable": 1000,
        "layers": (Layer("body.weight", "Linear", 1000, kept, 2_000_000),),
        "metrics": {"accuracy": 0.9, "loss": 0.3},
        "n": 400,
        "dense_flops": 2_000_000,
        "flops": 2 * kept * 1000,
        "flops_by_type": {"Linear": [2_000_000, 2 * kept * 1000]},
        "dense_bytes": 16_000,
        "compressed_bytes": 4 * (3000 + kept),
        "train_steps": 100,
    }
    return Record(**{**fields, **changes})


def make_failure(pruner: str, target: float, seed: int = 0, **changes: Any) -> Record:
    """A cell that failed in training."""
    unknown = ("sparsity", "total_sparsity", "parameters", "prunable")
    nothing = dict.fromkeys((*unknown, "dense_flops", "flops", "dense_bytes", "compressed_bytes"))
    failure = Failure("the loss became NaN at step 7.", "Train", "logs/toy.txt")
    left = {"status": "failed", "metrics": {}, "n": 0, "layers": (), "flops_by_type": {}, "train_steps": 7}
    return make_record(pruner, target, seed, **{**nothing, **left, "failure": failure, **changes})


def make_store(folder: Path | str, records: Sequence[Record], references: Sequence[dict[str, Any]] = ()) -> Store:
    """A results folder that holds ``records``, each with the same timing."""
    store = Store(folder, create=True)
    for record in records:
        store.put_record(record, {"Train": 1.5, "Evaluate": 0.25})
    for index, reference in enumerate(references):
        store.put_reference(f"{index}", reference)
    return store
