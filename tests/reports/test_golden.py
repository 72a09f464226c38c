"""One golden file a format. ``python -m tests.reports.test_golden`` writes them anew: then read the difference."""

from __future__ import annotations

import json
import math
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.cli.report import BINARY, FORMATS, rendered, summarised
from tests.factories import make_store
from tests.reports.conftest import GOLDEN_REFERENCES, golden_records

GOLDEN = Path(__file__).parent.parent / "golden"


TEXTS = tuple(format for format in FORMATS if format != BINARY)


WRITTEN = 1_700_000_000
"""When the records are said to have been written."""
CODE = re.compile(r"(?<=<style>).*?(?=</style>)|(?<=<script>).*?(?=</script>)|(?<=sha256-)[\w+/=]+", re.DOTALL)


def render(format: str, folder: Path, make: Callable[..., str | bytes] = rendered) -> str:
    """The golden records in a format; of a page all but its style, its script and their digests."""
    store = make_store(folder, golden_records(), GOLDEN_REFERENCES)
    for path in (store.root / "records").iterdir():
        os.utime(path, (WRITTEN, WRITTEN))
    made = make(store, [*store.records()], format)
    assert isinstance(made, str)
    return CODE.sub("", made) if format == "html" else made


@pytest.mark.parametrize("format", TEXTS)
def test_each_format_is_what_its_golden_file_says(format, tmp_path):
    assert render(format, tmp_path) == (GOLDEN / f"report.{format}").read_text(encoding="utf-8")


@pytest.mark.parametrize("format", TEXTS)
def test_each_format_of_the_summary_is_what_its_golden_file_says(format, tmp_path):
    assert render(format, tmp_path, summarised) == (GOLDEN / f"summary.{format}").read_text(encoding="utf-8")


def test_the_golden_text_holds_the_figures_derived_by_hand():
    lines = (GOLDEN / "report.text").read_text(encoding="utf-8").splitlines()
    t = math.sqrt(0.95**2 * 2 / (1 - 0.95**2))  # t(2, 0.975), see test_rows
    (dense,) = [line for line in lines if line.startswith("dense")]
    assert f"92.00 ±{100 * t * 0.02 / math.sqrt(3):.2f}" in dense  # 0.90, 0.92, 0.94: s = 0.02
    (grasp,) = [line for line in lines if line.startswith("grasp") and "0.500" in line]
    # minus dense by seed: -0.01, -0.02, 0.00, so the mean is -0.01 and s = 0.01
    assert f"-1.00 ±{100 * t * 0.01 / math.sqrt(3):.2f}" in grasp
    assert "1.000  2.00×" in grasp  # 2 MFLOPs dense, half the weights


def test_the_golden_lines_hold_the_promised_keys():
    promised = {
        *("key", "status", "task", "model", "pruner", "target_sparsity", "sparsity", "total_sparsity", "seed"),
        *("metrics", "dense_flops", "flops", "dense_bytes", "compressed_bytes", "collapsed_layers", "train_steps"),
        *("data", "provenance"),
    }
    cells = [json.loads(line) for line in (GOLDEN / "report.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(cells) == len(golden_records())
    assert all(promised <= cell.keys() for cell in cells)
    assert {cell["target_sparsity"] for cell in cells if cell["pruner"] == "dense"} == {0.0}


if __name__ == "__main__":
    for name in TEXTS:
        for kind, make in (("report", rendered), ("summary", summarised)):
            with tempfile.TemporaryDirectory() as folder:
                (GOLDEN / f"{kind}.{name}").write_text(render(name, Path(folder), make), encoding="utf-8")
