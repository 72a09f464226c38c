"""The contract of a pruner: of its criterion, and of the paths that its recipe makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch

from bench import registry
from bench.checks.finding import Finding, examine, require
from bench.checks.learner import check_learner
from bench.checks.model import require_unchanged, snapshot
from bench.checks.rule import check_rule
from bench.checks.toys import TOYS, Toy, view_of
from bench.errors import CellError
from bench.masks.counts import kept
from bench.masks.exact import count, cut
from bench.masks.scoring import score
from bench.steps import Cut, Evaluate, Init, Path, Schedule, Score, Train, canonical, describe, keys
from pruners.base import Budget, Criterion, Pruner, one_shot_with

if TYPE_CHECKING:
    from torch import Tensor

SPARSITIES = (0.3, 0.5, 0.9)
BUDGET = Budget(
    train=Schedule(lr=0.1, batch_size=4, steps=40),
    recover=Schedule(lr=0.01, batch_size=4, steps=20, stream="recover"),
    score_batches=2,
    score_batch_size=4,
)


def check_pruner(plug_in: str | Pruner | type[Criterion]) -> list[Finding]:
    """Findings on a pruner or a criterion, given by registered name or as the object itself.

    Raises ``UsageError`` for a name that is unknown or does not load.
    """
    found: Any = registry.load("pruners", plug_in) if isinstance(plug_in, str) else plug_in
    name = plug_in if isinstance(plug_in, str) else getattr(found, "name", getattr(found, "__name__", "the pruner"))
    findings = []
    if not isinstance(found, Pruner):
        findings.append(examine("it says its version, its iterations and whether it needs data", lambda: _says(found)))
        if not findings[0].ok:
            return findings
    pruner = found if isinstance(found, Pruner) else one_shot_with(name, found)
    paths = partial(_paths, pruner)
    findings.append(examine("its path begins, cuts to the target and ends as a path does", lambda: _shape(pruner)))
    findings.append(examine("its path is the same each time, and each target has its own", lambda: _keys(paths)))
    if findings[-2].ok and not any(isinstance(step, Score) for path in paths() for step in path):
        return [*findings, *check_learner(paths()), *check_rule(paths())]  # its scores are no criterion's
    criterion = partial(registry.criterion, pruner.criterion) if isinstance(found, Pruner) else found
    return [*findings, *(finding for toy in TOYS for finding in _on(toy, criterion)), _data(criterion)]


# What it says of itself


def _says(criterion: Any) -> None:
    for name, kind, least in (("version", int, 0), ("iterations", int, 1), ("needs_data", bool, 0)):
        require(hasattr(criterion, name), f"it has no {name!r}")
        value = getattr(criterion, name)
        require(
            type(value) is kind and value >= least,
            f"its {name!r} is {value!r}, where {'True or False' if kind is bool else f'a number from {least}'} belongs",
        )
    require(callable(getattr(criterion, "score", None)), "it has no method 'score'")


# Paths


def _paths(pruner: Pruner) -> list[Path]:
    return [tuple(pruner.recipe(pruner, target, BUDGET)) for target in _targets(pruner)]


def _targets(pruner: Pruner) -> Sequence[float]:
    return (1, 2) if getattr(pruner, "counts_iterations", False) else SPARSITIES


def _shape(pruner: Pruner) -> None:
    for target, path in zip(_targets(pruner), _paths(pruner), strict=True):
        require(bool(path), f"the path for target {target} is empty")
        for step in path:
            require(
                not isinstance(step, Init | Evaluate),
                f"the path holds {type(step).__name__}, which the planner adds by itself",
            )
        require(not isinstance(path[-1], Score), "the path ends with a Score that nothing is cut by")
        for step, after in pairwise(path):
            require(not isinstance(step, Score) or isinstance(after, Cut), "a Score is not followed by its Cut")
        if pruner.when == "trained":
            require(isinstance(path[0], Train), f"when = 'trained', and the path begins with {type(path[0]).__name__}")
        cuts = [step for step in path if isinstance(step, Cut)]
        if getattr(pruner, "counts_iterations", False):
            continue
        require(bool(cuts), f"the path for sparsity {target} has no Cut")
        require(cuts[-1].sparsity == target, f"the last Cut is to {cuts[-1].sparsity} where the target is {target}")
        falling = any(one.sparsity > two.sparsity for one, two in pairwise(cuts))
        require(not falling, "a Cut asks for less sparsity than the one before it")


def _keys(paths: Callable[[], list[Path]]) -> None:
    for path in paths():
        for step in path:
            canonical(describe(step))
    one, other = ([keys("root", path)[-1] for path in paths()] for _ in range(2))
    require(one == other, "two calls with the same target give two paths, so nothing would ever be found again")
    require(len(set(one)) == len(one), "two targets have one path")


# The criterion


def _on(toy: Toy, criterion: Callable[[], Criterion]) -> Iterator[Finding]:
    if toy.idle and _refuses(toy, criterion):
        yield Finding(f"it names the weight that it cannot score, on {toy.title}")
        return
    for check, work in (
        ("its scores have the weights' names and shapes and are finite", _scores),
        ("equal streams give equal scores", _equal),
        ("it leaves the model as it found it", _undisturbed),
        ("cuts by its scores are exact", _cuts),
    ):
        yield examine(f"{check}, on {toy.title}", partial(work, toy, criterion))


def _refuses(toy: Toy, criterion: Callable[[], Criterion]) -> bool:
    try:
        criterion().score(view_of(toy))
    except CellError as error:
        return toy.idle in str(error)
    except (Exception, SystemExit):
        return False  # which the checks that follow report
    return False


def _scores(toy: Toy, criterion: Callable[[], Criterion]) -> None:
    view = view_of(toy)
    scores = criterion().score(view)
    missing, extra = view.weights.keys() - scores.keys(), scores.keys() - view.weights.keys()
    require(not missing, f"there are no scores for {sorted(missing)}")
    require(not extra, f"there are scores for {sorted(extra)}, which it was not given")
    for name, values in scores.items():
        weight, its = view.weights[name], f"scores of {name!r}"
        shape = tuple(weight.shape)
        require(tuple(values.shape) == shape, f"{its} have shape {tuple(values.shape)}, the weight {shape}")
        require(values.is_floating_point(), f"{its} are {values.dtype}, not floating-point numbers")
        require(bool(torch.isfinite(values).all()), f"{its} are NaN or infinite")
        require(not values.requires_grad, f"{its} still require gradients")
        apart = values.untyped_storage().data_ptr() != weight.untyped_storage().data_ptr()
        require(apart, f"{its} lie in the weight's own memory")


def _equal(toy: Toy, criterion: Callable[[], Criterion]) -> None:
    one, other = (_copied(criterion().score(view_of(toy, seed))) for seed in (1, 2))
    for name, values in one.items():
        same = torch.equal(values, other[name])
        require(same, f"two scorings of {name!r} differ: draw from view.generator, and keep nothing between calls")


def _copied(scores: Any) -> dict[str, Tensor]:
    return {name: values.detach().clone() for name, values in scores.items()}


def _undisturbed(toy: Toy, criterion: Callable[[], Criterion]) -> None:
    for training in (False, True):
        view = view_of(toy)
        view.model.train(training)
        for index, parameter in enumerate(view.model.parameters()):
            if index % 2:
                parameter.grad = torch.full_like(parameter, 7.0)
        before = snapshot(view.model)
        criterion().score(view)
        require_unchanged(view.model, before, "scoring")


def _cuts(toy: Toy, criterion: Callable[[], Criterion]) -> None:
    structure = registry.structure("weights")
    passes = criterion().iterations
    view = view_of(toy)
    size = sum(weight.numel() for weight in view.weights.values())
    scored = criterion().score(view)
    for name in registry.names("allocations"):
        allocation = registry.allocation(name)
        for sparsity in SPARSITIES:
            masks = cut(scored, {}, sparsity, allocation, structure)
            if passes > 1 and name == "global":
                step = Score("checked", 1, 2, 4, passes, sparsity, name, "weights")
                scores, left = score(step, criterion(), replace(view_of(toy), scratch={}), allocation, structure)
                masks = cut(scores, left, sparsity, allocation, structure)
            alive, due = sum(count(mask) for mask in masks.values()), kept(sparsity, size)
            require(alive == due, f"{alive} weights stay where {due} belong, at sparsity {sparsity} under {name!r}")


def _data(criterion: Callable[[], Criterion]) -> Finding:
    made = criterion()
    check = "it looks at scoring batches" if made.needs_data else "it looks at no scoring batches"

    def work() -> None:
        view = view_of(TOYS[0])
        asked = 0

        def batches() -> Iterator[Mapping[str, Tensor]]:
            nonlocal asked
            asked += 1
            return view.batches()

        made.score(replace(view, batches=batches))
        if made.needs_data:
            require(asked > 0, "needs_data is True, and it never asks for a batch: keys would hold an idle number")
        else:
            require(asked == 0, "needs_data is False, and it asks for batches: keys would lack their number")

    return examine(check, work)
