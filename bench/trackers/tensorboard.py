"""TensorBoard event files, written by tensorboardX: a curve a (task, pruner, seed) over sparsity in thousandths, and
each cell as a line of the HPARAMS table.

Below ``OUT/tensorboard``: ``tensorboard --logdir OUT/tensorboard`` shows them.
"""

from __future__ import annotations

from pathlib import Path

from tensorboardX import SummaryWriter
from tensorboardX.summary import hparams

from bench.record import Record
from bench.trackers.entry import describe


class TensorBoard:
    """Event files below a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def push(self, record: Record) -> None:
        entry = describe(record)
        # Cells come one at a time and minutes apart: a writer of its own for each leaves whole files behind.
        # The suffix keeps two that open within a second apart.
        suffix = f".{record.key[:8]}"
        with SummaryWriter(str(self.folder / "curves" / _safe(entry.curve)), filename_suffix=suffix) as writer:
            for name, value in entry.metrics.items():
                writer.add_scalar(_safe(name), value, entry.step)
        with SummaryWriter(str(self.folder / "cells" / _safe(entry.name)), filename_suffix=suffix) as writer:
            metrics = {_safe(name): value for name, value in entry.metrics.items()}
            for summary in hparams(entry.parameters, metrics):
                writer.file_writer.add_summary(summary)
            for name, value in metrics.items():
                writer.add_scalar(name, value, entry.step)

    def close(self) -> None: ...


def start(folder: Path) -> TensorBoard:
    """The tracker, writing below ``folder``."""
    return TensorBoard(folder / "tensorboard")


def _safe(name: str) -> str:
    """A name as folders and tags may have it: a model's path does not lead elsewhere."""
    kept = "".join(letter if letter.isalnum() or letter in "-_.@/ " else "_" for letter in name)
    return "/".join(part for part in kept.split("/") if part.strip(". ")).replace(" ", "_")
