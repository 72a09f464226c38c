"""Workers in processes of this machine: ``--jobs N``. Imports no torch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import bench
from bench.executors.pool import Ears
from bench.threads import environment as threads_of

COMMAND = (sys.executable, "-P", "-m", "bench.executors.worker")
"""Started anew, not forked: neither threads nor locks of this process are copied, nor is its main module run again."""
LAST_WORDS = 2.0
"""Seconds in which what a dead process had printed is still read."""


class Process:
    """A worker process of this machine, and the threads that listen to it."""

    def __init__(
        self, ears: Ears, threads: int, paths: Sequence[str] = (), environment: Mapping[str, str] | None = None
    ) -> None:
        """``paths`` are searched for modules before those that this process searches."""
        self._ears = ears
        self._process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(environment or {}), **_environment(threads, paths)},
            process_group=0,  # a Ctrl-C on the terminal is the run's to answer
            text=True,
            encoding="utf-8",
            errors="backslashreplace",
        )
        self._logging = threading.Thread(target=self._pass_log, name="worker log", daemon=True)
        self._logging.start()
        threading.Thread(target=self._listen, name="worker", daemon=True).start()

    def send(self, line: str) -> None:
        assert self._process.stdin is not None
        with suppress(OSError, ValueError):
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def kill(self) -> None:
        self._process.kill()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.endswith("\n"):  # else its last words were cut off
                self._ears.said(line)
        code = self._process.wait()
        self._logging.join(LAST_WORDS)
        self._ears.ended(_how(code))

    def _pass_log(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._ears.logged(line)


def _environment(threads: int, paths: Sequence[str]) -> dict[str, str]:
    """Where the worker finds our packages and plug-ins, and how many threads its libraries start."""
    home = str(Path(str(bench.__file__)).parent.parent)
    searched = dict.fromkeys([home, *paths, *(str(Path(path).absolute()) for path in sys.path)])
    return {"PYTHONPATH": os.pathsep.join(searched), **threads_of(threads)}


def own_paths() -> list[str]:
    """Where this process finds modules beside those that are installed: a checkout, say."""
    installed = (sys.prefix, sys.base_prefix)
    return [path for path in (str(Path(path).absolute()) for path in sys.path) if not path.startswith(installed)]


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    with suppress(ValueError):
        return f"killed by signal {-code}, {signal.Signals(-code).name}"
    return f"killed by signal {-code}"
