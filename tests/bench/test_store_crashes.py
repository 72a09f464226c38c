"""The results folder when processes die and disks refuse: whole or not at all, and plain words."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from bench.errors import StoreError
from bench.record import dumps, seal
from bench.state import Position, State, load, save
from bench.steps import Schedule
from bench.store import Store
from tests.bench.storing import KEY, OTHER, dead_process, held, put_state, record_of, state_of, store

__all__ = ["store"]


def test_what_a_dead_process_left_half_written_is_removed(store: Store) -> None:
    process = dead_process()
    halves = [store.root / folder / f"{KEY}.json.writing-{process}" for folder in ("records", "files", "references")]
    for half in halves:
        half.write_text(dumps(record_of()))
    scratch = store.root / "states" / f"{KEY}.writing-{process}"
    scratch.mkdir()
    (scratch / ".tmpXYZ").write_bytes(b"half a state")
    again = Store(store.root, create=True)
    assert not any(half.exists() for half in [*halves, scratch])
    assert again.record(KEY) is None and again.state(KEY) is None


def test_what_a_living_process_is_writing_is_kept(store: Store) -> None:
    half = store.root / "records" / f"{KEY}.json.writing-{os.getppid()}"
    half.write_text("{")
    Store(store.root, create=True)
    assert half.exists()


def test_half_written_things_are_never_taken_for_done(store: Store) -> None:
    (store.root / "records" / f"{KEY}.json.writing-1").write_text(dumps(record_of()))
    (store.root / "references" / f"{KEY}.json.writing-1").write_text(seal({"task": "toy"}))
    scratch = store.root / "states" / f"{KEY}.writing-1"
    scratch.mkdir()
    save(state_of(1.0), scratch / "state.safetensors")
    assert store.record(KEY) is None
    assert list(store.records()) == [] and store.references() == []
    assert store.state(KEY) is None


def test_opening_removes_no_finished_file_whatever_a_task_calls_it(store: Store) -> None:
    name = store.put_file(KEY, "run-writing-1", b"1 Q0 2 1 0.5 toy\n", ".gz")
    assert Store(store.root, create=True).file(name) == b"1 Q0 2 1 0.5 toy\n"


def test_a_state_comes_back_as_it_was_saved(store: Store) -> None:
    schedule = Schedule(lr=0.1, batch_size=8, steps=100, betas=(0.9, 0.98), milestones=(0.5, 0.75), clip=1.0)
    state = replace(
        state_of(0.5),
        scores={"weight": torch.rand(4, 3).T},
        position=Position(schedule, 7, {"weight/exp_avg": torch.rand(3, 4), "weight/step": torch.tensor(7.0)}),
        train_steps=7,
        seconds={"Train": 2.5},
    )
    store.put_state(KEY, partial(save, state))
    found = load(store.state(KEY))  # type: ignore[arg-type]
    for group in ("weights", "masks", "scores"):
        saved, came = getattr(state, group), getattr(found, group)
        assert saved.keys() == came.keys()
        assert all(torch.equal(saved[name], came[name]) and saved[name].dtype == came[name].dtype for name in saved)
    assert found.position is not None and found.position.schedule == schedule and found.position.step == 7
    assert torch.equal(found.position.optimizer["weight/exp_avg"], state.position.optimizer["weight/exp_avg"])  # type: ignore[union-attr]
    assert (found.train_steps, found.seconds) == (7, {"Train": 2.5})


def test_tensors_that_share_memory_are_saved_each_for_itself(store: Store) -> None:
    pool = torch.arange(10.0)
    same = pool[:4] > 1
    state = State({"a": pool[:6], "b": pool[4:], "c": pool}, {"a": same, "b": same}, {"a": pool.expand(2, 10)})
    store.put_state(KEY, partial(save, state))
    found = load(store.state(KEY))  # type: ignore[arg-type]
    assert torch.equal(found.weights["b"], pool[4:]) and torch.equal(found.masks["b"], same)
    assert torch.equal(found.scores["a"], pool.expand(2, 10))


def test_a_damaged_state_is_set_aside(store: Store) -> None:
    put_state(store, 1.0)
    path = store.state(KEY)
    assert path is not None
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert store.state(KEY) is None
    assert store.damaged() == [f"states.{path.name}"]
    put_state(store, 1.0)
    assert held(store) == 1.0


def test_a_partial_state_replaces_the_one_before_and_is_dropped(store: Store) -> None:
    put_state(store, 9.0)
    for value in (1.0, 2.0, 2.0):
        put_state(store, value, partial_=True)
        assert len(list((store.root / "partial").iterdir())) == 1
    assert held(store, partial_=True) == 2.0
    store.drop_state(KEY, partial=True)
    assert held(store, partial_=True) is None
    assert held(store) == 9.0


def test_a_crash_between_writing_and_renaming_leaves_the_older_state(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_state(store, 1.0, partial_=True)

    class Killed(BaseException):
        pass

    def killed(self: Path, target: Path) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(Killed):
            put_state(store, 2.0, partial_=True)
    assert held(store, partial_=True) == 1.0


def test_a_process_killed_while_it_writes_a_state_leaves_the_older_one_and_no_litter(store: Store) -> None:
    put_state(store, 1.0, partial_=True)
    program = f"""
