"""When to train, score and cut. A recipe gives the steps between ``Init`` and ``Evaluate``, which the planner adds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.errors import UsageError
from bench.steps import Cut, Path, Score, Train

if TYPE_CHECKING:
    from pruners.base import Budget, Pruner


def one_shot(pruner: Pruner, sparsity: float, budget: Budget) -> Path:
    """One cut, before training (``pruner.when`` = ``init``) or of the trained model, which then recovers (``trained``).

    Lee et al. 2019, Wang et al. 2020 and Tanaka et al. 2020 cut at init; cut once and train on is Han et al. 2015's
    first round. At init a sparsity of 0 is the dense model's own path, so the two are one computation. A trained model
    at sparsity 0 still recovers, as its sparse neighbours do.
    """
    train = Train(budget.train, to=budget.train.length)
    cut = (_score(pruner, sparsity, budget), Cut(sparsity, pruner.allocation, pruner.structure))
    if pruner.when == "init":
        return (*cut, train) if sparsity else (train,)
    if pruner.when == "trained":
        return (train, *cut, Train(budget.recover, to=budget.recover.length))
    raise UsageError(
        f"cannot cut when {pruner.when!r}", where=f"pruner {pruner.name!r}", mend="Say 'init' or 'trained'."
    )


def _score(pruner: Pruner, sparsity: float, budget: Budget) -> Score:
    """Holds what the scores depend upon and nothing else, so that equal scores have equal keys."""
    batches, size = (budget.score_batches, budget.score_batch_size) if pruner.needs_data else (0, 0)
    if pruner.iterations == 1:
        return Score(pruner.criterion, pruner.version, batches, size)
    return Score(
        pruner.criterion,
        pruner.version,
        batches,
        size,
        pruner.iterations,
        sparsity=sparsity,
        allocation=pruner.allocation,
        structure=pruner.structure,
    )
