"""The schedule: who gets what when, under leases, and what becomes of the work of the dead."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from bench.api import Silent
from bench.errors import CellError, Interrupted, StoreError
from bench.executors import schedule
from bench.executors.base import Broken, Died, Done, Failed, Job, Noting, Outcome, Stopped
from bench.executors.schedule import Schedule
from bench.executors.segments import Segment, divide
from bench.grid import Request
from bench.leases import Leases, Owner
from bench.plan import make
from bench.store import Store
from tests.bench.storing import record_of

Fate = Callable[[int, Job], Outcome]


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schedule, "SHORTEST", 0.0)
    monkeypatch.setattr(schedule, "LONGEST", 0.001)


class Crew:
    """An executor whose workers end as ``fate`` says, in any order."""

    def __init__(self, store: Store, listener: Noting, workers: int, fate: Fate | None = None) -> None:
        self.workers, self.store, self.listener, self.fate = workers, store, listener, fate
        self.running: dict[int, Job] = {}
        self.given: list[tuple[int, Job]] = []
        self.stopped = False
        self.meanwhile: Callable[[], None] = lambda: None
        self._draw = random.Random(0)

    def idle(self) -> Sequence[int]:
        return [worker for worker in range(self.workers) if worker not in self.running]

    def give(self, worker: int, job: Job) -> None:
        assert worker not in self.running
        self.running[worker] = job
        self.given.append((worker, job))

    def outcomes(self, seconds: float) -> Sequence[Outcome]:
        self.meanwhile()
        if not self.running:
            return ()
        worker = self._draw.choice(sorted(self.running))
        job = self.running.pop(worker)
        if self.stopped:
            return (Stopped(job),)
        outcome = self.fate(worker, job) if self.fate and job.verdict is None else self.done(job)
        if isinstance(outcome, Failed) or job.verdict is not None:
            self.failed(job)
            return (Failed(job, outcome.error if isinstance(outcome, Failed) else "given up"),)
        return (outcome,)

    def done(self, job: Job) -> Outcome:
        for key in sorted(job.cells):
            self.finish(key, "done")
        if job.segment.end is not None:
            self.store.put_state(job.segment.end.key, lambda path: path.write_bytes(b"state"))  # type: ignore[arg-type,return-value]
        return Done(job)

    def failed(self, job: Job) -> None:
        for segment in job.segment.walk():
            for key in segment.cells:
                self.finish(key, "failed")

    def finish(self, key: str, status: str) -> None:
        record = record_of(key, status=status)
        self.store.put_record(record, {})
        self.listener.finished(record)

    def stop(self) -> None:
        self.stopped = True

    def close(self) -> None: ...


class Told(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.others: list[str] = []

    def said(self, text: str) -> None:
        self.lines.append(text)

    def elsewhere(self, record) -> None:
        self.others.append(record.key)


class Scene:
    """A grid, a folder, a crew."""

    def __init__(self, folder: Path, workers: int = 3, fate: Fate | None = None, **request: object) -> None:
        asked = {"tasks": ("toy",), "pruners": ("random", "magnitude"), "sparsities": (0.5, 0.9), "when": "trained"}
        plan = make(Request(**{**asked, **request}))  # type: ignore[arg-type]
        self.store = Store(folder, create=True)
        self.segments = divide(plan, lambda key: True)
        self.told = Told()
        self.listener = Noting(self.told)
        self.crew = Crew(self.store, self.listener, workers, fate)
        self.leases = Leases(self.store)

    def run(self, **settings: object) -> None:
        with self.leases:
            Schedule(
                self.segments, self.store, self.leases, self.crew, self.listener, has=self.store.has_record, **settings
            ).run()  # type: ignore[arg-type]

    @property
    def given(self) -> list[Segment]:
        return [job.segment for _, job in self.crew.given]


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_each_segment_is_given_once_and_after_the_one_that_it_starts_from(tmp_path: Path, workers: int) -> None:
    scene = Scene(tmp_path / "out", workers, seeds=(0, 1, 2), pruners=("random", "imp", "gmp", "synflow"))
    scene.run()
    assert sorted(scene.given, key=lambda segment: segment.number) == scene.segments
    for place, segment in enumerate(scene.given):
        assert segment.parent is None or segment.parent in scene.given[:place]
    assert scene.store.storage.names("leases") == []


def test_of_several_workers_the_dense_models_come_first_and_then_the_longest_rows(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "out", 2, seeds=(0, 1, 2))
    scene.run()
    assert [segment.trunk for segment in scene.given[:3]] == [True, True, True]
    long = Scene(tmp_path / "long", 2, when=None, pruners=("snip", "imp", "gmp"))
    long.run()
    after = [segment for segment in long.given if segment.parent is long.segments[0]]
    assert len(after) > 1
    assert [segment.work for segment in after] == sorted((segment.work for segment in after), reverse=True)


def test_one_worker_goes_depth_first(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "out", 1, seeds=(0, 1))
    scene.run()
    assert scene.given == scene.segments


def test_a_worker_goes_on_with_what_it_has_in_memory(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "out", 2, sparsities=(0.1, 0.2, 0.3, 0.4, 0.5))
    scene.run()
    scores = {id(one): worker for worker, job in scene.crew.given for one in [job.segment] if not one.cells}
    near = [
        scores[id(job.segment.parent)] == worker for worker, job in scene.crew.given if id(job.segment.parent) in scores
    ]
    assert sum(near) > len(near) / 2


def test_states_that_nothing_needs_any_more_are_dropped_and_the_dense_models_kept(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "out", 2, seeds=(0, 1))
    scene.run()
    assert scene.store.state_keys() == {one.end.key for one in scene.segments if one.trunk and one.end}


def test_a_finished_grid_is_given_to_nobody(tmp_path: Path) -> None:
    Scene(tmp_path / "out").run()
    again = Scene(tmp_path / "out")
    again.run()
    assert again.given == []


def test_a_failure_ends_all_below_it_and_nothing_else(tmp_path: Path) -> None:
    def fate(worker: int, job: Job) -> Outcome:
        return Failed(job, "NaN") if not job.segment.cells and job.segment is first else scene.crew.done(job)

    scene = Scene(tmp_path / "out", 2, fate)
    first = next(segment for segment in scene.segments if not segment.cells)
    scene.run()
    assert not set(first.children) & set(scene.given)
    assert {record.status for record in scene.store.records() if record.key in first.children[0].cells} == {"failed"}
    assert sum(record.status == "done" for record in scene.store.records()) == 3


def test_fail_fast_stops_the_others_and_says_why(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "out", 2, lambda worker, job: Failed(job, "the loss became NaN"), seeds=(0, 1, 2))
    with pytest.raises(CellError, match=r"a cell failed: the loss became NaN\. Finished cells stay\."):
        scene.run(fail_fast=True)
    assert scene.crew.stopped


def test_what_stops_them_all_is_raised_once_the_others_have_stopped(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "out", 3, lambda worker, job: Broken(job, StoreError("no space left")), seeds=(0, 1, 2))
    with pytest.raises(StoreError, match="no space left"):
        scene.run()
    assert not scene.crew.running
    assert scene.store.storage.names("leases") == []


def test_the_work_of_a_dead_worker_is_given_to_another(tmp_path: Path) -> None:
    deaths = {0}

    def fate(worker: int, job: Job) -> Outcome:
        if worker in deaths:
            deaths.remove(worker)
            return Died(job, job.segment.key, "killed by signal 9", None)
        return scene.crew.done(job)

    scene = Scene(tmp_path / "out", 2, fate)
    scene.run()
    assert len(scene.given) == len(scene.segments) + 1
    assert scene.told.lines == ["A worker was lost (killed by signal 9). What it was at is begun again."]
    assert {record.status for record in scene.store.records()} == {"done"}


def test_a_node_that_kills_three_workers_fails_its_cells_and_kills_no_more(tmp_path: Path) -> None:
    def fate(worker: int, job: Job) -> Outcome:
        if job.segment is deadly:
            return Died(job, deadly.nodes[1].key, "killed by signal 9", "logs/run-worker-1.txt")
        return scene.crew.done(job)

    scene = Scene(tmp_path / "out", 2, fate)
    deadly = scene.segments[-1]
    scene.run()
    verdicts = [job.verdict for _, job in scene.crew.given if job.segment is deadly]
    assert [verdict is not None for verdict in verdicts] == [False, False, False, True]
    assert verdicts[-1].error == "its worker died 3 times (killed by signal 9)"
    assert (verdicts[-1].node, verdicts[-1].log) == (deadly.nodes[1].key, "logs/run-worker-1.txt")
    assert sum(record.status == "failed" for record in scene.store.records()) == 1


def test_training_that_was_saved_between_two_deaths_is_not_given_up(tmp_path: Path) -> None:
    deaths = iter(range(7))

    def fate(worker: int, job: Job) -> Outcome:
        number = next(deaths, None)
        if job.segment.trunk and number is not None:
            node = job.segment.nodes[1].key
            scene.store.put_state(node, lambda path: path.write_text(str(number)), partial=True)  # type: ignore[arg-type,return-value]
            return Died(job, node, "lost", None)
        return scene.crew.done(job)

    scene = Scene(tmp_path / "out", 1, fate)
    scene.run()
    assert {record.status for record in scene.store.records()} == {"done"}


def test_asked_to_stop_it_hands_out_no_more_and_keeps_what_is_done(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "out", 2, seeds=(0, 1))
    with pytest.raises(Interrupted):
        scene.run(interrupted=lambda: len(scene.given) >= 4)
    assert not scene.crew.running
    done = len([*scene.store.records()])
    again = Scene(tmp_path / "out", 2, seeds=(0, 1))
    again.run()
    assert 0 < done < len([*again.store.records()]) == 10
    assert again.store.storage.names("leases") == []


def test_what_another_run_computes_is_waited_for_and_not_computed(tmp_path: Path) -> None:
    other = Scene(tmp_path / "out", 1)
    other.leases.owner = Owner("other", "far", "0" * 8, "", 7)
    scene = Scene(tmp_path / "out", 2)
    theirs = other.segments[0]
    assert other.leases.take(theirs.nodes[1].key, [node.key for node in theirs.nodes]) is None
    looks = iter(range(10))

    def meanwhile() -> None:
        if next(looks, None) == 5:
            other.crew.done(Job(theirs, frozenset(theirs.cells)))
            other.leases.release(theirs.nodes[1].key)

    scene.crew.meanwhile = meanwhile
    scene.run()
    assert scene.told.lines == ["Waiting for process 7 on far, at work on the same folder."]
    assert scene.segments[0] not in scene.given
    assert scene.told.others == list(scene.segments[0].cells)
    assert len([*scene.store.records()]) == 5


def test_what_is_lost_of_an_expired_lease_is_computed_here(tmp_path: Path) -> None:
    scene = Scene(tmp_path / "out", 2)
    other = Leases(scene.store)
    other.owner = replace(Owner.this(), id="dead", started="long ago")
    assert other.take(scene.segments[0].nodes[1].key, [node.key for node in scene.segments[0].nodes]) is None
    scene.run()
    assert len(scene.given) == len(scene.segments)
    assert scene.told.lines == []


def test_two_schedules_share_a_grid_and_compute_each_segment_once(tmp_path: Path) -> None:
    first, second = (Scene(tmp_path / "out", 2, seeds=(0, 1, 2)) for _ in range(2))
    runs = [
        Schedule(one.segments, one.store, one.leases, one.crew, one.listener, has=one.store.has_record)
        for one in (first, second)
    ]
    # One looks each time that the other waits for its workers.
    runs[1]._hand_out()

    def turn() -> None:
        for outcome in second.crew.outcomes(0.0):
            runs[1]._settle(outcome)
        runs[1]._hand_out()

    first.crew.meanwhile = turn
    runs[0].run()
    first.leases.close()
    second.leases.close()
    both = sorted([segment.key for segment in [*first.given, *second.given]])
    assert both == sorted(segment.key for segment in first.segments)
    assert first.given and second.given
