"""Workers on the nodes of a Ray cluster: ``--executor ray``.

An actor on a node starts the same worker process that ``--jobs`` starts here, and passes lines of text on. Ray places
it (threads are its CPUs, GPUs may be fractions) and says when its node is lost; it sees no code, no tensor and no
pickle of ours. Every node needs prunebench, the data, and the results folder under the same address.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError, RayError

from bench.errors import UsageError
from bench.executors.pool import Ears
from bench.executors.processes import Process, own_paths

PATIENCE = 1.0
"""Seconds that a relay waits for its process to say something before it says that there is nothing."""
HANDED_ON = ("BENCH_DATA",)
"""Variables of the run's environment that its workers get too."""


class Relay:
    """What runs on a node of the cluster: a worker process, and what it said."""

    def __init__(self, threads: int, paths: list[str], environment: dict[str, str]) -> None:
        self._heard: queue.Queue[tuple[str, str]] = queue.Queue()
        self._process = Process(self, threads, paths, environment)

    @ray.method(concurrency_group="speaking")  # type: ignore[untyped-decorator]
    def send(self, line: str) -> None:
        """Passes a line on to the process."""
        self._process.send(line)

    @ray.method(concurrency_group="hearing")  # type: ignore[untyped-decorator]
    def hear(self) -> list[tuple[str, str]]:
        """What was said since, in order, as kind and text; waits a moment for it."""
        heard = []
        with suppress(queue.Empty):
            heard.append(self._heard.get(timeout=PATIENCE))
            while True:
                heard.append(self._heard.get_nowait())
        return heard

    def said(self, line: str) -> None:
        self._heard.put(("said", line))

    def logged(self, text: str) -> None:
        self._heard.put(("logged", text))

    def ended(self, how: str) -> None:
        self._heard.put(("ended", how))


class Remote:
    """A relay, as the run holds it."""

    def __init__(self, ears: Ears, threads: int, gpus: float, environment: dict[str, str]) -> None:
        self._ears = ears
        kind = ray.remote(concurrency_groups={"speaking": 1, "hearing": 1})(Relay)
        placed = kind.options(num_cpus=threads, num_gpus=gpus, max_restarts=0)
        self._actor: Any = placed.remote(threads, own_paths(), environment)
        threading.Thread(target=self._listen, name="relay", daemon=True).start()

    def send(self, line: str) -> None:
        with suppress(RayError):
            self._actor.send.remote(line)

    def kill(self) -> None:
        with suppress(Exception):  # a cluster that is gone, or going
            ray.kill(self._actor)

    def _listen(self) -> None:
        try:
            while True:
                for kind, text in ray.get(self._actor.hear.remote()):
                    getattr(self._ears, kind)(text)
                    if kind == "ended":
                        return
        except RayActorError:
            self._ears.ended("its node, or its actor there, was lost")
        except Exception as error:
            self._ears.ended(f"lost: {type(error).__name__}")


class Cluster:
    """A Ray cluster that is there already."""

    def __init__(self, address: str) -> None:
        """Connects to it, unless this process has. Raises ``UsageError`` where there is none."""
        self._ours = not ray.is_initialized()
        if self._ours:
            try:
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            except Exception as error:
                said = " ".join(str(error).split()).partition(". ")[0]
                raise UsageError(
                    f"no Ray cluster there ({said})",
                    where=f"--ray-address {address}",
                    mend="Start one ('ray start --head'), or run with --jobs.",
                ) from error

    def close(self) -> None:
        """Leaves the cluster, where this connected to it."""
        if self._ours:
            ray.shutdown()

    def room(self, threads: int, gpus: float) -> int:
        """How many workers its nodes have room for. Raises ``UsageError`` where none has room for one."""
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        fitting = [_room(node.get("CPU", 0.0), threads) for node in nodes]
        if gpus:
            fitting = [min(one, _room(node.get("GPU", 0.0), gpus)) for one, node in zip(fitting, nodes, strict=True)]
        if not any(fitting):
            asked = f"{threads} CPUs" + (f" and {gpus:g} GPUs" if gpus else "")
            raise UsageError(
                f"no node of the cluster has {asked} for one worker", where="--executor ray",
                mend="Give fewer --threads (a worker's CPUs) or --gpus-per-job.",
            )  # fmt: skip
        return sum(fitting)

    def start(self, ears: Ears, threads: int, gpus: float) -> Remote:
        """Starts a worker, as soon as a node has room for it."""
        environment = {name: str(Path(os.environ[name]).absolute()) for name in HANDED_ON if os.environ.get(name)}
        return Remote(ears, threads, gpus, environment)


def _room(there: float, asked: float) -> int:
    return int(there / asked + 1e-6)
