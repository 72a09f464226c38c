"""The committed file: what it keeps, and how it refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench.errors import StoreError
from reports.compare import baseline, sides
from reports.compare.comparing import compare
from reports.compare.findings import PASSED
from tests.factories import make_failure
from tests.reports.compare.cells import Measured, cell, changed, grid, side


def written(path, cells):
    baseline.write(path, [(one.record, one.examples()) for one in cells])
    return path


def test_a_baseline_compares_like_the_folder_that_it_was_written_from(tmp_path):
    failed = Measured(make_failure("grasp", 0.98), dict)
    cells = [*grid(), failed]
    found = compare(sides.read(str(written(tmp_path / "b.jsonl", cells))), side(cells))
    assert {finding.verdict for finding in found.findings if "0.98" not in finding.subject} == {PASSED}
    assert found.exit_code == 0


def test_the_same_cells_write_the_same_bytes_in_any_order_and_under_any_commit(tmp_path):
    cells = grid()
    moved = [changed(one, provenance={**one.record.provenance, "git": "c0ffee", "dirty": True}) for one in cells]
    first, second = (written(tmp_path / name, some) for name, some in (("a", cells), ("b", moved[::-1])))
    assert first.read_bytes() == second.read_bytes()


def test_what_the_gates_do_not_need_stays_out(tmp_path):
    one = cell()
    noted = changed(one, notes={"secret": "x"}, title="T", files={"run": "r.gz"})
    (line,) = written(tmp_path / "b.jsonl", [noted]).read_text().splitlines()
    assert json.loads(line).keys() <= {"baseline", "examples", *baseline.KEPT}
    assert "secret" not in line


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda body: body.update(baseline=2), "layout 2, this prunebench knows 1"),
        (lambda body: body.pop("key"), "key is no text"),
        (lambda body: body.update(extra=1), "unknown fields extra"),
        (lambda body: body.update(examples={"accuracy": "bits:9:x"}), "packed values"),
        (lambda body: body.update(metrics={"accuracy": "high"}), "a metric is no number"),
        (lambda body: body.update(layers=[{"name": "a"}]), "missing"),
    ],
)
def test_a_bad_line_is_named(tmp_path, change, said):
    path = written(tmp_path / "b.jsonl", [cell(), cell(seed=1)])
    first, second = path.read_text().splitlines()
    body = json.loads(second)
    change(body)
    path.write_text(f"{first}\n{json.dumps(body)}\n")
    with pytest.raises(StoreError, match=f"line 2: is no cell of a baseline .*{said}"):
        baseline.read(path)


def test_text_of_another_kind_is_refused(tmp_path):
    for content in (b"hello\n", b"[1]\n", b"\xff\xfe"):
        (tmp_path / "b.jsonl").write_bytes(content)
        with pytest.raises(StoreError, match=r"no (cell of a )?baseline"):
            baseline.read(tmp_path / "b.jsonl")


def test_a_folder_of_files_is_read_with_its_examples(tmp_path):
    import numpy as np
    from safetensors.numpy import save

    from tests.factories import make_store

    one = cell()
    store = make_store(tmp_path, [])
    name = store.put_file(one.record.key, "examples", save({"accuracy": np.ones(4, np.float32)}), ".safetensors")
    store.put_record(replace(one.record, files={"examples": name}), {})
    (found,) = sides.read(str(tmp_path)).cells
    assert found.examples()["accuracy"].tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("path", sorted((Path(__file__).parents[2] / "baseline").glob("*.jsonl")), ids=lambda p: p.name)
def test_the_committed_baselines_are_small_and_whole(path):
    assert path.stat().st_size < 200_000
    cells = baseline.read(path)
    assert all(record.status == "done" and record.mask_digest and examples for record, examples in cells)
