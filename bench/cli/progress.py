"""What a person sees on stderr while a grid runs: bars on a terminal, a line a cell elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from bench.foresight.runs import told
from bench.steps import Train

if TYPE_CHECKING:
    from bench.foresight.forecast import Forecast
    from bench.record import Record
    from bench.tree import Node


SELDOM = 60.0
"""Seconds between two lines that say how long the rest takes; of less than that none does."""
SETTLED = 15.0
"""Seconds after which what a run has measured itself is said for the first time."""


class Progress:
    """Listens to a run."""

    def __init__(self, steps_left: int, cells_left: int, forecast: Forecast | None = None) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._live = self._console.is_terminal
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            console=self._console,
            disable=not self._live,
            transient=True,
        )
        self._all = self._bars.add_task("training steps", total=steps_left, note="", left="")
        self._steps: dict[int, TaskID] = {}
        """The bar of each worker."""
        self._worker: dict[str, int] = {}
        """Who is at a node, by its key."""
        self._trained: dict[str, int] = {}
        """Training steps done at each node."""
        self._steps_done = 0
        self._cells = 0
        self._cells_left = cells_left
        self._forecast = forecast
        self._said = -SELDOM
        """When the time left was last said."""

    def __enter__(self) -> Progress:
        self._bars.start()
        self._tell_left()
        self._said = max(self._said, time.monotonic() - SELDOM + SETTLED)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def started(self, node: Node, worker: int = 0) -> None:
        self._worker[node.key] = worker
        if worker not in self._steps:
            self._steps[worker] = self._bars.add_task("", total=None, note="", left="")
        total = node.train_steps if isinstance(node.step, Train) else None
        self._bars.reset(self._steps[worker], total=total, description=told(node), note="", left="")

    def trained(self, node: Node, step: int, loss: float) -> None:
        assert isinstance(node.step, Train)
        done = node.train_steps - (node.step.to - step)
        self._steps_done += done - self._trained.get(node.key, 0)
        self._trained[node.key] = done
        self._bars.update(self._steps[self._worker[node.key]], completed=done, note=f"loss {loss:.4f}")
        self._bars.update(self._all, completed=self._steps_done)
        self._tell_left()

    def finished(self, record: Record) -> None:
        self._tell(record, "")

    def elsewhere(self, record: Record) -> None:
        self._tell(record, " (by another process)")

    def _tell(self, record: Record, how: str) -> None:
        self._cells += 1
        self.said(f"[{self._cells}/{self._cells_left}] {_outcome(record)}{how}")
        self._bars.update(self._all, note=f"cell {self._cells} of {self._cells_left}")
        self._tell_left()

    def _tell_left(self) -> None:
        """The time left: in the bar at each change, elsewhere now and then."""
        now = time.monotonic()
        if not self._live and now - self._said < SELDOM:
            return
        left = self._forecast.left() if self._forecast is not None else None
        if self._live:
            self._bars.update(self._all, left="" if left is None else str(left))
        elif left is not None and left.seconds >= SELDOM:
            self._said = now
            self.said(f"{left}.")

    def said(self, text: str) -> None:
        self._console.print(text, markup=False)


def _outcome(record: Record) -> str:
    """One line about a finished cell: its lead metric, or why it failed."""
    variant = f" ({record.variant})" if record.variant else ""
    cell = f"{record.task}/{record.model} {record.pruner}{variant} {record.goal_name} seed {record.seed}"
    if record.failure is not None:
        return f"{cell}: failed at {record.failure.step}: {record.failure.error}"
    names = [str(entry["name"]) for entry in record.metric_info if entry["name"] in record.metrics] or [*record.metrics]
    return f"{cell}: {_measured(record, names[0])}" if names else f"{cell}: done"


def _measured(record: Record, name: str) -> str:
    """``accuracy 91.07 %``: the metric as the table prints it."""
    from reports.figures import number
    from reports.table import MetricInfo

    percent = any(entry["name"] == name and entry.get("percent", False) for entry in record.metric_info)
    return f"{name} {number(record.metrics[name], MetricInfo(name, percent=percent))}{' %' if percent else ''}"
