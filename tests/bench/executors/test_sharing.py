"""Several runs on one folder: each step once, whoever takes it, and nothing lost when one of them dies."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from bench.store import Store
from tests.bench.executors.grids import ROOT, asked, compute, contents, litter

FORTY = {"sparsities": tuple(round(0.05 * step, 2) for step in range(1, 14)), "seeds": (0,)}
"""One dense model, and 13 sparsities of three pruners."""

PROGRAM = """
import sys
from bench import api
from bench.grid import Request
from bench.plan import make
from bench.store import Store
from tests.bench.executors.grids import asked

class Watcher(api.Silent):
    def started(self, node, worker=0):
        print("step", type(node.step).__name__, node.key, flush=True)
    def finished(self, record):
        print("record", record.key, flush=True)
    def said(self, text):
        print("said", text, flush=True)

request = asked(sparsities={sparsities!r}, seeds={seeds!r})
plan, store = make(request), Store({out!r}, create=True)
import torch
print("ready", flush=True)
sys.stdin.readline()
api.execute(plan, store, api.Execution("cpu", 1, jobs={jobs}), request.dtype, Watcher())
"""


def share(out: Path, jobs: int = 1) -> subprocess.Popen[str]:
    """A process that computes forty cells once it is told to begin."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    code = PROGRAM.format(out=str(out), jobs=jobs, **FORTY)
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        cwd=ROOT,
    )
    assert process.stdout is not None
    while process.stdout.readline() != "ready\n":
        assert process.poll() is None
    return process


def begin(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def lines(text: str, kind: str) -> list[str]:
    return re.findall(rf"^{kind} (.*)$", text, re.MULTILINE)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    out = tmp_path_factory.mktemp("whole") / "out"
    assert len(compute(out, asked(**FORTY)).records) == 40
    return contents(out)


def test_two_runs_share_forty_cells_and_train_each_once(whole: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "out"
    both = [share(out), share(out)]
    for process in both:
        begin(process)
    told = [process.communicate(timeout=600)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert contents(out) == whole
    assert litter(out) == []
    begun = Counter(step for text in told for step in lines(text, "step") if not step.startswith("Init"))
    assert set(begun.values()) == {1}, [step for step, times in begun.items() if times > 1]
    assert Counter(step.split()[0] for step in begun) == {"Train": 40, "Cut": 39, "Score": 3, "Evaluate": 40}
    assert sorted(key for text in told for key in lines(text, "record")) == sorted(
        record.key for record in Store(out).records()
    )
    assert all(lines(text, "record") for text in told)


def test_of_two_runs_one_is_killed_and_the_other_finishes_all(whole: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "out"
    killed, lasting = share(out), share(out, jobs=2)
    begin(killed)
    assert killed.stdout is not None
    while not killed.stdout.readline().startswith("record"):
        assert killed.poll() is None
    begin(lasting)
    killed.send_signal(signal.SIGSTOP)  # it holds a lease, and is alive as far as anyone can tell
    assert lasting.stdout is not None
    before = lasting.stdout.readline()
    killed.kill()
    killed.communicate()
    text = before + lasting.communicate(timeout=600)[0]
    assert lasting.returncode == 0
    Store(out, create=True)  # which removes what the dead one was writing
    assert contents(out) == whole
    assert litter(out) == []
    begun = Counter(step for step in lines(text, "step") if step.startswith("Train"))
    assert set(begun.values()) == {1}


def test_a_run_that_comes_late_waits_for_what_is_under_way_and_says_for_whom(
    whole: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    first = share(out)
    begin(first)
    assert first.stdout is not None
    while not first.stdout.readline().startswith("step Train"):
        pass
    first.send_signal(signal.SIGSTOP)  # the dense model, without which nothing can begin
    late = share(out)
    begin(late)
    assert late.stdout is not None
    line = late.stdout.readline()
    assert line == f"said Waiting for process {first.pid}, at work on the same folder.\n"
    first.send_signal(signal.SIGCONT)
    told = [process.communicate(timeout=600)[0] for process in (first, late)]
    assert contents(out) == whole
    assert not any(step.startswith("Train") and step in told[0] for step in lines(told[1], "step"))
