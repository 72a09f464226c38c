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

from bench.counts import kept
from bench.selection import thresholds
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


def peak_bytes(job: str) -> int:
    """Peak memory of a process of its own. Large tensors have pages of their own there, so that it is the tensors' and
    not that of holes in the heap, which depend on the order in which small and large ones come and go."""
    root = Path(__file__).parent.parent.parent
    surroundings = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 20), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.perf.encoder", job],
        capture_output=True,
        text=True,
        cwd=root,
        env=surroundings,
        check=True,
    )
    return int(done.stdout.split()[-1])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_grasp_s_peak_memory_is_that_of_a_training_step_and_three_times_the_weights_at_most(capsys: Any) -> None:
    """Of the criteria GraSP takes most: it holds a graph of the backward pass as well."""
    weights = 4 * encoder.WEIGHTS
    train, grasp = peak_bytes("train"), peak_bytes("grasp")
    with capsys.disabled():
        print(f"\npeak memory of GraSP beyond a training step's: {(grasp - train) / weights:.2f} times the weights")
    assert grasp - train <= 3 * weights
