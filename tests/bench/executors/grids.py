"""Small grids, computed here or by the command line in a process of its own, and what they leave."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench import api
from bench.grid import Request
from bench.plan import make
from bench.store import Store

ROOT = Path(__file__).parents[3]
GRID = (
    "--task",
    "toy",
    "--pruner",
    "random,magnitude,grasp",
    "--grid",
    "0.5,0.9",
    "--seeds",
    "0-1",
    "--when",
    "trained",
)
HERE = ("--device", "cpu", "--threads", "1")


def asked(**changes: Any) -> Request:
    """The request that ``GRID`` is: 14 cells."""
    usual = {"tasks": ("toy",), "pruners": ("random", "magnitude", "grasp"), "sparsities": (0.5, 0.9), "seeds": (0, 1)}
    return Request(**{**usual, "when": "trained", **changes})


class Told(api.Silent):
    """A listener that keeps what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.records: list[Any] = []

    def finished(self, record: Any) -> None:
        self.records.append(record)

    def said(self, text: str) -> None:
        self.lines.append(text)


def compute(out: Path | str, request: Request | None = None, **execution: Any) -> Told:
    """Computes the grid from this process, on one thread of the CPU."""
    told, request = Told(), request or asked()
    settings = api.Execution("cpu", 1, **execution)
    api.execute(make(request), Store(out, create=True), settings, request.dtype, told)
    return told


def start(out: Path | str, *flags: str, paths: tuple[Path, ...] = ()) -> subprocess.Popen[str]:
    """``bench run`` on the grid (or ``flags`` that say another), its output in pipes."""
    grid = () if "--task" in flags else GRID
    path = os.pathsep.join([*map(str, paths), str(ROOT), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-m", "bench", "run", *grid, *HERE, *flags, "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def run(out: Path | str, *flags: str, paths: tuple[Path, ...] = (), code: int = 0) -> tuple[str, str]:
    """Runs to the end; what it printed on both streams."""
    process = start(out, *flags, paths=paths)
    printed, said = process.communicate(timeout=600)
    assert process.returncode == code, said
    return printed, said


def contents(out: Path) -> dict[str, bytes]:
    """Every record and every file beside one."""
    return {
        f"{folder}/{path.name}": path.read_bytes()
        for folder in ("records", "files")
        for path in sorted((out / folder).iterdir())
        if ".writing-" not in path.name
    }


def steps(out: Path) -> list[str]:
    """Each step that a worker process began, as its log has it: ``Train 0a1b2c3d4e5f``."""
    return [
        line.split(" ", 1)[1]
        for path in (out / "logs").glob("run-*.txt")
        for line in path.read_text().splitlines()
        if line[:2].isdecimal() and line.endswith(tuple("0123456789abcdef")) and len(line.split()) == 3
    ]


def litter(out: Path) -> list[str]:
    """What a finished grid must not leave."""
    left = [*out.rglob("*.writing-*"), *(out / "leases").iterdir(), *(out / "partial").iterdir()]
    return [str(path.relative_to(out)) for path in [*left, *(out / "damaged").iterdir()]]


def trained(out: Path, process: subprocess.Popen[str]) -> None:
    """Waits until two workers train: their logs say so."""
    until = time.monotonic() + 300
    while sum(line.startswith("Train") for line in steps(out)) < 2:
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.05)


def children(process: int) -> list[int]:
    """Numbers of the processes that a process has started."""
    try:
        return [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    except OSError:
        return []


def alive(process: int) -> bool:
    """Whether a process has not ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
