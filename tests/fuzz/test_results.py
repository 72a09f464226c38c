"""Mutated files of a results folder: what is damaged counts for nothing and is said to be, what is shown is right."""

from __future__ import annotations

import copy
import csv
import io
import json
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from bench.cli import main
from bench.record import dumps, seal
from bench.store import Store
from tests.factories import make_record
from tests.fuzz.judging import in_time
from tests.fuzz.mutations import TEXT, mutated

FORMATS = ("text", "md", "csv", "jsonl", "latex")
METRICS = ("metric:accuracy", "metric:loss")
SEEDS = (0, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with a dense model and a pruner at two sparsities and two seeds, with all that lies beside."""
    root = tmp_path_factory.mktemp("fuzzed") / "results"
    store = Store(root, create=True)
    for seed in SEEDS:
        for pruner, target in (("dense", 0.0), ("grasp", 0.5), ("grasp", 0.9)):
            record = make_record(pruner, target, seed, metrics={"accuracy": 0.9 - target / 10, "loss": 0.3 + target})
            draw = np.random.default_rng(seed)
            values = {name: draw.random(8, dtype=np.float32) for name in ("accuracy", "loss")}
            name = store.put_file(record.key, "examples", save(values), ".safetensors")
            store.put_record(replace(record, files={"examples": name}), {"Train": 1.5, "Score": 0.25})
    timed = {"backend": "masked", "median": 1.5, "lower": 1.25, "upper": 2.0}
    about = {"batch_size": 1, "threads": 1, "rounds": 30, "device": "cpu", "left_out": {}}
    store.put_measurement(record.key, {"latency": {"asked": "latency", "backends": [timed], **about}})
    of = {"task": record.task, "task_version": 1, "preset": "smoke", "data_digest": record.data["digest"]}
    bm25 = {"name": "BM25", "metrics": {"accuracy": 0.5}, "note": "k1 = 0.9"}
    store.put_reference("ab" * 32, {**of, "options": dict(record.options), "references": [bm25]})
    return root


def rows(folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]] | None:
    """The cells that ``bench report`` prints, by key; None where it refuses, in one line and with code 2."""
    code, shown = run(["report", str(folder), "--format", "csv"], capsys)
    if code == 2:
        assert len(shown.err.splitlines()) == 1 and shown.err.startswith("bench: "), shown.err[:300]
        return None
    assert code == 0, shown.err[:500]
    return {row["key"]: row for row in csv.DictReader(io.StringIO(shown.out))}


def run(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, Any]:
    with in_time():
        code = main(words)
    return code, capsys.readouterr()


def others(folder: Path, key: str, number: int) -> Iterator[list[str]]:
    """Other commands that read the folder; by turns, as each takes its time."""
    yield ["status", str(folder), "--json"]
    yield (["report", str(folder), "--format", FORMATS[number % len(FORMATS)]], ["show", key, "--out", str(folder)],
           ["report", str(folder), "--summary"])[number % 3]  # fmt: skip


def quiet(words: list[str], code: int, shown: Any, about: str) -> None:
    assert code in (0, 2), f"{about}: {words[0]} ended with {code}: {shown.err[:500]}"
    assert "Traceback" not in shown.err + shown.out
    if code == 2:
        assert len(shown.err.splitlines()) == 1 and shown.err.startswith("bench: "), shown.err[:300]


def test_mutated_files_of_a_results_folder_never_show_a_wrong_number(
    folder: Path, fuzz: int, tmp_path: Path, capsys
) -> None:
    right = rows(folder, capsys)
    assert right is not None and len(right) == 6
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    seen: Counter[str] = Counter()
    for number in range(fuzz):
        draw = random.Random(f"results {number}")
        place = tmp_path / "results"
        shutil.copytree(folder, place)
        weights = [20 if path.parent.name == "records" else 3 for path in files]
        changed = draw.choices(files, weights)[0].relative_to(folder)
        before = (folder / changed).read_bytes()
        content = mutated((before,), number, TEXT, "results")
        (place / changed).write_bytes(content)
        about = f"input {number}, {changed}, {content[:200]!r}"
        found = rows(place, capsys)
        if found is None:
            seen["refused"] += 1
        else:
            lost = right.keys() - found.keys()
            assert found.keys() <= right.keys() and len(lost) <= 1, about
            timeless = [name for name in next(iter(right.values())) if not name.startswith(("seconds", "latency"))]
            for key, row in found.items():
                assert {name: row[name] for name in timeless} == {name: right[key][name] for name in timeless}, about
            seen["lost" if lost else "whole"] += 1
            if lost:
                reader = Store(place)
                assert len([*reader.records()]) == len(found) and len(reader.left_out) == 1, about
        for words in others(place, next(iter(right)), number):
            code, shown = run(words, capsys)
            quiet(words, code, shown, about)
        shutil.rmtree(place)
    print(f"results folders: {fuzz} inputs, {dict(seen)}")
    assert seen["lost"] > fuzz // 10 and seen["whole"] > fuzz // 20


VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 3, 10**9, 2**63, 10**400, 0.5, -0.5, 1e308, 5e-324, "", "x", "nan", "../../x", "a\nb",
    "\x1b[31m", "\u00e9" * 300, [], {}, [1], ["x"], {"a": 1}, {"": None}, [[]], [None], [{}], {"a": {"b": []}},
)  # fmt: skip


def paths(value: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value inside plain data."""
    if before:
        yield before
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield from paths(inner, (*before, name))


def put(body: Any, way: tuple[Any, ...], value: Any) -> None:
    for name in way[:-1]:
        body = body[name]
    body[way[-1]] = value


def test_records_of_a_right_checksum_and_wrong_content_stop_nothing(
    folder: Path, fuzz: int, tmp_path: Path, capsys
) -> None:
    """Someone else's tool, or a person, wrote them: any value in any place, sealed anew."""
    keys = sorted(path.stem for path in (folder / "records").iterdir())
    right = rows(folder, capsys)
    assert right is not None
    seen: Counter[str] = Counter()
    for number in range(fuzz):
        draw = random.Random(f"sealed {number}")
        place = tmp_path / "results"
        shutil.copytree(folder, place)
        key = draw.choice(keys)
        path = place / "records" / f"{key}.json"
        if draw.random() < 0.2:
            path = next((place / draw.choice(("measurements", "references"))).iterdir())
        body = json.loads(path.read_bytes())
        del body["checksum"]
        ways = [*paths(body)]
        for _ in range(draw.choice((1, 1, 2, 4))):
            way, value = draw.choice(ways), copy.deepcopy(draw.choice(VALUES))
            try:
                put(body, way, value)
            except (KeyError, IndexError, TypeError):
                continue  # an earlier change took its place away
        if draw.random() < 0.1:
            body[draw.choice(("", "extra", "key"))] = draw.choice(VALUES)
        if draw.random() < 0.1:
            body.pop(draw.choice([*body]))
        path.write_text(seal(body))
        about = f"input {number}, {way} = {value!r}"
        found = rows(place, capsys)
        if found is not None:
            for other in found.keys() & (right.keys() - {key}):
                assert [found[other][name] for name in METRICS] == [right[other][name] for name in METRICS], about
            seen["lost" if key not in found else "kept"] += 1
        else:
            seen["refused"] += 1
        for words in others(place, key, number):
            code, shown = run(words, capsys)
            quiet(words, code, shown, about)
        shutil.rmtree(place)
    print(f"sealed records: {fuzz} inputs, {dict(seen)}")
    assert seen["lost"] > fuzz // 10 and seen["kept"] > fuzz // 20


def test_a_record_written_in_another_order_or_with_other_numbers_of_digits_is_damaged(
    folder: Path, tmp_path: Path
) -> None:
    """The bytes are what was written, or the record counts for nothing: there is one spelling."""
    store = Store(shutil.copytree(folder, tmp_path / "results"))
    record = next(record for record in store.records() if record.metrics["loss"] == 0.3)
    path = store.root / "records" / f"{record.key}.json"
    for text in (json.dumps(asdict(record)), dumps(record).replace("0.3", "0.30"), dumps(record).replace(" ", "  ")):
        path.write_text(text)
        assert store.record(path.stem) is None
        path.write_text(dumps(record))
        assert store.record(path.stem) == record
