"""The paths that a one-shot pruner makes."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from bench.errors import UsageError
from bench.steps import Cut, Schedule, Score, Train, keys
from pruners.base import Budget, Pruner
from pruners.recipes import one_shot

BUDGET = Budget(
    train=Schedule(lr=0.1, batch_size=8, steps=100),
    recover=Schedule(lr=0.01, batch_size=8, steps=30, stream="recover"),
    score_batches=4,
    score_batch_size=16,
)
SNIP = Pruner("snip", "snip", one_shot)
SYNFLOW = Pruner("synflow", "synflow", one_shot, iterations=100, needs_data=False, allocation="erk")


def test_at_init_it_scores_cuts_and_trains() -> None:
    assert one_shot(SNIP, 0.9, BUDGET) == (Score("snip", 1, 4, 16), Cut(0.9), Train(BUDGET.train, to=100))


def test_a_trained_model_is_cut_once_and_recovers() -> None:
    assert one_shot(replace(SNIP, when="trained"), 0.9, BUDGET) == (
        Train(BUDGET.train, to=100),
        Score("snip", 1, 4, 16),
        Cut(0.9),
        Train(BUDGET.recover, to=30),
    )


def test_one_scoring_serves_every_sparsity_and_allocation() -> None:
    paths = [one_shot(SNIP, 0.5, BUDGET), one_shot(replace(SNIP, allocation="uniform"), 0.9, BUDGET)]
    first, second = (keys("root", path) for path in paths)
    assert first[0] == second[0]
    assert first[1] != second[1]


def test_an_iterative_criterion_scores_for_the_cut_that_follows() -> None:
    score, cut, _ = one_shot(SYNFLOW, 0.9, BUDGET)
    assert score == Score("synflow", 1, 0, 0, 100, 0.9, "erk", "weights")
    assert cut == Cut(0.9, "erk", "weights")


def test_batches_stay_out_of_the_key_of_a_criterion_that_sees_none() -> None:
    other = replace(BUDGET, score_batches=9, score_batch_size=1)
    assert one_shot(SYNFLOW, 0.9, other) == one_shot(SYNFLOW, 0.9, BUDGET)
    assert one_shot(SNIP, 0.9, other) != one_shot(SNIP, 0.9, BUDGET)


def test_sparsity_zero_at_init_is_the_dense_path_of_every_pruner() -> None:
    assert one_shot(SNIP, 0.0, BUDGET) == one_shot(SYNFLOW, 0.0, BUDGET) == (Train(BUDGET.train, to=100),)


def test_a_trained_model_at_sparsity_zero_still_recovers() -> None:
    kinds = [type(step) for step in one_shot(replace(SNIP, when="trained"), 0.0, BUDGET)]
    assert kinds == [Train, Score, Cut, Train]


def test_another_time_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^pruner 'snip': cannot cut when 'later'\. Say 'init' or 'trained'\.$"):
        one_shot(replace(SNIP, when="later"), 0.5, BUDGET)


def test_planning_imports_no_torch() -> None:
    modules = "pruners.recipes, pruners.allocation, pruners.structure, bench.masks.counts, " + ", ".join(
        f"pruners.criteria.{name}" for name in ("random", "magnitude", "snip", "grasp", "synflow")
    )
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
