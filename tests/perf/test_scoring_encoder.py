"""What scoring an encoder of BERT-base's size costs beside training it, as ratios within one run."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from bench.masks.counts import kept
from bench.masks.selection import thresholds
from pruners.criteria.grasp import Grasp
from pruners.criteria.snip import Snip
from tests.perf import encoder

pytestmark = pytest.mark.slow

SPARSITIES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.98)


def seconds(work: Callable[[], object]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start


def test_scores_cost_a_few_passes_and_thresholds_next_to_nothing(benchmark: Any, capsys: Any) -> None:
    """SNIP at most 1.5 times forward and backward alone, GraSP at most 6 times; ten thresholds a tenth of SNIP."""
    view = encoder.view()
    assert sum(weight.numel() for weight in view.weights.values()) == encoder.WEIGHTS
    scores: dict[str, Tensor] = {}
    encoder.pass_both_ways(view)
    # Each side takes turns twice, and the better turn counts: what else the machine does is in neither.
    turns = [
        (seconds(lambda: encoder.pass_both_ways(view)), seconds(lambda: scores.update(Snip().score(view))))
        for _ in range(2)
    ]
    passes, snip = (min(side) for side in zip(*turns, strict=True))
    size = sum(values.numel() for values in scores.values())
    keeps = [kept(sparsity, size) for sparsity in SPARSITIES]
    cuts = min(seconds(lambda: thresholds(list(scores.values()), keeps)) for _ in range(2))
    scores.clear()
    spent: dict[str, float] = {}
    benchmark.pedantic(lambda: spent.update(grasp=seconds(lambda: Grasp().score(view))), rounds=1)
    grasp = spent["grasp"]
    with capsys.disabled():
        print(
            f"\n85 M weights, batch 8 x 128: SNIP {snip / passes:.2f} and GraSP {grasp / passes:.2f} times forward and "
            f"backward; thresholds for 10 sparsities {cuts / snip:.3f} of SNIP"
        )
    assert snip <= 1.5 * passes
    assert grasp <= 6 * passes
    assert cuts <= 0.1 * snip


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_grasp_after_a_training_step_takes_three_times_the_weights_more_at_most(capsys: Any) -> None:
    """Of the criteria GraSP takes most: it holds a graph of the backward pass as well."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.perf.encoder"],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
    )
    train, both = map(int, done.stdout.split())
    weights = 4 * encoder.WEIGHTS
    with capsys.disabled():
        print(f"\npeak memory of GraSP beyond a training step's: {(both - train) / weights:.2f} times the weights")
    assert both - train <= 3 * weights
