"""Workers in processes of their own, wherever those run: gives them jobs, hears what they say, and replaces the dead.

How a process is started, spoken to and ended is a ``Link``'s business: of this machine (``processes.py``) or of a
cluster (``ray_cluster.py``). Imports no torch.
"""

from __future__ import annotations

import json
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

from bench.errors import BenchError
from bench.executors.base import Broken, Died, Done, Failed, Job, Listener, Outcome, Stopped
from bench.executors.messages import Message, Work, error_of, work_line, written
from bench.record import loads
from bench.store import Store
from bench.tree import Node, Plan

STILLBORN = 3
"""Workers in a row that end before they could begin, after which no more are started."""
LEAVING = 5.0
"""Seconds that an idle worker has to end by itself."""
LOG_KEPT = 1 << 20
"""Bytes of a log that is kept in memory, where the results lie elsewhere."""


class Link(Protocol):
    """A worker process, as the pool holds it."""

    def send(self, line: str) -> None:
        """Sends a line; to a process that is gone it is lost."""
        ...

    def kill(self) -> None:
        """Ends the process, whatever it does."""
        ...


class Ears(Protocol):
    """What a link calls, from any thread, when its process says something."""

    def said(self, line: str) -> None:
        """A line of its standard output."""
        ...

    def logged(self, text: str) -> None:
        """Something on its standard error."""
        ...

    def ended(self, how: str) -> None:
        """It ended; ``how`` goes into a sentence: ``killed by signal 9``."""
        ...


Start = Callable[[Ears], Link]
"""Starts a worker process that tells these ears what it says."""


@dataclass
class _Worker:
    """A place for a process: of those that die another takes it."""

    number: int
    link: Link
    ears: _Ears
    ready: bool = False
    job: Job | None = None
    node: str | None = None
    """Key of the node that it is at."""


class Pool:
    """The executor whose workers are processes."""

    def __init__(
        self, start: Start, workers: int, work: Work, plan: Plan, store: Store, listener: Listener, run: str
    ) -> None:
        """``run`` is part of the logs' names."""
        self.workers = workers
        self._start, self._work, self._store, self._listener, self._run = start, work, store, listener, run
        self._nodes = {node.key: node for root in plan.roots for node in root.node.walk()}
        self._heard: queue.Queue[tuple[_Ears, str, str]] = queue.Queue()
        self._stillborn = 0
        self._stopping = False
        self._workers: dict[int, _Worker] = {}
        try:
            for number in range(workers):
                self._begin(number)
        except BaseException:
            self.close()
            raise

    def idle(self) -> Sequence[int]:
        return [one.number for one in self._workers.values() if one.ready and one.job is None and not self._stopping]

    def give(self, worker: int, job: Job) -> None:
        one = self._workers[worker]
        one.job, one.node = job, job.segment.key
        verdict = None if job.verdict is None else asdict(job.verdict)
        one.link.send(written({"segment": job.segment.key, "cells": sorted(job.cells), "verdict": verdict}))

    def outcomes(self, seconds: float) -> Sequence[Outcome]:
        found: list[Outcome] = []
        with suppress(queue.Empty):
            heard = self._heard.get(timeout=seconds)
            while True:
                found += self._understood(*heard)
                heard = self._heard.get_nowait()
        return found

    def stop(self) -> None:
        self._stopping = True
        for one in self._workers.values():
            one.link.send(written({"stop": True}))

    def close(self) -> None:
        """Ends all workers at once; where the results lie elsewhere, idle ones first remove their copies of states."""
        copies = self._store.storage.folder is None
        leaving = {one.ears for one in self._workers.values() if copies and one.ready and one.job is None}
        for one in self._workers.values():
            if one.ears in leaving:
                one.link.send(written({"stop": True}))
            else:
                one.link.kill()
        until = time.monotonic() + LEAVING
        with suppress(queue.Empty):
            while leaving:
                ears, kind, _ = self._heard.get(timeout=max(0.0, until - time.monotonic()))
                if kind == "ended":
                    leaving.discard(ears)
        for one in self._workers.values():
            one.link.kill()
            one.ears.close()
        self._workers = {}

    def _begin(self, number: int) -> None:
        ears = _Ears(self._heard, _Log(self._store, f"run-{self._run}-worker-{number + 1}"))
        link = self._start(ears)
        self._workers[number] = _Worker(number, link, ears)
        link.send(work_line(replace(self._work, number=number)))

    def _understood(self, ears: _Ears, kind: str, text: str) -> Iterator[Outcome]:
        one = next((one for one in self._workers.values() if one.ears is ears), None)
        if one is None:
            return
        if kind == "ended":
            yield from self._replaced(one, text)
        else:
            yield from self._told(one, json.loads(text))

    def _told(self, one: _Worker, message: Message) -> Iterator[Outcome]:
        """What a worker says goes to the listener, or is how its job ended."""
        listener = self._listener
        if "started" in message:
            node = self._nodes[message["started"]]
            one.node = node.key
            listener.started(node, one.number)
        elif "trained" in message:
            key, step, loss = message["trained"]
            listener.trained(self._nodes[key], step, loss)
        elif "finished" in message:
            listener.finished(loads(message["finished"]))
        elif "said" in message:
            listener.said(message["said"])
        elif "ready" in message:
            one.ready, self._stillborn = True, 0
        elif "broken" in message:
            job, one.job = one.job, None
            yield Broken(job, error_of(message["broken"], one.ears.log.name))
        elif one.job is not None:
            job, one.job = one.job, None
            if "stopped" in message:
                yield Stopped(job)
            else:
                yield Failed(job, message["failed"]) if "failed" in message else Done(job)

    def _replaced(self, one: _Worker, how: str) -> Iterator[Outcome]:
        """What is left of a worker that ended: its job, and a new worker in its place."""
        one.ears.close()
        one.link.kill()
        log, at = one.ears.log.name, self._nodes.get(one.node or "")
        self._stillborn += not one.ready
        del self._workers[one.number]
        if one.job is not None:
            yield Stopped(one.job) if self._stopping else Died(one.job, _key(at, one.job), how, log)
        if self._stopping:
            return
        if self._stillborn >= STILLBORN:
            yield Broken(
                None, BenchError(f"workers end as they start ({how})", where=log, mend="Its last lines say why.")
            )
        else:
            self._begin(one.number)


class _Ears:
    """Puts what a worker says where the run will find it, and its log into the folder."""

    def __init__(self, heard: queue.Queue[tuple[_Ears, str, str]], log: _Log) -> None:
        self._heard, self.log = heard, log

    def said(self, line: str) -> None:
        self._heard.put((self, "said", line))

    def logged(self, text: str) -> None:
        self.log.write(text)

    def ended(self, how: str) -> None:
        self._heard.put((self, "ended", how))

    def close(self) -> None:
        self.log.close()


class _Log:
    """The log of a worker: appended to on this machine, elsewhere written when it ends. A log that cannot be written
    stops nothing."""

    def __init__(self, store: Store, key: str) -> None:
        self.name = f"logs/{key}.txt"
        self._store, self._key = store, key
        folder = store.storage.folder
        self._path: Path | None = None if folder is None else folder / self.name
        self._kept = ""

    def write(self, text: str) -> None:
        if self._path is None:
            self._kept = (self._kept + text)[-LOG_KEPT:]
            return
        with suppress(OSError), self._path.open("a", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(text)

    def close(self) -> None:
        if self._path is None and self._kept:
            with suppress(BenchError):
                self._store.put_log(self._key, self._kept)


def _key(node: Node | None, job: Job) -> str:
    return node.key if node is not None else job.segment.key
