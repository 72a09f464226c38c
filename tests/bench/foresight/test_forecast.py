"""How long the rest of a plan takes, by what such steps took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench.foresight.forecast import Forecast, duration
from bench.foresight.rates import NOTHING, Rates, kind_of, rates
from bench.grid import Request
from bench.machine import cpu_name
from bench.plan import make
from bench.record import Record
from bench.steps import Cut, Evaluate, Init, Score, Train, describe
from bench.store import Store
from bench.tree import Node, Plan
from tests.factories import make_record

TRAIN, SCORE, EVALUATE = 0.5, 3.0, 2.0
"""Seconds of a training step, a scoring pass and an evaluation."""


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def plan_of(**changes: object) -> Plan:
    asked = {"tasks": ("toy",), "pruners": ("random", "magnitude"), "sparsities": (0.5, 0.9), "seeds": (0, 1)}
    return make(Request(**{**asked, "when": "trained", **changes}))  # type: ignore[arg-type]


def nodes_of(plan: Plan) -> list[Node]:
    return [node for root in plan.roots for node in root.node.walk() if node.step is not None]


def seconds_of(node: Node) -> float:
    if isinstance(node.step, Train):
        return TRAIN * node.train_steps
    return {Score: SCORE, Evaluate: EVALUATE}.get(type(node.step), 0.0)


def whole(plan: Plan) -> float:
    return sum(map(seconds_of, nodes_of(plan)))


def record_of(plan: Plan, key: str, **changes: object) -> Record:
    """A record of the plan's cell as this machine would leave it."""
    cell = next(cell for cell in plan.cells if cell.key == key)
    here = {"device": "cpu", "device_name": cpu_name(), "threads": 1, "dtype": "float32"}
    made = make_record(
        cell.pruner.name, cell.target or 0.0, cell.seed, task="toy", model=cell.task.model, options=cell.task.options,
        path=[describe(step) for step in cell.path], data=cell.task.data, provenance=here,
    )  # fmt: skip
    return replace(made, key=key, **changes)


def put(store: Store, plan: Plan, keys: Sequence[str], **changes: object) -> None:
    for key in keys:
        node = next(node for node in nodes_of(plan) if node.key == key)
        timing: dict[str, float] = {}
        for above in node.chain[1:]:
            kind = type(above.step).__name__
            timing[kind] = timing.get(kind, 0.0) + seconds_of(above)
        store.put_record(record_of(plan, key, **changes), timing)


def carried_out(forecast: Forecast, nodes: Sequence[Node], clock: Clock, worker: int = 0) -> None:
    """What a run tells that carries out these nodes."""
    for node in nodes:
        forecast.started(node, worker)
        clock.now += seconds_of(node)
        if isinstance(node.step, Train):
            forecast.trained(node, node.step.to, 0.1)
        if node.cell is not None:
            forecast.finished(make_record(seed=0, key=node.key))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results", create=True)


def test_a_folder_in_which_nothing_was_measured_gives_no_estimate(store: Store) -> None:
    plan = plan_of()
    assert rates(store, plan) == NOTHING
    assert Forecast(plan, [cell.key for cell in plan.cells]).left() is None


def test_cells_of_the_same_steps_tell_how_long_the_others_take(store: Store) -> None:
    plan = plan_of()
    done = [cell.key for cell in plan.cells if cell.seed == 0]
    put(store, plan, done)
    wanted = [cell.key for cell in plan.cells if cell.seed == 1]
    left = Forecast(plan, wanted, measured=rates(store, plan, "cpu", 1)).left()
    assert left is not None
    assert left.seconds == pytest.approx(whole(plan) / 2)
    assert left.missing == ()
    assert left.basis == f"measured in 5 cells of this folder, on {cpu_name()}, 1 thread"


