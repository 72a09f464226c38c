"""Small grids run as a person runs them, by the command line in a process of its own, and what they leave."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
GRID = ("--task", "toy", "--pruner", "random,magnitude,grasp", "--grid", "0.5,0.9", "--seeds", "0-1", "--when", "trained")
HERE = ("--device", "cpu", "--threads", "1")


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
        if line[:2].isdecimal() and " done " not in line
    ]


def litter(out: Path) -> list[str]:
    """What a finished grid must not leave."""
    left = [*out.rglob("*.writing-*"), *(out / "leases").iterdir(), *(out / "partial").iterdir()]
    return [str(path.relative_to(out)) for path in [*left, *(out / "damaged").iterdir()]]
