"""The ledger of what was read of a results folder before: right whatever happened to folder or ledger meanwhile."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from bench import ledger
from bench.record import Layer, Record
from bench.store import Store
from tests.factories import make_failure, make_record

LAYERS = (Layer("a.weight", "Linear", 10, 3, 20), Layer("b.weight", "Conv2d", 90, 7))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(ledger, "LEAST", 2)
    monkeypatch.setattr("bench.store.LEAST", 2)
    monkeypatch.setattr(ledger, "AT_ONCE", 3)
    return tmp_path / "cache" / "prunebench" / "ledgers"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "out", create=True)
    for seed in range(7):
        record = make_record("snip", 0.5, seed, layers=LAYERS, notes={"seed": seed})
        name = made.put_file(record.key, "examples", bytes([seed]), ".bin")
        made.put_record(replace(record, files={"examples": name}), {"Train": float(seed)})
    made.put_record(make_failure("grasp", 0.9, 1), {})
    return made


def read(store: Store) -> list[Record]:
    """All records, each read from its own file."""
    return [record for key in sorted(store.keys()) if (record := store.record(key)) is not None]


def counted(store: Store, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The keys whose record is read from now on."""
    keys: list[str] = []
    own = Store.record

    def reading(self: Store, key: str) -> Record | None:
        keys.append(key)
        return own(self, key)

    monkeypatch.setattr(Store, "record", reading)
    return keys


def test_what_was_read_before_is_given_again_unread_and_equal(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read(store)
    assert [*store.records()] == expected
    keys = counted(store, monkeypatch)
    again = [*store.records()]
    assert again == expected and not keys
    assert store.statuses([record.key for record in expected]) == {record.key: record.status for record in expected}
    assert not keys


def test_what_has_changed_is_read_anew_and_what_is_gone_is_gone(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third, *_ = [*store.records()]
    store.put_record(replace(first, n=401), {})
    (store.root / "records" / f"{second.key}.json").unlink()
    added = make_record("magnitude", 0.25, 9)
    store.put_record(added, {})
    keys = counted(store, monkeypatch)
    found = {record.key: record for record in store.records()}
    assert sorted(keys) == sorted([first.key, added.key])
    assert found[first.key].n == 401 and second.key not in found
    assert found[added.key].n == added.n and found[third.key] == third


def test_a_damaged_record_or_file_counts_for_nothing_although_it_was_whole_before(store: Store) -> None:
    whole = [record for record in store.records() if record.files]
    (store.root / "records" / f"{whole[0].key}.json").write_text("{}")
    (store.root / "files" / whole[1].files["examples"]).write_bytes(b"other")
    (store.root / "files" / whole[2].files["examples"]).unlink()
    left = {record.key for record in store.records()}
    assert not left & {record.key for record in whole[:3]} and len(left) == 5
    assert len(store.damaged()) == 3


def test_who_looks_at_no_layers_is_given_none(store: Store) -> None:
    whole = [*store.records()]
    assert any(record.layers for record in whole)
    assert [*store.records(layers=False)] == [replace(record, layers=()) for record in whole]


def test_timings_come_with_the_records(store: Store) -> None:
    keys = store.keys()
    expected = {key: store.timing(key) for key in keys}
    assert store.timings(keys) == expected
    path = store.root / "timings" / f"{keys[0]}.json"
    path.write_text(json.dumps({"Train": 99.0, "Evaluate": 1.0}))
    assert store.timings(keys) == expected | {keys[0]: {"Train": 99.0, "Evaluate": 1.0}}


@pytest.mark.parametrize("damage", ["text", "row", "part", "table"])
def test_a_damaged_ledger_costs_time_and_no_result(store: Store, own_cache: Path, damage: str) -> None:
    expected = [*store.records()]
    (path,) = own_cache.iterdir()
    if damage == "text":
        path.write_bytes(b"no database" * 1000)
    else:
        with sqlite3.connect(path) as file:
            file.execute(
                {
                    "row": "UPDATE records SET body = '[1, 2]'",
                    "part": "DELETE FROM parts",
                    "table": "DROP TABLE records",
                }[damage]
            )
    assert [*store.records()] == expected
    assert [*store.records()] == expected
    assert store.timings(store.keys()) == {record.key: store.timing(record.key) for record in expected}


def test_a_cache_that_cannot_be_written_is_done_without(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert [*store.records()] == read(store)


def test_some_keys_alone_may_be_asked_for(store: Store) -> None:
    some = store.keys()[2:5]
    assert [record.key for record in store.records([*reversed(some), "absent"])] == some
    assert store.statuses([some[0], "absent"]).keys() == {some[0]}
