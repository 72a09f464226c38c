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
STEPS = 300
LENGTH = ("--set", f"train.steps={STEPS}")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What the grid leaves when nobody disturbs it."""
    out = tmp_path_factory.mktemp("whole") / "out"
    compute(out, asked(settings={"train.steps": str(STEPS)}))
    return contents(out)


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(ROUNDS))
@pytest.mark.parametrize("jobs", [1, 2])
def test_killed_at_random_moments_it_ends_with_the_same_bytes(
    whole: dict[str, bytes], tmp_path: Path, jobs: int, seed: int
) -> None:
    out, draw, took = tmp_path / "out", random.Random(1000 * jobs + seed), 4.0
    there: dict[str, bytes] = {}
    for _ in range(KILLS):
        process = start(out, "--jobs", str(jobs), *LENGTH)
        began = time.monotonic()
        killed = kill(process, began + took * draw.uniform(0.1, 1.3), draw)
        if killed is None:  # it was done before: the next one comes sooner
            took = (time.monotonic() - began) / 2
        now = contents(out) if (out / "files").is_dir() else {}
        assert now.items() <= whole.items()
        assert now.keys() >= there.keys()
        there = now
        if killed is None and len(now) == len(whole):
            break
    process = start(out, "--jobs", str(jobs), *LENGTH)
    printed, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    assert contents(out) == whole
    assert litter(out) == []
    assert len(Store(out).state_keys()) == 2  # the dense models
    assert "grasp" in printed


def kill(process: subprocess.Popen[str], when: float, draw: random.Random) -> int | None:
    """Kills the run, or one of its workers and later the run; what was killed, or None where all was done before."""
    while time.monotonic() < when and process.poll() is None:
        time.sleep(0.005)
    workers = children(process.pid)
    if workers and draw.random() < 0.5:
        with suppress(ProcessLookupError):
            os.kill(draw.choice(workers), signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=draw.uniform(0.0, 6.0))
    done = process.poll() is not None
    process.kill()
    process.communicate()
    if done:
        assert process.returncode == 0
    return None if done else process.pid
