"""Killed at random moments, then finished: always the same records, bit for bit; none lost, none half-written.

``make test-chaos`` does it a hundred times.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from bench.store import Store
from tests.bench.executors.grids import asked, children, compute, contents, litter, start

ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "1"))
"""Fresh folders, of each mode."""
KILLS = int(os.environ.get("CHAOS_KILLS", "5"))
"""Kills in each folder before the grid may finish."""
SEED = int(os.environ.get("CHAOS_SEED", "0"))
CELLS = 14
STEPS = 300
LENGTH = ("--set", f"train.steps={STEPS}")
LONGEST = 0.5
"""Seconds from a cell's record to the kill at most: what a few cells take."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the grid leaves when nobody disturbs it."""
    out = tmp_path_factory.mktemp("whole") / "out"
    compute(out, asked(settings={"train.steps": str(STEPS)}))
    return contents(out)


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(SEED, SEED + ROUNDS))
@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_at_random_moments_it_ends_with_the_same_bytes(
    whole: dict[str, bytes], tmp_path: Path, jobs: int, seed: int
) -> None:
    out, draw = tmp_path / "out", random.Random(1000 * jobs + seed)
    there: dict[str, bytes] = {}
    for _ in range(KILLS):
        kill(start(out, "--jobs", str(jobs), *LENGTH), out, draw)
        now = contents(out) if (out / "files").is_dir() else {}
        assert now.items() <= whole.items()  # nothing half-written
        assert now.keys() >= there.keys()  # nothing lost
        there = now
    process = start(out, "--jobs", str(jobs), *LENGTH)
    printed, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert contents(out) == whole
    assert litter(out) == []
    assert len(Store(out).state_keys()) == 2  # the dense models
    assert "grasp" in printed


def kill(process: subprocess.Popen[str], out: Path, draw: random.Random) -> None:
    """Kills the run, or one of its workers and then the run, at a random moment between its first step and its end."""
    there = records(out)
    wait_for(process, out, draw.randint(there, CELLS - 1) if there < CELLS else CELLS)
    time.sleep(draw.uniform(0.0, LONGEST))
    workers = children(process.pid)
    if workers and draw.random() < 0.5:
        with suppress(ProcessLookupError):
            os.kill(draw.choice(workers), signal.SIGKILL)
        wait_for(process, out, records(out) + draw.randint(0, 4))
    process.kill()
    _, said = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), said


def records(out: Path) -> int:
    return len([*(out / "records").glob("*.json")])


def wait_for(process: subprocess.Popen[str], out: Path, cells: int) -> None:
    """Waits until so many cells have their records, or the run is over."""
    while records(out) < cells and process.poll() is None:
        time.sleep(0.002)
