"""A process that computes jobs for a run: ``python -m bench.executors.worker``, lines of JSON in and out.

It ends when its standard input does: nothing outlives the run that started it. What it and its libraries print goes to
standard error, which the run keeps as a log.
"""

from __future__ import annotations

import faulthandler
import json
import os
import queue
import signal
import sys
import threading
import time
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from bench.errors import Interrupted, UsageError
from bench.execution import walk_of
from bench.executors.base import Done, Failed, Job, Verdict
from bench.executors.messages import Message, Work, fingerprint, told, work_of, written
from bench.executors.segments import Segment, divide
from bench.plan import make
from bench.record import Record, dumps
from bench.store import Store
from bench.threads import limit
from bench.tree import Node

PARENT_GONE = 3


class Voice:
    """Tells the run what a listener is told."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._lock = threading.Lock()

    def tell(self, message: Message) -> None:
        with self._lock:
            try:
                self._out.write(written(message))
                self._out.flush()
            except OSError:
                os._exit(PARENT_GONE)

    def started(self, node: Node, worker: int = 0) -> None:
        log(f"{type(node.step).__name__} {node.key[:12]}")
        self.tell({"started": node.key})

    def trained(self, node: Node, step: int, loss: float) -> None:
        self.tell({"trained": [node.key, step, loss]})

    def finished(self, record: Record) -> None:
        log(f"{record.status} {record.key[:12]}: {record.pruner} {record.goal_name} seed {record.seed}")
        self.tell({"finished": dumps(record)})

    def elsewhere(self, record: Record) -> None: ...

    def said(self, text: str) -> None:
        self.tell({"said": text})


class Orders:
    """What the run asks for."""

    def __init__(self, lines: TextIO) -> None:
        self._jobs: queue.Queue[Message | None] = queue.Queue()
        self._stopped = threading.Event()
        self._lines = lines
        self.work = work_of(json.loads(self._line()))
        threading.Thread(target=self._listen, name="orders", daemon=True).start()

    def next(self) -> Message | None:
        """The next job; None where there are no more."""
        return None if self._stopped.is_set() else self._jobs.get()

    def stop(self) -> None:
        self._stopped.set()
        self._jobs.put(None)

    def stopped(self) -> bool:
        return self._stopped.is_set()

    def _listen(self) -> None:
        while True:
            message = json.loads(self._line())
            if "stop" in message:
                self.stop()
            else:
                self._jobs.put(message)

    def _line(self) -> str:
        line = self._lines.readline()
        if not line.endswith("\n"):
            os._exit(PARENT_GONE)  # whatever is half-done: nobody is there to be told
        return line


def log(text: str) -> None:
    """A line of the log; a log that cannot be written stops nothing."""
    with suppress(OSError):
        print(time.strftime("%H:%M:%S"), text, file=sys.stderr, flush=True)


def main() -> None:
    """Takes orders until there are no more."""
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the run is asked, and asks its workers
    voice = Voice(os.fdopen(os.dup(1), "w", encoding="utf-8"))
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    orders = Orders(os.fdopen(os.dup(0), encoding="utf-8"))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    signal.signal(signal.SIGTERM, lambda number, frame: orders.stop())
    try:
        _work(orders, voice)
    except Interrupted:
        voice.tell({"stopped": True})
    except Exception as error:
        log(traceback.format_exc())
        voice.tell({"broken": told(error)})


def _work(orders: Orders, voice: Voice) -> None:
    work = orders.work
    if Path(work.folder).is_dir():
        os.chdir(work.folder)
    segments = _segments(work)
    limit(work.threads)
    walk = walk_of(work, [*segments.values()], Store(work.store, mends=True), voice, orders.stopped)
    voice.tell({"ready": True})
    while (message := orders.next()) is not None:
        verdict = None if message["verdict"] is None else Verdict(**message["verdict"])
        outcome = walk.carry_out(Job(segments[message["segment"]], frozenset(message["cells"]), verdict))
        voice.tell({"failed": outcome.error} if isinstance(outcome, Failed) else {"done": True})
        assert isinstance(outcome, Done | Failed)


def _segments(work: Work) -> dict[str, Segment]:
    """The segments of the run's own plan, by key."""
    assert work.request is not None
    plan = make(work.request)
    if fingerprint(plan) != work.plan:
        raise UsageError(
            "a worker plans other cells than the run that started it",
            mend="Its version of prunebench, of a plug-in, or its data differs: make them the same on all machines.",
        )
    wanted = None if work.wanted is None else frozenset(work.wanted)
    found = divide(plan, lambda key: wanted is None or key in wanted)
    return {segment.key: segment for segment in found}


if __name__ == "__main__":
    main()
