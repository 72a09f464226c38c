"""Cells with per-example values, made without a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from bench.record import Record
from reports.compare.packing import Values
from reports.compare.sides import Measured, Side
from tests.factories import make_record

MACHINE = {
    "device": "cpu",
    "device_name": "Toy CPU",
    "cpu_capability": "AVX2",
    "threads": 1,
    "dtype": "float32",
    "versions": {"torch": "2.13.0", "numpy": "2.4.0"},
}
ELSEWHERE = {**MACHINE, "device_name": "Other CPU"}
EXAMPLES = 1000


def correct(seed: int, share: float = 0.9) -> Values:
    """0 or 1 for each example, about ``share`` of them 1."""
    return (np.random.default_rng([7, seed]).random(EXAMPLES) < share).astype(np.float64)


def fewer(values: Values, count: int, seed: int = 0) -> Values:
    """The same with ``count`` of the ones turned to zeros."""
    worse = values.copy()
    worse[np.random.default_rng(seed).choice(np.flatnonzero(values), count, replace=False)] = 0.0
    return worse


def cell(
    pruner: str = "dense", target: float = 0.0, seed: int = 0, values: Values | None = None, **changes
) -> Measured:
    """A finished cell; ``values`` are its examples' accuracy."""
    accuracy = correct(seed) if values is None else values
    usual = {"provenance": MACHINE, "n": accuracy.size, "mask_digest": f"{pruner} {target} {seed}"}
    record = make_record(pruner, target, seed, **{**usual, **changes})
    return with_values(Measured(record, dict), accuracy)


def with_values(found: Measured, accuracy: Values) -> Measured:
    """The cell with other values of its examples, under the same key."""
    record = replace(found.record, metrics={"accuracy": float(accuracy.mean())}, n=accuracy.size)
    return Measured(record, lambda: {"accuracy": accuracy})


def changed(found: Measured, **fields) -> Measured:
    """The cell with other fields of its record, under the same key."""
    return Measured(replace(found.record, **fields), found.examples)


def elsewhere(found: Measured) -> Measured:
    """The cell as another machine computed it."""
    return changed(found, provenance=ELSEWHERE)


def grid(seeds: int = 3) -> list[Measured]:
    """Dense and two pruners at two sparsities."""
    cells = [cell(seed=seed) for seed in range(seeds)]
    return cells + [
        cell(pruner, target, seed) for pruner in ("grasp", "random") for target in (0.5, 0.9) for seed in range(seeds)
    ]


def side(cells: Sequence[Measured], name: str = "base") -> Side:
    return Side(name, tuple(cells))


def records(cells: Sequence[Measured]) -> list[Record]:
    return [found.record for found in cells]
