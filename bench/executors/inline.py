"""Carries out segments in this process, one after the other."""

from __future__ import annotations

import time
from collections.abc import Sequence

from bench.executors.base import Job, Outcome
from bench.executors.walk import Walk


class Inline:
    """The executor that needs nothing."""

    workers = 1

    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self._given: Job | None = None

    def idle(self) -> Sequence[int]:
        return [] if self._given else [0]

    def give(self, worker: int, job: Job) -> None:
        self._given = job

    def outcomes(self, seconds: float) -> Sequence[Outcome]:
        """Raises what the walk raises: ``Interrupted`` and ``BenchError``."""
        if self._given is None:
            time.sleep(seconds)
            return ()
        job, self._given = self._given, None
        return (self._walk.carry_out(job),)

    def stop(self) -> None:
        """The walk asks by itself whether to stop."""

    def close(self) -> None: ...
