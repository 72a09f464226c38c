"""Experiment trackers that finished cells are pushed to. None of them is needed, and none can stop a run.

A tracker is told of each cell once it has its record; what it keeps is a copy, the results folder stays the truth.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.executors.base import Listener
    from bench.record import Record
    from bench.tree import Node

TRACKERS = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}
"""Names and the packages that they need: each is an extra of prunebench, and a module of this folder."""


class Tracker(Protocol):
    """Keeps cells."""

    def push(self, record: Record) -> None:
        """Takes a finished or failed cell."""
        ...

    def close(self) -> None:
        """Writes what is not written yet."""
        ...


def open_trackers(names: Iterable[str], folder: Path) -> dict[str, Tracker]:
    """The named trackers, writing below ``folder`` unless their own settings (environment variables) say otherwise.

    Raises ``UsageError`` for a name that there is not, or a tracker that is not installed or cannot start.
    """
    from bench.registry import suggestion

    opened: dict[str, Tracker] = {}
    for name in dict.fromkeys(names):
        where = f"--track {name}"
        if name not in TRACKERS:
            raise UsageError("no such tracker", where=where, mend=suggestion(name, list(TRACKERS)))
        try:
            opened[name] = importlib.import_module(f"bench.trackers.{name}").start(folder)
        except ImportError as error:
            raise UsageError(
                f"{TRACKERS[name]} does not import ({error})",
                where=where,
                mend=f"Install it with: pip install 'prunebench[{name}]'.",
            ) from error
        except Exception as error:
            raise UsageError(
                f"does not start ({_said(error)})", where=where, mend="Run without it, or mend it."
            ) from error
    return opened


class Tracked:
    """A listener that tells trackers of each cell as well.

    A tracker that fails is named in one line and left alone from then on.
    """

    def __init__(self, listener: Listener, trackers: dict[str, Tracker]) -> None:
        self._listener = listener
        self._trackers = dict(trackers)

    def started(self, node: Node, worker: int = 0) -> None:
        self._listener.started(node, worker)

    def trained(self, node: Node, step: int, loss: float) -> None:
        self._listener.trained(node, step, loss)

    def elsewhere(self, record: Record) -> None:
        """Whichever run computed the cell tells its own trackers."""
        self._listener.elsewhere(record)

    def said(self, text: str) -> None:
        self._listener.said(text)

    def finished(self, record: Record) -> None:
        self._listener.finished(record)
        for name in self._names():
            try:
                self._trackers[name].push(record)
            except Exception as error:
                del self._trackers[name]
                self.said(f"{name} failed and is told nothing more: {_said(error)}. The run goes on, records are kept.")

    def close(self) -> None:
        """Closes every tracker that still works."""
        for name in self._names():
            try:
                self._trackers.pop(name).close()
            except Exception as error:
                self.said(f"{name} failed when it was closed: {_said(error)}. Records are kept.")

    def _names(self) -> Sequence[str]:
        return [*self._trackers]


def _said(error: Exception) -> str:
    """The error in one line."""
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")
