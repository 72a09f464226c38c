"""What a run says of the time that is left."""

from __future__ import annotations

import pytest

from bench.cli import progress
from bench.cli.progress import Progress
from bench.foresight.forecast import Forecast, Rates
from bench.grid import Request
from bench.plan import make
from bench.steps import Train
from bench.tree import Node, Plan


@pytest.fixture
def plan() -> Plan:
    return make(Request(tasks=("toy",), pruners=("random",), sparsities=(0.5, 0.9)))


def trunk(plan: Plan) -> Node:
    return next(node for root in plan.roots for node in root.node.walk() if isinstance(node.step, Train))


def watched(plan: Plan, seconds: float) -> tuple[Progress, Forecast]:
    """A run of which each training step takes so many seconds, as was measured before."""
    keys = [cell.key for cell in plan.cells]
    kinds = Forecast(plan, keys).kinds
    rates = Rates({kind: seconds if kind.step == "Train" else 0.0 for kind in kinds}, "7 cells")
    forecast = Forecast(plan, keys, measured=rates)
    return Progress(forecast.train_steps, len(keys), forecast), forecast


def test_the_time_left_is_said_at_first_and_then_once_a_minute(plan: Plan, monkeypatch, capsys) -> None:
    now = [1000.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    shown, forecast = watched(plan, 6.0)
    assert forecast.train_steps == 3 * 40
    with shown:
        shown.started(trunk(plan))
        for step in (10, 20):
            now[0] += 30
            shown.trained(trunk(plan), step, 0.5)
    said = [line for line in capsys.readouterr().err.splitlines() if "left" in line]
    assert said == ["about 12 min left (measured in 7 cells)."] * 2


def test_of_what_is_over_within_a_minute_nothing_is_said(plan: Plan, capsys) -> None:
    shown, _ = watched(plan, 0.4)
    with shown:
        shown.started(trunk(plan))
    assert capsys.readouterr().err == ""


def test_where_nothing_was_measured_nothing_is_said(plan: Plan, capsys) -> None:
    keys = [cell.key for cell in plan.cells]
    with Progress(120, len(keys), Forecast(plan, keys)) as shown:
        shown.started(trunk(plan))
    assert capsys.readouterr().err == ""


def test_a_terminals_bar_has_the_time_left(plan: Plan, monkeypatch, capsys) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    shown, _ = watched(plan, 6.0)
    with shown:
        shown.started(trunk(plan))
    assert "about 12 min left (measured in 7 cells)" in capsys.readouterr().err
