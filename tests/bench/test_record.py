"""A record is read as it was written, and says the same in the same bytes."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import CellError, StoreError
from bench.record import SCHEMA, Failure, Layer, Record, dumps, loads, seal, unseal

TEXT = st.text(max_size=12)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
WHOLE = st.integers(0, 2**53)
PLAIN = st.recursive(
    st.none() | st.booleans() | WHOLE | FINITE | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
MAPPING = st.dictionaries(TEXT, PLAIN, max_size=3)
BY_TYPE = {
    "str": TEXT,
    "int": WHOLE,
    "float": FINITE,
    "float | None": st.none() | FINITE,
    "int | None": st.none() | WHOLE,
    "str | None": st.none() | TEXT,
    "Mapping[str, Any]": MAPPING,
    "Sequence[Mapping[str, Any]]": st.lists(MAPPING, max_size=2),
    "Sequence[Layer]": st.lists(st.builds(Layer, TEXT, TEXT, WHOLE, WHOLE), max_size=3).map(tuple),
    "Sequence[str]": st.lists(TEXT, max_size=3),
    "Mapping[str, float]": st.dictionaries(TEXT, FINITE, max_size=3),
    "Mapping[str, Sequence[int]]": st.dictionaries(TEXT, st.lists(WHOLE, max_size=2), max_size=3),
    "Mapping[str, str]": st.dictionaries(TEXT, TEXT, max_size=3),
    "Failure | None": st.none() | st.builds(Failure, TEXT, TEXT, st.none() | TEXT),
}
RECORDS = st.builds(
    Record,
    **{entry.name: BY_TYPE[entry.type] for entry in fields(Record) if entry.name != "schema"}  # type: ignore[index]
    | {
        "metric_info": st.lists(st.builds(lambda known, name: {**known, "name": name}, MAPPING, TEXT), max_size=2),
        "path": st.lists(st.builds(lambda known: {**known, "step": "Train"}, MAPPING), max_size=2),
        "data": st.builds(lambda known: {**known, "counts": {"rows": 3}}, MAPPING),
    },
)
PLAINEST = Record(
    "k", "done", "t", 1, "m", "p", "init", "global", "weights", "", 0.5, 0, "smoke", {}, [], {}, {}, metrics={"AP": 0.5}
)


@given(RECORDS)
@settings(max_examples=150, deadline=None)
def test_a_record_is_read_as_it_was_written(record: Record) -> None:
    assert loads(dumps(record)) == record


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"seed": "0"}, "seed"),
        ({"seed": True}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"task": None}, "task"),
        ({"metrics": {"AP": "high"}}, "metrics"),
        ({"metrics": ["AP"]}, "metrics"),
        ({"sparsity": "0.5"}, "sparsity"),
        ({"layers": (Layer("a", "Linear", 10, "5"),)}, "kept"),  # type: ignore[arg-type]
        ({"failure": Failure(3, "Train")}, "error"),  # type: ignore[arg-type]
        ({"files": {"run": 1}}, "files"),
        ({"flops_by_type": {"Linear": [1, None]}}, "flops_by_type"),
        ({"metric_info": [{}]}, "a metric without a name"),
        ({"path": [{"to": 3}]}, "a step without its kind"),
        ({"data": {"counts": [1]}}, "the data's counts"),
    ],
)
def test_a_record_with_a_field_of_another_type_is_damaged_though_its_checksum_is_right(
    changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        loads(dumps(replace(PLAINEST, **changes)))


@given(RECORDS)
@settings(max_examples=50, deadline=None)
def test_a_record_read_and_written_again_is_the_same_bytes(record: Record) -> None:
    text = dumps(record)
    assert dumps(loads(text)) == text
    assert text.isascii() and text.endswith("}\n")


def test_equal_records_are_the_same_bytes_whatever_the_order_of_their_mappings() -> None:
    one = replace(PLAINEST, metrics={"AP": 0.5, "RR": 0.25}, options={"a": 1, "b": {"x": 1, "y": 2}})
    two = replace(PLAINEST, metrics={"RR": 0.25, "AP": 0.5}, options={"b": {"y": 2, "x": 1}, "a": 1})
    assert one == two and dumps(one) == dumps(two)
    assert dumps(replace(one, collapsed_layers=("a",))) == dumps(replace(one, collapsed_layers=["a"]))


def test_keys_that_are_numbers_survive_the_checksum() -> None:
    """9 sorts before 10 as a number and after it as text: a checksum over the numbers would never match again."""
    assert loads(dumps(replace(PLAINEST, notes={9: "a", 10: "b"}))).notes == {"9": "a", "10": "b"}  # type: ignore[dict-item]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["metrics", "notes", "options", "data"])
def test_what_is_not_finite_is_refused_by_name(value: float, name: str) -> None:
    with pytest.raises(CellError, match=f"the record's {name} is no plain JSON"):
        dumps(replace(PLAINEST, **{name: {"AP": value}}))
    with pytest.raises(CellError, match="sparsity"):
        dumps(replace(PLAINEST, sparsity=value))


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes"])
def test_what_is_no_json_is_refused_by_name(value: object) -> None:
    with pytest.raises(CellError, match="the record's notes is no plain JSON"):
        dumps(replace(PLAINEST, notes={"x": value}))


def test_a_written_nan_is_damage() -> None:
    with pytest.raises(ValueError, match=r"NaN|nan|JSON"):
        loads(dumps(PLAINEST).replace("0.5", "NaN"))


def test_fields_that_nobody_knows_are_damage() -> None:
    with pytest.raises(ValueError, match=r"unknown fields \['colour'\]"):
        loads(seal({**asdict(PLAINEST), "colour": "red"}))


@pytest.mark.parametrize("missing", ["key", "layers", "failure"])
def test_missing_fields_are_damage(missing: str) -> None:
    body = asdict(PLAINEST)
    del body[missing]
    with pytest.raises(ValueError, match=missing):
        loads(seal(body))


def test_fields_with_defaults_may_be_missing() -> None:
    body = asdict(PLAINEST)
    del body["task_notes"]
    assert loads(seal(body)).task_notes == ()


def test_a_newer_schema_is_told_apart_from_damage() -> None:
    newer = dumps(replace(PLAINEST, schema=SCHEMA + 8))
    with pytest.raises(StoreError, match=rf"the record has schema {SCHEMA + 8}, this prunebench knows up to {SCHEMA}"):
        loads(newer)
    damaged = dumps(PLAINEST).replace(f'"schema": {SCHEMA}', f'"schema": {SCHEMA + 8}')
    with pytest.raises(ValueError, match="checksum"):
        loads(damaged)


def test_white_space_and_repeated_names_are_damage() -> None:
    text = dumps(PLAINEST)
    for changed in (text + "\n", text.replace("\n", "\r\n"), json.dumps(json.loads(text), sort_keys=True)):
        with pytest.raises(ValueError, match="not as it was written"):
            loads(changed)
    with pytest.raises(ValueError, match="not as it was written"):
        loads(text.replace('"seed": 0,', '"seed": 1,\n "seed": 0,'))


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "{}", "[" * 100_000])
def test_what_is_no_record_is_damage(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        loads(text)


@given(MAPPING.filter(lambda body: not {"checksum", "schema"} & body.keys()))
@settings(max_examples=50, deadline=None)
def test_sealed_data_comes_back_as_it_was(body: dict) -> None:
    assert unseal(seal(body), "it") == body


def test_the_density_of_a_layer_is_its_kept_share() -> None:
    assert Layer("a", "Linear", 8, 2).density == 0.25
    assert Layer("empty", "Linear", 0, 0).density == 1.0
