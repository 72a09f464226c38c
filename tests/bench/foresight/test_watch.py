"""What a run tells of itself, and how a folder looks to who watches it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.foresight.forecast import Forecast
from bench.foresight.rates import Rates
from bench.foresight.runs import Announced, Run, runs
from bench.foresight.watch import Watch
from bench.grid import Request
from bench.leases import EXPIRY, Leases
from bench.plan import make
from bench.steps import Train
from bench.store import Store
from bench.tree import Node, Plan
from tests.bench.storing import dead_process, record_of

NEVER = 3600.0


@pytest.fixture(params=["folder", "url"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return Store(tmp_path / "results", create=True)
    pytest.importorskip("fsspec", reason="the extra 'fsspec' is not installed")
    return Store(f"memory://{tmp_path.name}/results", create=True)


@pytest.fixture
def plan() -> Plan:
    return make(Request(tasks=("toy",), pruners=("random",), sparsities=(0.5, 0.9), seeds=(0, 1)))


def nodes_of(plan: Plan) -> list[Node]:
    return [node for root in plan.roots for node in root.node.walk() if node.step is not None]


def keys_of(plan: Plan) -> list[str]:
    return [cell.key for cell in plan.cells]


def announced(store: Store, plan: Plan, keys: list[str] | None = None) -> tuple[Announced, Forecast]:
    wanted = keys_of(plan) if keys is None else keys
    forecast = Forecast(plan, wanted)
    return Announced(store.storage, forecast, wanted, beat=NEVER), forecast


def finish(store: Store, forecast: Forecast, key: str, **changes: object) -> None:
    record = record_of(key, **changes)
    store.put_record(record, {})
    forecast.finished(record)


def test_a_run_tells_the_step_in_hand_and_the_time_left(store: Store, plan: Plan) -> None:
    forecast = Forecast(plan, keys_of(plan))
    forecast = Forecast(plan, keys_of(plan), measured=Rates(dict.fromkeys(forecast.kinds, 1.0), "3 cells"))
    training = next(node for node in nodes_of(plan) if isinstance(node.step, Train) and "Cut" in str(node.path))
    with Announced(store.storage, forecast, keys_of(plan), beat=NEVER) as run:
        forecast.started(training, 2)
        forecast.trained(training, 7, 0.5)
        run.tell()
        (told,) = runs(store.storage)
        (hand,) = told.hands
    assert (told.owner, told.over, told.ended, told.missing) == (run.owner, False, False, ())
    assert told.basis == "measured in 3 cells"  # three steps tell nothing yet
    assert (hand.worker, hand.what, hand.step) == (2, "toy/mlp random seed 0", "Train at 0.5")
    assert (hand.done, hand.of) == (7, training.train_steps)
    left = forecast.left()
    assert left is not None and told.seconds_left == pytest.approx(left.seconds, abs=0.1)


def test_a_run_that_did_all_leaves_nothing_and_one_that_did_not_says_how_much_is_left(store: Store, plan: Plan) -> None:
    first, forecast = announced(store, plan)
    with first:
        finish(store, forecast, keys_of(plan)[0])
    (told,) = runs(store.storage)
    assert told.over and told.ended
    look = Watch(store).look()
    assert (look.done, look.failed, look.left, look.at_work) == (1, 0, len(plan.cells) - 1, False)
    second, forecast = announced(store, plan, keys_of(plan)[1:])
    with second:
        assert [run.id for run in runs(store.storage)] == [second.owner.id]
        for key in keys_of(plan)[1:]:
            finish(store, forecast, key)
    assert runs(store.storage) == [] and store.storage.names("runs") == []


def test_a_watch_sees_cells_come_fail_and_succeed_when_tried_again(store: Store, plan: Plan) -> None:
    run, forecast = announced(store, plan)
    watch = Watch(store)
    keys = keys_of(plan)
    with run:
        assert (watch.look().done, watch.look().left) == (0, len(keys))
        finish(store, forecast, keys[0])
        finish(store, forecast, keys[1], status="failed")
        look = watch.look()
        assert (look.done, look.failed, look.left, look.at_work) == (1, 1, len(keys) - 2, True)
        store.put_record(record_of(keys[1]), {})
        look = watch.look()
        assert (look.done, look.failed) == (2, 0)


def test_a_watch_reads_no_finished_record_twice(store: Store, plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    record: Callable[[Store, str], object] = Store.record
    monkeypatch.setattr(Store, "record", lambda self, key: read.append(key) or record(self, key))
    run, forecast = announced(store, plan)
    watch = Watch(store)
    with run:
        for key in keys_of(plan)[:3]:
            finish(store, forecast, key)
            watch.look()
            watch.look()
    assert sorted(read) == sorted(keys_of(plan)[:3])


def test_cells_of_two_runs_count_once(store: Store, plan: Plan) -> None:
    keys = keys_of(plan)
    one, forecast = announced(store, plan, keys[:4])
    other, _ = announced(store, plan, keys[2:])
    with one, other:
        finish(store, forecast, keys[2])
        look = Watch(store).look()
        assert len(look.runs) == 2 and (look.done, look.left) == (1, len(keys) - 1)
        assert look.seconds_left is None


def of_another_machine(store: Store, run: Announced) -> None:
    name = f"runs/{run.owner.id}.json"
    told = json.loads(store.storage.read(name))
    told["owner"] |= {"machine": "f" * 8, "host": "elsewhere"}
    store.storage.write(name, json.dumps(told).encode())


def test_a_run_elsewhere_that_says_nothing_more_is_over_when_its_leases_are(store: Store, plan: Plan) -> None:
    now = [0.0]
    watch = Watch(store, clock=lambda: now[0])
    run, _ = announced(store, plan)
    with run:
        of_another_machine(store, run)
        assert [str(one.owner) for one in watch.look().runs] == [f"process {run.owner.process} on elsewhere"]
        now[0] += EXPIRY - 1
        assert watch.look().at_work
        now[0] += 1
        look = watch.look()
        assert not look.at_work and look.left == len(plan.cells)
        run.tell()


def test_a_run_of_this_machine_that_was_killed_is_over_at_once(store: Store, plan: Plan) -> None:
    run, _ = announced(store, plan)
    with run:
        name = f"runs/{run.owner.id}.json"
        told = json.loads(store.storage.read(name))
        told["owner"]["process"] = dead_process()
        store.storage.write(name, json.dumps(told).encode())
        assert not Watch(store).look().at_work


def test_who_holds_leases_and_tells_nothing_is_at_work_too(store: Store) -> None:
    with Leases(store) as leases:
        assert leases.take("ab" * 32, ()) is None
        look = Watch(store).look()
    assert look.at_work and look.others == {str(leases.owner): 1} and look.seconds_left is None


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff", b'{"owner": 3}', b'{"hands": [1]}', b"[" * 100_000],
)
def test_what_is_no_run_is_passed_over(store: Store, content: bytes) -> None:
    store.storage.write("runs/0123456789ab.json", content)
    store.storage.write("runs/0123456789ab.cells.json", content)
    look = Watch(store).look()
    assert (look.runs, look.left) == ([], 0)


def test_what_a_terminal_would_obey_is_not_passed_on(store: Store, plan: Plan) -> None:
    run, forecast = announced(store, plan)
    with run:
        forecast.started(nodes_of(plan)[0])
        run.tell()
        name = f"runs/{run.owner.id}.json"
        told = json.loads(store.storage.read(name))
        told["hands"][0]["step"] = "\x1b[2J" + "x" * 10_000
        told["owner"] |= {"machine": "f" * 8, "host": "a\x1b[2Jb"}
        told["seconds_left"] = float("inf")
        store.storage.write(name, json.dumps(told).encode())
        (found,) = runs(store.storage)
    assert str(found.owner).endswith(" on a?[2Jb") and found.seconds_left is None
    assert isinstance(found, Run) and found.hands[0].step.startswith("?[2Jxxx") and len(found.hands[0].step) == 200
