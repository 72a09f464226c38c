"""Weights & Biases: a run a cell, grouped by task, named by the cell's key so that a cell has one run however often it
is pushed.

``WANDB_PROJECT``, ``WANDB_MODE`` (``offline`` needs no account) and its other variables say where runs go; files lie
below the results folder.
"""

from __future__ import annotations

import os
from pathlib import Path

import wandb

from bench.record import Record
from bench.trackers.entry import describe

ID_LENGTH = 32
"""Digits of the key in a run's id."""


class WeightsAndBiases:
    """Runs of a project."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def push(self, record: Record) -> None:
        entry = describe(record)
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "prunebench"),
            dir=str(self.folder),
            id=record.key[:ID_LENGTH],
            resume="allow",
            group=record.task,
            job_type=record.pruner,
            name=entry.name,
            config=entry.parameters,
            settings=wandb.Settings(silent=True, console="off"),
        )
        run.log(entry.metrics, step=entry.step)
        run.finish(exit_code=0 if record.status == "done" else 1)

    def close(self) -> None: ...


def start(folder: Path) -> WeightsAndBiases:
    """The tracker, keeping its files below ``folder``."""
    return WeightsAndBiases(folder)