def test_trainings_with_other_batches_are_told_apart_by_what_they_have_in_common(store: Store) -> None:
    plan = plan_of(settings={"recover.batch_size": "7"})
    kinds = {kind_of(node.step, "").detail for node in nodes_of(plan) if isinstance(node.step, Train)}
    assert len(kinds) == 2
    put(store, plan, [cell.key for cell in plan.cells if cell.seed == 0])
    left = Forecast(plan, [cell.key for cell in plan.cells], measured=rates(store, plan, "cpu", 1)).left()
    assert left is not None and left.seconds == pytest.approx(whole(plan))


@pytest.mark.parametrize(
    "changes",
    [
        {"provenance": {"device": "cpu", "device_name": "another", "threads": 1, "dtype": "float32"}},
        {"provenance": {"device": "cuda", "device_name": "a GPU", "threads": 1, "dtype": "float32"}},
        {"provenance": {"device": "cpu", "device_name": cpu_name(), "threads": 2, "dtype": "float32"}},
        {"provenance": {"device": "cpu", "device_name": cpu_name(), "threads": 1, "dtype": "bfloat16"}},
        {"provenance": {"device": "cpu", "device_name": cpu_name(), "threads": 1, "dtype": "float32", "processes": 2}},
        {"options": {"width": 99}},
        {"task": "other"},
        {"data": {"digest": "0" * 64, "counts": {}}},
    ],
)
def test_what_was_measured_elsewhere_or_of_something_else_says_nothing(
    store: Store, changes: dict[str, object]
) -> None:
    plan = plan_of()
    put(store, plan, [plan.cells[0].key], **changes)
    assert rates(store, plan, "cpu", 1) == NOTHING


def test_steps_of_which_none_was_measured_are_named_and_not_guessed(store: Store) -> None:
    plan = plan_of()
    dense = [cell.key for cell in plan.cells if cell.target is None or cell.pruner.name == "dense"]
    put(store, plan, dense[:1])
    left = Forecast(plan, [cell.key for cell in plan.cells], measured=rates(store, plan, "cpu", 1)).left()
    assert left is not None
    assert left.missing == ("Score(magnitude)", "Score(random)")
    assert left.seconds == pytest.approx(whole(plan) - sum(SCORE for n in nodes_of(plan) if isinstance(n.step, Score)))
    assert "not counting Score(magnitude), Score(random): not measured yet" in str(left)


def test_states_that_are_stored_and_cells_that_are_done_cost_nothing(store: Store) -> None:
    plan = plan_of(seeds=(0,))
    put(store, plan, [cell.key for cell in plan.cells])
    measured = rates(store, plan, "cpu", 1)
    (trunk,) = [node for node in nodes_of(plan) if isinstance(node.parent and node.parent.step, Init)]
    last = next(cell for cell in plan.cells if cell.pruner.name == "magnitude" and cell.target == 0.9)
    left = Forecast(plan, [last.key], [trunk.key], measured).left()
    assert left is not None
    below = next(node for node in nodes_of(plan) if node.key == last.key).chain
    assert left.seconds == pytest.approx(sum(map(seconds_of, below[below.index(trunk) + 1 :])))


