"""The results folder: whole or not at all, checked when read, and plain words when the disk refuses."""

from __future__ import annotations

import errno
import json
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
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.errors import CellError, StoreError
from bench.record import SCHEMA, Record, dumps, seal
from bench.state import Position, State, load, save
from bench.steps import Schedule
from bench.store import Store

KEY = "ab" * 32
OTHER = "cd" * 32


def record_of(key: str = KEY, **changes: object) -> Record:
    made = Record(
        key=key,
        status="done",
        task="toy",
        task_version=1,
        model="mlp",
        pruner="grasp",
        when="init",
        allocation="global",
        structure="weights",
        variant="",
        target_sparsity=0.9,
        seed=0,
        preset="smoke",
        options={"width": 16},
        path=[{"step": "Init"}],
        data={"name": "toy", "kind": "sample", "counts": {"points": 256}, "digest": "0" * 64},
        provenance={"torch": "2.13.0"},
        metrics={"accuracy": 0.75},
    )
    return replace(made, **changes)


def state_of(value: float) -> State:
    return State({"weight": torch.full((3, 4), value)}, {"weight": torch.eye(3, 4) > 0})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results", create=True)


def put_state(store: Store, value: float, *, partial_: bool = False) -> None:
    store.put_state(KEY, partial(save, state_of(value)), partial=partial_)


def held(store: Store, *, partial_: bool = False) -> float | None:
    path = store.state(KEY, partial=partial_)
    return None if path is None else float(load(path).weights["weight"][0, 0])


def dead_process() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid


# Opening


def test_a_folder_that_holds_other_things_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(StoreError, match=r"is not empty and not a results folder\. Give another --out\.") as caught:
        Store(tmp_path, create=True)
    assert str(tmp_path) in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_reading_what_is_no_results_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is not a results folder"):
        Store(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_place_of_the_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        Store(tmp_path / "results", create=True)


def test_a_folder_of_a_newer_schema_is_named_with_advice(store: Store) -> None:
    (store.root / "results.json").write_text(json.dumps({"schema": SCHEMA + 1}))
    for create in (False, True):
        with pytest.raises(StoreError) as caught:
            Store(store.root, create=create)
        assert str(caught.value) == (
            f"{store.root}: the results folder has schema {SCHEMA + 1}, this prunebench knows up to {SCHEMA}. "
            "Update prunebench, or give another folder with --out."
        )


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null", b'{"schema": "1"}', b"[" * 100_000])
def test_a_damaged_marker_is_one_line_with_advice(store: Store, content: bytes) -> None:
    (store.root / "results.json").write_bytes(content)
    with pytest.raises(StoreError, match=r"results\.json is damaged .* or give another folder"):
        Store(store.root)


def test_a_folder_whose_very_first_write_was_killed_can_be_used(tmp_path: Path) -> None:
    (tmp_path / f"results.json.writing-{dead_process()}").write_text('{"sch')
    Store(tmp_path, create=True).put_record(record_of(), {})
    assert not list(tmp_path.glob("*.writing-*"))
    assert Store(tmp_path).record(KEY) is not None


# Half-written files


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


# Records


def test_a_record_comes_back_with_its_timing(store: Store) -> None:
    store.put_record(record_of(), {"Train": 1.5})
    assert dumps(store.record(KEY)) == dumps(record_of())  # type: ignore[arg-type]
    assert store.timing(KEY) == {"Train": 1.5}
    assert [record.key for record in store.records()] == [KEY]


@given(data=st.data())
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_changed_byte_of_a_record_is_noticed(store: Store, data: st.DataObject) -> None:
    content = dumps(record_of()).encode()
    place = data.draw(st.integers(0, len(content) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != content[place]))
    path = store.root / "records" / f"{KEY}.json"
    path.write_bytes(content[:place] + bytes([byte]) + content[place + 1 :])
    assert store.record(KEY) is None
    assert not path.exists()
    assert store.damaged() == [f"records.{KEY}.json"]


def test_every_flipped_lowest_and_sixth_bit_of_a_record_is_noticed(store: Store) -> None:
    """Bit 0 turns 0 into 1 in numbers; bit 5 turns capitals into small letters and back."""
    content = dumps(record_of()).encode()
    path = store.root / "records" / f"{KEY}.json"
    for place in range(len(content)):
        for bit in (1, 32):
            path.write_bytes(content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :])
            assert store.record(KEY) is None, (place, bit)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        dumps(record_of()).encode()[:-20],
        dumps(record_of()).encode()[:-1],
        b"{}",
        b"[1]",
        b'"checksum"',
        b"\xff\x00",
        b"[" * 100_000,
        dumps(record_of(OTHER)).encode(),
        seal({"schema": SCHEMA, "key": KEY}).encode(),
        seal({"schema": SCHEMA, "layers": 3, "failure": None}).encode(),
    ],
    ids=["empty", "cut", "no newline", "none", "list", "text", "binary", "deep", "another's", "few fields", "layers"],
)
def test_a_cut_empty_or_foreign_record_is_set_aside(store: Store, content: bytes) -> None:
    (store.root / "records" / f"{KEY}.json").write_bytes(content)
    assert list(store.records()) == []
    assert store.damaged() == [f"records.{KEY}.json"]
    store.put_record(record_of(), {})
    assert store.record(KEY) is not None


