"""The results folder: opening it, records, and the files beside them, checked when read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench.errors import CellError, StoreError
from bench.record import SCHEMA, dumps, loads, seal
from bench.store import Store
from tests.bench.storing import KEY, OTHER, dead_process, record_of, store

__all__ = ["store"]


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


def test_every_flipped_lowest_and_sixth_bit_of_a_record_is_noticed() -> None:
    """Bit 0 turns 0 into 1 in numbers; bit 5 turns capitals into small letters and back."""
    content = dumps(record_of()).encode()
    for place in range(len(content)):
        for bit in (1, 32):
            with pytest.raises(ValueError):
                loads((content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :]).decode())


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


HUGE = b'{"Train": ' + b"9" * 400 + b"}"
SECONDS = (b'"1"', b"NaN", b"-1", b"1e999", b"null", b"true", b"[]")


@pytest.mark.parametrize("content", [b"[" * 100_000, HUGE, *(b'{"Train": ' + seconds + b"}" for seconds in SECONDS)])
def test_a_timing_of_what_is_no_time_is_no_timing(store: Store, content: bytes) -> None:
    store.put_record(record_of(), {"Train": 1.5})
    (store.root / "timings" / f"{KEY}.json").write_bytes(content)
    assert store.timing(KEY) == {}
    assert store.record(KEY) is not None


@pytest.mark.parametrize("mischief", ["altered", "file missing", "files unreadable as a folder"])
def test_who_only_reads_leaves_what_is_damaged_where_it_is(store: Store, mischief: str) -> None:
    name = store.put_file(KEY, "run", b"1 Q0 2 1 0.5 toy\n", ".gz")
    store.put_record(record_of(files={"run": name}), {})
    record, files = store.root / "records" / f"{KEY}.json", store.root / "files"
    if mischief == "altered":
        record.write_text(record.read_text().replace('"seed": ', '"seed": 1'))
    else:
        files.rename(store.root / "elsewhere")
        if mischief != "file missing":
            files.write_text("no folder")
    before = record.read_bytes()

    reader = Store(store.root)
    assert reader.record(KEY) is None and [*reader.records()] == []
    assert [*reader.left_out] == [f"records/{KEY}.json"]
    why = reader.left_out[f"records/{KEY}.json"]
    assert why == (
        "is damaged" if mischief == "altered" else f"is without its file files/{name}, which is missing or damaged"
    )
    assert record.read_bytes() == before and reader.damaged() == []

    if mischief == "file missing":
        (store.root / "elsewhere").rename(files)
        assert Store(store.root).record(KEY) is not None


def test_a_file_that_may_not_be_read_is_an_error_and_not_a_damage(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = store.put_file(KEY, "run", b"1 Q0 2 1 0.5 toy\n", ".gz")
    store.put_record(record_of(files={"run": name}), {})

    def refused(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("bench.store._digest_file", refused)
    with pytest.raises(StoreError, match=rf"files/{name}: cannot be read \(Permission denied\)"):
        store.record(KEY)
    assert (store.root / "records" / f"{KEY}.json").is_file() and store.damaged() == []
