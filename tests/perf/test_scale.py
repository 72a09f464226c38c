"""A finished grid of 100,000 cells: what is asked of such a folder every day costs little once it was read.

``make test-scale`` makes the folder, which takes minutes, and prints seconds of processor time and peak memory. What is
asserted is a multiple of parsing the records' JSON, measured beside, and memory.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from bench.grid import Request
from bench.plan import make
from bench.record import Layer
from bench.steps import describe
from bench.store import Store
from tests.factories import make_record

CELLS = int(os.environ.get("SCALE_RECORDS", "0"))
GRID, EXAMPLES = 99, 100
PRUNERS = ("random", "magnitude")
MOST_MEMORY = 1_000_000_000
"""Bytes."""
LIMITS = {"status": 4.0, "report": 7.0, "plan": 6.0}
"""Multiples of parsing every record's JSON."""
LAYERS = tuple(Layer(f"encoder.{index}.weight", "Linear", 1000, 500) for index in range(20))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CELLS, reason="takes minutes: make test-scale"),
]


def flags() -> list[str]:
    """The grid of so many cells, as ``bench plan`` takes it."""
    seeds = round(CELLS / (1 + len(PRUNERS) * GRID))
    grid = ",".join(f"{number / (GRID + 1):g}" for number in range(1, GRID + 1))
    return ["--task", "toy", "--pruner", ",".join(PRUNERS), "--grid", grid, "--seeds", f"0-{seeds - 1}"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A results folder with a record, a timing and per-example values of every cell."""
    patch = pytest.MonkeyPatch()
    patch.setattr(os, "fsync", lambda handle: None)  # what is measured is reading
    store = Store(tmp_path_factory.mktemp("scale") / "results", create=True)
    seeds = round(CELLS / (1 + len(PRUNERS) * GRID))
    sparsities = tuple(number / (GRID + 1) for number in range(1, GRID + 1))
    plan = make(Request(tasks=("toy",), pruners=PRUNERS, sparsities=sparsities, seeds=tuple(range(seeds))))
    draw = np.random.default_rng(0)
    for cell in plan.cells:
        values = (draw.random(EXAMPLES) < 0.9 - (cell.target or 0) / 5).astype(np.float32)
        record = make_record(
            cell.pruner.name, cell.target or 0.0, cell.seed, task="toy", model=cell.task.model, n=EXAMPLES,
            layers=LAYERS, options=cell.task.options, data=cell.task.data, path=[*map(describe, cell.path)],
            metrics={"accuracy": float(values.mean()), "loss": 0.3},
        )  # fmt: skip
        name = store.put_file(cell.key, "examples", save({"accuracy": values}), ".safetensors")
        store.put_record(replace(record, key=cell.key, files={"examples": name}), {"Train": 1.5, "Evaluate": 0.2})
    patch.undo()
    print(f"\n{len(plan.cells):,} records")
    verb("status", str(store.root))  # the first reading fills the ledger
    verb("report", str(store.root), "--format", "csv", "--output", os.devnull)
    yield store.root


def verb(*arguments: str) -> tuple[float, int]:
    """Seconds of processor time of a verb in a process of its own, and its peak memory in bytes."""
    process = subprocess.Popen([sys.executable, "-m", "bench", *arguments], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


def parsing(folder: Path) -> float:
    """Seconds of processor time that parsing the JSON of all records takes, by some of them."""
    texts = [path.read_text() for path in sorted((folder / "records").iterdir())[: CELLS // 50]]
    began = time.process_time()
    for text in texts:
        json.loads(text)
    return (time.process_time() - began) * CELLS / len(texts)


@pytest.mark.parametrize(
    "arguments",
    [["status", "FOLDER"], ["report", "FOLDER", "--format", "csv"], ["plan", "--out", "FOLDER"]],
    ids=" ".join,
)
def test_a_finished_grid_is_told_of_at_once(folder: Path, arguments: list[str]) -> None:
    asked = [str(folder) if word == "FOLDER" else word for word in arguments]
    spent, peak = verb(*asked, *(flags() if arguments[0] == "plan" else []))
    base = parsing(folder)
    print(f"{arguments[0]}: {spent:.1f} s of processor, {spent / base:.2f} times parsing, {peak / 1e6:.0f} MB")
    assert spent <= LIMITS[arguments[0]] * base
    assert peak <= MOST_MEMORY
