"""The grid that the golden tables show."""

from __future__ import annotations

import pytest

from bench.record import Record
from tests.factories import make_failure, make_record

ACCURACY = {
    ("dense", 0.0): (0.90, 0.92, 0.94),
    ("grasp", 0.5): (0.89, 0.90, 0.94),
    ("magnitude", 0.5): (0.90, 0.91, 0.92),
    ("magnitude", 0.968): (0.60, 0.70, 0.80),
}
LOSS = 0.3


def golden_records() -> list[Record]:
    """Three seeds of a dense model and two pruners; grasp fails at 0.968, at 0.9 in one seed; one layer collapses."""
    cells = [
        make_record(
            pruner,
            target,
            seed,
            when="trained" if pruner == "magnitude" else "init",
            metrics={"accuracy": accuracy, "loss": LOSS + target + (0.1 if pruner == "grasp" else 0.0)},
            collapsed_layers=["body.weight"] if (target, seed) == (0.968, 2) else [],
            notes={"floor": {"accuracy": 0.25}},
            train_steps=1832 if pruner == "magnitude" else 100,
        )
        for (pruner, target), values in ACCURACY.items()
        for seed, accuracy in enumerate(values)
    ]
    cells += [make_record("grasp", 0.9, seed, metrics={"accuracy": 0.8 + seed / 100, "loss": 1.2}) for seed in (0, 1)]
    return [*cells, make_failure("grasp", 0.9, 2), *(make_failure("grasp", 0.968, seed) for seed in range(3))]


GOLDEN_REFERENCES = (
    {
        "task": "toy-news",
        "data_digest": "ab" * 32,
        "references": [
            {"name": "most frequent class", "metrics": {"accuracy": 0.25}, "note": "the class seen most in training."}
        ],
    },
)


@pytest.fixture
def records() -> list[Record]:
    return golden_records()
