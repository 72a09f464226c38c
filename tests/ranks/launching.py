"""Starts processes that compute together, as ``torchrun`` does, so that a test has their numbers and words apart."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PATIENCE = 240


@dataclass(frozen=True)
class Said:
    """What a process left."""

    code: int
    out: str
    err: str


def surroundings(**more: str) -> dict[str, str]:
    """The environment of a subprocess: this checkout first, one thread, no launcher's variables."""
    ours = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**ours, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **more}


def started(arguments: Sequence[str], size: int = 2, **more: str) -> list[subprocess.Popen[str]]:
    """``python ARGUMENTS`` so many times, by rank."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"WORLD_SIZE": f"{size}", "LOCAL_WORLD_SIZE": f"{size}"}
    shared |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": f"{port}", **more}
    return [
        subprocess.Popen(
            [sys.executable, *arguments],
            env=surroundings(RANK=f"{rank}", LOCAL_RANK=f"{rank}", **shared),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(size)
    ]


def ended(processes: Sequence[subprocess.Popen[str]]) -> list[Said]:
    """What each left, once all have ended; none outlives the test."""
    try:
        said = [process.communicate(timeout=PATIENCE) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [Said(process.returncode, *words) for process, words in zip(processes, said, strict=True)]


def alone(arguments: Sequence[str]) -> Said:
    """``python ARGUMENTS`` in one process, without a launcher."""
    done = subprocess.run(
        [sys.executable, *arguments], env=surroundings(), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE
    )
    return Said(done.returncode, done.stdout, done.stderr)