def test_a_run_measures_its_own_steps(store: Store) -> None:
    plan, clock = plan_of(), Clock()
    forecast = Forecast(plan, [cell.key for cell in plan.cells], clock=clock)
    nodes = nodes_of(plan)
    half = nodes[: len(nodes) // 2]
    assert {type(node.step) for node in half} >= {Train, Score, Evaluate, Cut}
    carried_out(forecast, half, clock)
    left = forecast.left()
    assert left is not None and left.basis == "measured in this run"
    assert left.seconds == pytest.approx(whole(plan) / 2, rel=0.01)
    carried_out(forecast, nodes[len(nodes) // 2 :], clock)
    assert forecast.left() is None and forecast.cells_left == 0


def test_training_in_hand_counts_by_its_steps(store: Store) -> None:
    plan, clock = plan_of(seeds=(0,)), Clock()
    forecast = Forecast(plan, [cell.key for cell in plan.cells], clock=clock)
    trunk = next(node for node in nodes_of(plan) if isinstance(node.step, Train))
    assert isinstance(trunk.step, Train)
    forecast.started(trunk)
    clock.now += 10 * TRAIN
    forecast.trained(trunk, 10, 0.5)
    left = forecast.left()
    steps = sum(node.train_steps for node in nodes_of(plan))
    assert left is not None and left.seconds == pytest.approx(TRAIN * (steps - 10))


def test_steps_done_before_a_crash_do_not_count_as_done_in_no_time() -> None:
    plan, clock = plan_of(seeds=(0,)), Clock()
    trunk = next(node for node in nodes_of(plan) if isinstance(node.step, Train))
    forecast = Forecast(plan, [cell.key for cell in plan.cells], resumed=[trunk.key], clock=clock)
    forecast.started(trunk)
    clock.now += 10 * TRAIN
    forecast.trained(trunk, 30, 0.5)  # of which 20 were saved
    assert forecast.left() is None
    clock.now += 5 * TRAIN
    forecast.trained(trunk, 35, 0.5)
    left = forecast.left()
    steps = sum(node.train_steps for node in nodes_of(plan))
    assert left is not None and left.seconds == pytest.approx(TRAIN * (steps - 35))


def test_workers_share_the_time_but_not_the_longest_row_of_steps() -> None:
    plan = plan_of(seeds=(0, 1, 2))
    likes = {kind_of(node.step, "").step for node in nodes_of(plan)}
    assert likes
    forecast = Forecast(plan, [cell.key for cell in plan.cells])
    per_unit = {"Train": TRAIN, "Score": SCORE, "Evaluate": EVALUATE}
    known = Rates({kind: per_unit.get(kind.step, 0.0) for kind in forecast.kinds}, "3 cells")
    seconds = {}
    for workers in (1, 2, 1000):
        left = Forecast(plan, [cell.key for cell in plan.cells], measured=known, workers=workers).left()
        assert left is not None and left.basis == "measured in 3 cells"
        seconds[workers] = left.seconds
    longest = max(sum(map(seconds_of, node.chain[1:])) for node in nodes_of(plan))
    assert seconds[1] == pytest.approx(whole(plan))
    assert seconds[2] == pytest.approx(whole(plan) / 2)
    assert seconds[1000] == pytest.approx(longest)


def test_what_another_run_computes_is_no_longer_left() -> None:
    plan = plan_of()
    forecast = Forecast(plan, [cell.key for cell in plan.cells])
    for cell in plan.cells:
        forecast.elsewhere(make_record(seed=0, key=cell.key))
    assert forecast.cells_left == 0 and not forecast.kinds


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.2, "1 s"), (45, "45 s"), (720, "12 min"), (12_000, "3 h 20 min"), (2 * 86_400 + 18_000, "2 d 5 h")],
)
def test_durations_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def test_the_first_steps_of_a_run_say_little() -> None:
    """A library that warms up must not make a night of a minute."""
    plan, clock = plan_of(seeds=(0,)), Clock()
    training = next(node for node in nodes_of(plan) if isinstance(node.step, Train))
    assert isinstance(training.step, Train)
    begun = training.step.to - training.train_steps
    (kind,) = {kind_of(node.step, "") for node in [training] if node.step is not None}

    def after(forecast: Forecast, seconds: Sequence[float]) -> float:
        forecast.started(training)
        for step, passed in enumerate(seconds, start=1):
            clock.now += passed
            forecast.trained(training, begun + step, 0.5)
        left = forecast.left()
        assert left is not None
        return left.seconds

    keys = [cell.key for cell in plan.cells]
    steps = Forecast(plan, keys).train_steps
    alone = after(Forecast(plan, keys, clock=clock), [3.0, 0.01, 0.01])
    assert alone == pytest.approx((steps - 3) * 0.01)
    fresh = Forecast(plan, keys)
    known = Rates({found: 0.02 for found in fresh.kinds if found.step == kind.step}, "4 cells")
    assert after(Forecast(plan, keys, measured=known, clock=clock), [3.0, 0.01]) == pytest.approx((steps - 2) * 0.02)
    assert after(Forecast(plan, keys, measured=known, clock=clock), [3.0, 4.0, 4.0]) == pytest.approx((steps - 3) * 4.0)