import os, signal
from bench.store import Store
def write(path):
    path.with_name(".tmp123").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
Store({str(store.root)!r}).put_state({KEY!r}, write, partial=True)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    assert len(list((store.root / "partial").iterdir())) == 2
    again = Store(store.root, create=True)
    assert held(again, partial_=True) == 1.0
    assert len(list((store.root / "partial").iterdir())) == 1


def test_of_two_states_left_by_a_crash_the_later_one_counts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for value in (1.0, 2.0, 3.0, 4.0):
        put_state(store, value)
        older = store.state(KEY)
        assert older is not None
        content, stamp = older.read_bytes(), older.stat().st_mtime_ns
        put_state(store, value + 0.5)
        older.write_bytes(content)
        os.utime(older, ns=(stamp - 10**9, stamp - 10**9))
        assert held(store) == value + 0.5


def refusing(number: int):
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(number, os.strerror(number))

    return refuse


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_and_costs_nothing_that_was_done(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    store.put_record(record_of(), {})
    put_state(store, 1.0)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refusing(number))
        for write in (
            lambda: store.put_record(record_of(OTHER), {}),
            lambda: store.put_file(OTHER, "run", b"text"),
            lambda: put_state(store, 2.0),
            lambda: store.put_reference(OTHER, {}),
        ):
            with pytest.raises(
                StoreError, match=r"no space left on the disk\. Free some space and run again: finished"
            ):
                write()
    assert [record.key for record in store.records()] == [KEY]
    assert held(store) == 1.0
    assert not list(store.root.rglob("*.writing-*"))


def test_a_read_only_folder_is_said(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put_record(record_of(), {})
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refusing(errno.EROFS))
        with pytest.raises(StoreError, match=r"cannot be written \(Read-only file system\)\. Give a folder that can"):
            store.put_record(record_of(OTHER), {})
    with monkeypatch.context() as patch:
        patch.setattr(Path, "mkdir", refusing(errno.EACCES))
        with pytest.raises(StoreError, match=r"cannot be written \(Permission denied\)"):
            Store(store.root.parent / "new", create=True)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refusing(errno.EROFS))
        put = store.root / "states" / f"{KEY}.x.safetensors"
        put.write_bytes(b"")
        with pytest.raises(StoreError, match="cannot be written"):
            store.drop_state(KEY)


def test_a_damaged_record_in_a_read_only_folder_counts_for_nothing_and_stops_nobody(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_record(record_of(), {})
    (store.root / "records" / f"{OTHER}.json").write_text("{}")
    monkeypatch.setattr(Path, "replace", refusing(errno.EROFS))
    assert [record.key for record in Store(store.root).records()] == [KEY]


def test_a_record_that_cannot_be_read_is_no_missing_record(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put_record(record_of(), {})
    monkeypatch.setattr(Path, "read_bytes", refusing(errno.EIO))
    with pytest.raises(StoreError, match=r"cannot be read \(Input/output error\)"):
        store.record(KEY)


def test_a_state_too_large_for_the_file_system_is_a_store_error(store: Store) -> None:
    """safetensors writes by itself and raises errors of its own: the limit on file sizes is a real refusal of it."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    big = State({"weight": torch.zeros(100_000)})
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with pytest.raises(StoreError, match=r"cannot be written \(File too large\)"):
            store.put_state(KEY, partial(save, big))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list((store.root / "states").iterdir())
