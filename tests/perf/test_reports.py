"""Ten thousand records, each with its per-example values, in every format: a small multiple of parsing them.

Processor time of one run, so that neither the machine nor its other work is measured. Reports keep below five seconds
on a quiet machine of 2025, where parsing the JSON alone takes 0.4 s: that is a ratio of 13, and the rest is slack.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save

from bench.cli import main
from bench.cli.report import FORMATS
from bench.record import Layer
from bench.store import Store
from tests.factories import make_record

RECORDS, EXAMPLES, SEEDS = 10_000, 1000, 3
LIMIT, PAGE_LIMIT = 18, 26
"""A page has figures, the answer over tasks and all that there is to know of each cell as well."""
LAYERS = tuple(Layer(f"encoder.{index}.weight", "Linear", 1000, 500) for index in range(20))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """About 54 tasks of a dense model and twelve pruners at five sparsities."""
    patch = pytest.MonkeyPatch()
    patch.setattr(os, "fsync", lambda handle: None)  # what is measured is reading
    store = Store(tmp_path_factory.mktemp("perf") / "results", create=True)
    draw = np.random.default_rng(0)
    grid = [("dense", 0.0), *((f"pruner-{i}", s / 10) for i in range(12) for s in (1, 3, 5, 7, 9))]
    for number in range(RECORDS):
        cell, seed = divmod(number, SEEDS)
        task, place = divmod(cell, len(grid))
        pruner, target = grid[place]
        values = (draw.random(EXAMPLES) < 0.9 - target / 5).astype(np.float32)
        record = make_record(pruner, target, seed, task=f"toy-{task}", n=EXAMPLES, layers=LAYERS,
                             metrics={"accuracy": float(values.mean()), "loss": 0.3})  # fmt: skip
        content = save({"accuracy": values, "loss": values})
        name = store.put_file(record.key, "examples", content, ".safetensors")
        store.put_record(replace(record, files={"examples": name}), {"Train": 1.5})
    patch.undo()
    return store.root


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [*([f"--format={name}"] for name in FORMATS), ["--summary"]], ids=" ".join)
def test_a_report_of_ten_thousand_records_costs_little_more_than_reading_them(folder, arguments, tmp_path):
    if "--format=parquet" in arguments:
        pytest.importorskip("pyarrow", reason="the extra 'parquet' is not installed")
    began = time.process_time()
    for path in (folder / "records").glob("*.json"):
        json.loads(path.read_bytes())
    parsing = time.process_time() - began
    began = time.process_time()
    assert main(["report", str(folder), *arguments, "--output", str(tmp_path / "report")]) == 0
    spent = time.process_time() - began
    print(f"{arguments}: {spent:.2f} s of processor, {spent / parsing:.1f} times parsing")
    assert (tmp_path / "report").stat().st_size > 10_000
    assert spent <= (PAGE_LIMIT if "--format=html" in arguments else LIMIT) * parsing


@pytest.mark.slow
def test_a_page_of_ten_thousand_records_has_the_size_of_a_picture_not_of_a_film(folder, tmp_path):
    assert main(["report", str(folder), "--format=html", "--output", str(tmp_path / "report.html")]) == 0
    size = (tmp_path / "report.html").stat().st_size
    print(f"{size / RECORDS:.0f} bytes a record")
    assert size < 1500 * RECORDS
