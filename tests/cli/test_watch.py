"""``bench status --watch`` as a person sees it."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest

from bench.cli import main, watch
from bench.foresight.forecast import Forecast, Rates
from bench.foresight.runs import Announced
from bench.grid import Request
from bench.plan import make
from bench.steps import Train
from bench.store import Store
from bench.tree import Plan
from tests.bench.storing import record_of


class Work:
    """A run that gets one cell done whenever the watch sleeps, and ends with the last."""

    def __init__(self, store: Store, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
        kinds = Forecast(plan, [cell.key for cell in plan.cells]).kinds
        self.keys = [cell.key for cell in plan.cells]
        self.forecast = Forecast(plan, self.keys, measured=Rates(dict.fromkeys(kinds, 2.0), "3 cells"), workers=2)
        self.store, self.slept = store, list[float]()
        self.run = Announced(store.storage, self.forecast, self.keys, beat=3600)
        self.run.__enter__()
        training = next(n for root in plan.roots for n in root.node.walk() if isinstance(n.step, Train))
        self.forecast.started(training, 1)
        self.forecast.trained(training, 3, 0.5)
        self.run.tell()
        monkeypatch.setattr(watch.time, "sleep", self.sleep)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        record = record_of(self.keys.pop(0))
        self.store.put_record(record, {})
        self.forecast.finished(record)
        if not self.keys:
            self.run.__exit__()


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Work:
    plan = make(Request(tasks=("toy",), pruners=("random",), sparsities=(0.5, 0.9)))
    return Work(Store(tmp_path / "out", create=True), plan, monkeypatch)


def test_a_line_a_look_until_all_is_done(work: Work, capsys) -> None:
    assert main(["status", str(work.store.root), "--watch", "--every", "7"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(";")[0][10:] for line in lines] == [
        f"3 cells: {done} done, 0 failed, {3 - done} left" for done in range(4)
    ]
    assert re.search(
        r"process \d+, worker 2: toy/mlp dense seed 0: Train, 3 of 40 steps; about \d+ (s|min) left \(measured",
        lines[0],
    )
    assert lines[-1].endswith("nobody is at work")
    assert work.slept == [7, 7, 7]


def test_a_terminal_is_drawn_in_place(work: Work, monkeypatch) -> None:
    screen = io.StringIO()
    screen.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("TERM", "xterm")
    assert main(["status", str(work.store.root), "--watch"]) == 0
    drawn = screen.getvalue()
    assert drawn.count("3 cells:") >= 4
    assert "\x1b[1A" in drawn and "\x1b[2K" in drawn


def test_ctrl_c_ends_it_quietly(work: Work, monkeypatch, capsys) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(watch.time, "sleep", interrupted)
    assert main(["status", str(work.store.root), "--watch"]) == 0
    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 1 and shown.err == ""


def test_a_folder_on_which_nobody_works_is_looked_at_once(tmp_path: Path, capsys) -> None:
    Store(tmp_path / "out", create=True)
    assert main(["status", str(tmp_path / "out"), "--watch"]) == 0
    assert capsys.readouterr().out[10:] == "0 cells: 0 done, 0 failed, 0 left; nobody is at work\n"


def test_one_object_is_not_for_watching(tmp_path: Path, capsys) -> None:
    assert main(["status", str(tmp_path), "--watch", "--json"]) == 2
    expected = "bench: --json: prints one object, --watch line after line. Leave out one of them.\n"
    assert capsys.readouterr().err == expected


def test_status_says_what_a_run_left(work: Work, capsys) -> None:
    work.sleep(0)
    assert main(["status", str(work.store.root)]) == 0
    assert "cells    3: " not in capsys.readouterr().out
    assert main(["status", str(work.store.root), "--json"]) == 0
    assert '"left": 2' in capsys.readouterr().out
