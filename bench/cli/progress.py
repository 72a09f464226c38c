"""What a person sees on stderr while a grid runs: bars on a terminal, a line a cell elsewhere."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from bench.steps import Cut, Evaluate, Score, Train

if TYPE_CHECKING:
    from bench.record import Record
    from bench.tree import Node


class Progress:
    """Listens to a run."""

    def __init__(self, steps_left: int, cells_left: int) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._live = self._console.is_terminal
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=not self._live,
            transient=True,
        )
        self._all = self._bars.add_task("training steps", total=steps_left, note="")
        self._steps: dict[int, TaskID] = {}
        """The bar of each worker."""
        self._worker: dict[str, int] = {}
        """Who is at a node, by its key."""
        self._trained: dict[str, int] = {}
        """Training steps done at each node."""
        self._steps_done = 0
        self._cells = 0
        self._cells_left = cells_left

    def __enter__(self) -> Progress:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def started(self, node: Node, worker: int = 0) -> None:
        self._worker[node.key] = worker
        if worker not in self._steps:
            self._steps[worker] = self._bars.add_task("", total=None, note="")
        total = node.train_steps if isinstance(node.step, Train) else None
        self._bars.reset(self._steps[worker], total=total, description=_describe(node), note="")

    def trained(self, node: Node, step: int, loss: float) -> None:
        assert isinstance(node.step, Train)
        done = node.train_steps - (node.step.to - step)
        self._steps_done += done - self._trained.get(node.key, 0)
        self._trained[node.key] = done
        self._bars.update(self._steps[self._worker[node.key]], completed=done, note=f"loss {loss:.4f}")
        self._bars.update(self._all, completed=self._steps_done)

    def finished(self, record: Record) -> None:
        self._tell(record, "")

    def elsewhere(self, record: Record) -> None:
        self._tell(record, " (by another process)")

    def _tell(self, record: Record, how: str) -> None:
        self._cells += 1
        self.said(f"[{self._cells}/{self._cells_left}] {_outcome(record)}{how}")
        self._bars.update(self._all, note=f"cell {self._cells} of {self._cells_left}")

    def said(self, text: str) -> None:
        self._console.print(text, markup=False)


def _describe(node: Node) -> str:
    """The step, with the cut that it stands under."""
    step = node.step
    above: Node | None = node
    cut = ""
    while above is not None:
        if isinstance(above.step, Cut) and not cut:
            cut = f" at {above.step.sparsity:g}"
        above = above.parent
    if isinstance(step, Score):
        return f"Score {step.criterion}"
    return f"{type(step).__name__}{cut if isinstance(step, Train | Evaluate) else ''}"


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
