"""What an executor is to the schedule, and a listener to a run. Imports no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from bench.executors.segments import Segment
    from bench.record import Record
    from bench.tree import Node


class Listener(Protocol):
    """Who watches a run."""

    def started(self, node: Node, worker: int = 0) -> None:
        """A worker begins a step."""
        ...

    def trained(self, node: Node, step: int, loss: float) -> None:
        """Training stands at ``step`` with this mean loss."""
        ...

    def finished(self, record: Record) -> None:
        """A cell has its record."""
        ...

    def elsewhere(self, record: Record) -> None:
        """A cell has its record, computed by another run on the same folder."""
        ...

    def said(self, text: str) -> None:
        """Something worth a line."""
        ...


class Noting:
    """A listener that passes on to others what it is told, and keeps which cells it was told of."""

    def __init__(self, *listeners: Listener) -> None:
        self._listeners = listeners
        self.noted: set[str] = set()
        """Keys of the cells that have their record by this run."""

    def started(self, node: Node, worker: int = 0) -> None:
        for listener in self._listeners:
            listener.started(node, worker)

    def trained(self, node: Node, step: int, loss: float) -> None:
        for listener in self._listeners:
            listener.trained(node, step, loss)

    def finished(self, record: Record) -> None:
        self.noted.add(record.key)
        for listener in self._listeners:
            listener.finished(record)

    def elsewhere(self, record: Record) -> None:
        for listener in self._listeners:
            listener.elsewhere(record)

    def said(self, text: str) -> None:
        for listener in self._listeners:
            listener.said(text)


@dataclass(frozen=True)
class Job:
    """What a worker is given to do."""

    segment: Segment
    cells: frozenset[str]
    """Keys of the segment's cells that lack their record."""
    verdict: Verdict | None = None
    """Where set, nothing is computed: the cells at and below a node fail."""


@dataclass(frozen=True)
class Verdict:
    """Why what is left of a segment is given up."""

    node: str
    """Key of the node at which its workers died."""
    error: str
    log: str | None


@dataclass(frozen=True)
class Done:
    """All cells of the segment have their records, and its last state is stored where others start from it."""

    job: Job


@dataclass(frozen=True)
class Failed:
    """A step failed: all cells at and below it have failed records."""

    job: Job
    error: str


@dataclass(frozen=True)
class Died:
    """The worker ended without a word."""

    job: Job
    node: str
    """Key of the node that it was at."""
    how: str
    """``killed by signal 9``, say."""
    log: str | None


@dataclass(frozen=True)
class Stopped:
    """The worker was asked to stop: what it had done of the segment is saved."""

    job: Job


@dataclass(frozen=True)
class Broken:
    """What no cell can go on with (a full disk)."""

    job: Job | None
    error: Exception


Outcome = Done | Failed | Died | Stopped | Broken


class Executor(Protocol):
    """Carries out segments, some at a time; tells its listener what happens meanwhile."""

    @property
    def workers(self) -> int:
        """How many segments it carries out at a time at most."""
        ...

    def idle(self) -> Sequence[int]:
        """The workers that wait for a segment."""
        ...

    def give(self, worker: int, job: Job) -> None:
        """Makes an idle worker begin."""
        ...

    def outcomes(self, seconds: float) -> Sequence[Outcome]:
        """What has ended; waits so long for something to, and no longer than that where nothing does."""
        ...

    def stop(self) -> None:
        """Asks all workers to save what they have and to stop; their jobs end as ``Stopped``, or as they would have."""
        ...

    def close(self) -> None:
        """Ends all workers at once."""
        ...
