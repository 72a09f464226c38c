"""How a results folder stands while runs work on it, looked at again and again: each look reads what is new.

Changes nothing. Imports no torch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from bench.foresight.runs import SHOWN_KEY, Run, cells_of, runs
from bench.leases import EXPIRY, Leases
from bench.store import Store

FAILED = "failed"


@dataclass(frozen=True)
class Look:
    """The folder at one moment."""

    done: int
    failed: int
    left: int
    """Cells that runs are to compute, or ended without."""
    runs: Sequence[Run]
    """Those at work."""
    others: Mapping[str, int]
    """Processes at work that tell nothing of themselves, and how many leases they hold."""

    @property
    def at_work(self) -> bool:
        """Whether anybody is."""
        return bool(self.runs or self.others)

    @property
    def seconds_left(self) -> float | None:
        """Of the run that needs longest; None where one does not know."""
        known = [run.seconds_left for run in self.runs]
        told = [seconds for seconds in known if seconds is not None]
        return max(told) if told and len(told) == len(known) and not self.others else None


def left_of(asked: Iterable[Collection[str]], there: Iterable[str]) -> int:
    """How many of the cells that runs are to compute, by their shortened keys, have no record."""
    known = {key[:SHOWN_KEY] for key in there}
    return len({key for cells in asked for key in cells if key not in known})


class Watch:
    """Looks at one folder."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._clock = store, clock
        self._leases = Leases(store, clock=clock)
        self._statuses: dict[str, str] = {}
        self._cells: dict[str, frozenset[str]] = {}
        """Of each run."""
        self._seen: dict[str, tuple[bytes, float]] = {}
        """What each run last said, and since when."""

    def look(self) -> Look:
        """How the folder stands now."""
        found = runs(self._store.storage)
        self._seen = {run.id: self._watched(run) for run in found}
        self._cells = {run.id: self._cells.get(run.id) or cells_of(self._store.storage, run) for run in found}
        working = [run for run in found if not self._over(run)]
        self._read({key for run in working for key in self._cells[run.id]})
        left = left_of(self._cells.values(), self._statuses)
        failed = sum(status == FAILED for status in self._statuses.values())
        told = {str(run.owner) for run in working}
        others = {who: count for who, count in self._leases.holders().items() if who not in told}
        return Look(len(self._statuses) - failed, failed, left, working, others)

    def _read(self, wanted: set[str]) -> None:
        """Reads the records that are new, and those of failed cells that may be tried again."""
        keys = self._store.keys()
        self._statuses = {key: self._statuses[key] for key in keys if key in self._statuses}
        again = {key for key, status in self._statuses.items() if status == FAILED and key[:SHOWN_KEY] in wanted}
        new = [key for key in keys if key not in self._statuses or key in again]
        self._statuses |= self._store.statuses(new)

    def _watched(self, run: Run) -> tuple[bytes, float]:
        seen = self._seen.get(run.id)
        return seen if seen is not None and seen[0] == run.content else (run.content, self._clock())

    def _over(self, run: Run) -> bool:
        """Whether it ended, or has said nothing for as long as makes a lease expire."""
        return run.ended or self._clock() - self._seen[run.id][1] >= EXPIRY