def test_a_record_of_a_newer_schema_is_named_and_stays(store: Store) -> None:
    store.put_record(record_of(schema=SCHEMA + 1), {})
    with pytest.raises(StoreError, match=rf"{KEY}\.json: the record has schema {SCHEMA + 1}.* Update prunebench"):
        store.record(KEY)
    assert store.damaged() == []


@pytest.mark.parametrize("mischief", ["missing", "altered", "cut", "empty"])
def test_a_record_whose_artifact_is_not_whole_is_set_aside(store: Store, mischief: str) -> None:
    name = store.put_file(KEY, "run", b"1 Q0 2 1 0.5 toy\n", ".gz")
    store.put_record(record_of(files={"run": name}), {})
    assert store.record(KEY) is not None
    path = store.root / "files" / name
    changed = {"missing": None, "altered": b"1 Q0 2 1 0.6 toy\n", "cut": b"1 Q0", "empty": b""}[mischief]
    path.unlink() if changed is None else path.write_bytes(changed)
    with pytest.raises(StoreError, match="missing or damaged"):
        store.file(name)
    assert store.record(KEY) is None
    assert store.damaged() == [f"records.{KEY}.json"]
    store.put_file(KEY, "run", b"1 Q0 2 1 0.5 toy\n", ".gz")
    store.put_record(record_of(files={"run": name}), {})
    assert store.record(KEY) is not None


def test_a_key_that_is_a_path_finds_nothing_and_moves_nothing(store: Store) -> None:
    """``bench show ../results`` must not set the folder's own marker aside."""
    assert store.record("../results") is None
    assert store.reference("../results") is None
    assert (store.root / "results.json").is_file()


@pytest.mark.parametrize("content", [b"", b"[]", b'{"Train": "long"}', b'{"Train": null}', b"\xff"])
def test_a_damaged_timing_is_no_timing(store: Store, content: bytes) -> None:
    (store.root / "timings" / f"{KEY}.json").write_bytes(content)
    assert store.timing(KEY) == {}


def test_a_record_that_is_no_json_fails_its_cell_and_leaves_nothing(store: Store) -> None:
    with pytest.raises(CellError, match="the record's notes is no plain JSON"):
        store.put_record(record_of(notes={"tie_rate": float("nan")}), {"Train": 1.0})
    assert store.record(KEY) is None and store.timing(KEY) == {}


# Files, references and logs


@pytest.mark.parametrize("kind", ["../../run", "a/b", "", ".hidden", "run.x", "ü", "run\n", "x" * 65, "run\0"])
def test_a_kind_that_is_no_plain_name_is_refused(store: Store, kind: str) -> None:
    before = sorted(store.root.parent.rglob("*"))
    with pytest.raises(CellError, match=r"left a file of the kind .* Name kinds with up to 64 letters"):
        store.put_file(KEY, kind, b"content")
    assert sorted(store.root.parent.rglob("*")) == before


def test_a_damaged_reference_is_set_aside_and_measured_again(store: Store) -> None:
    content = {"task": "toy", "references": [{"name": "BM25", "metrics": {"AP": 0.5}, "note": ""}]}
    store.put_reference(KEY, content)
    assert store.references() == [content]
    path = store.root / "references" / f"{KEY}.json"
    path.write_text(path.read_text().replace("0.5", "0.6"))
    assert store.references() == []
    assert store.damaged() == [f"references.{KEY}.json"]


def test_a_log_takes_any_text(store: Store) -> None:
    assert (store.root / store.put_log(KEY, "no file '\udcff'")).read_text() == "no file '\\udcff'"


# States


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


# What the file system refuses


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
