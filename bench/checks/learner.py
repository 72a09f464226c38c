"""The contract of a learner of masks, as training calls it: before each forward pass, after each backward pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import torch
from torch import Tensor

from bench import registry
from bench.checks.finding import Finding, examine, require
from bench.checks.toys import TOYS, Toy, view_of
from bench.masks.counts import kept
from bench.masks.exact import count, cut
from bench.steps import Path, Train
from pruners.base import Learning, View


def check_learner(paths: Sequence[Path]) -> Iterator[Finding]:
    """Findings on the learner of the first ``Train`` that has one; none where no path has."""
    learning = next((step for path in paths for step in path if isinstance(step, Train) and step.learner), None)
    if learning is None:
        return
    for toy in TOYS:
        for check, work in (
            ("its scores have the weights' names and shapes, are finite and move", _scores),
            ("it puts masked weights back and gives them no gradient", _put_back),
            ("it goes on from its own scores as if it had not stopped", _goes_on),
            ("cuts by its scores are exact", _cuts),
        ):
            yield examine(f"{check}, on {toy.title}", partial(work, toy, learning))


@dataclass
class Taught:
    """A learner at work on a toy whose weights no optimiser moves."""

    step: Train
    view: View
    learning: Learning

    @staticmethod
    def begun(toy: Toy, step: Train, scores: dict[str, Tensor] | None = None) -> Taught:
        assert step.learner is not None
        view = view_of(toy)
        view.model.train()
        start = registry.learner(step.learner.name)
        allocation = registry.allocation(str(dict(step.learner.options).get("allocation", "global")))
        return Taught(step, view, start(view.weights, scores or {}, step.learner, step.schedule, allocation))

    def steps(self, first: int, to: int) -> Iterator[tuple[dict[str, Tensor], dict[str, Tensor]]]:
        """Each step's weights, before they were masked and as the forward pass saw them."""
        batches = [*self.view.batches()]
        for number in range(first, to):
            torch.manual_seed(number)
            self.view.model.zero_grad()
            before = {name: weight.detach().clone() for name, weight in self.view.weights.items()}
            self.learning.mask(number)
            seen = {name: weight.detach().clone() for name, weight in self.view.weights.items()}
            batch = batches[number % len(batches)]
            self.view.loss(self.view.forward(self.view.model, batch), batch).backward()  # type: ignore[no-untyped-call]
            self.learning.learn(number)
            yield before, seen

    def finish(self, first: int = 0) -> dict[str, Tensor]:
        for _ in self.steps(first, self.step.to):
            pass
        return self.learning.scores


def _scores(toy: Toy, step: Train) -> None:
    taught = Taught.begun(toy, step)
    start = {name: values.clone() for name, values in taught.learning.scores.items()}
    scores = taught.finish()
    require(scores.keys() == taught.view.weights.keys(), f"it has scores for {sorted(scores)}")
    for name, values in scores.items():
        shape, its = tuple(taught.view.weights[name].shape), f"scores of {name!r}"
        require(tuple(values.shape) == shape, f"{its} have shape {tuple(values.shape)}, the weight {shape}")
        require(bool(torch.isfinite(values).all()), f"{its} are NaN or infinite")
    require(any(not torch.equal(start[name], scores[name]) for name in scores), "no score ever moves")


def _put_back(toy: Toy, step: Train) -> None:
    taught = Taught.begun(toy, step)
    for before, seen in taught.steps(0, step.to):
        for name, weight in taught.view.weights.items():
            same = torch.equal(weight.detach(), before[name])
            require(same, f"after learn(), {name!r} is not what it was before mask()")
            masked = (seen[name] == 0) & (before[name] != 0)
            moved = weight.grad is not None and bool(weight.grad[masked].any())
            require(not moved, f"masked weights of {name!r} get a gradient of their own")


def _goes_on(toy: Toy, step: Train) -> None:
    whole = Taught.begun(toy, step).finish()
    middle = step.to // 2
    first = Taught.begun(toy, step)
    for _ in islice(first.steps(0, middle), middle):
        pass
    saved = {name: values.clone() for name, values in first.learning.scores.items()}
    second = Taught.begun(toy, step, saved)
    for ours, theirs in zip(first.view.model.buffers(), second.view.model.buffers(), strict=True):
        theirs.copy_(ours)
    again = second.finish(middle)
    for name, values in whole.items():
        require(torch.equal(values, again[name]), f"scores of {name!r} differ after a stop: keep all in 'scores'")


def _cuts(toy: Toy, step: Train) -> None:
    taught = Taught.begun(toy, step)
    scores = taught.finish()
    assert step.learner is not None
    size = sum(values.numel() for values in scores.values())
    masks = cut(scores, {}, step.learner.sparsity, registry.allocation("global"), registry.structure("weights"))
    alive, due = sum(count(mask) for mask in masks.values()), kept(step.learner.sparsity, size)
    require(alive == due, f"{alive} weights stay where {due} belong")
