"""Movement pruning: masks learned by first-order gradients while weights are fine-tuned (Sanh et al. 2020,
"Movement Pruning: Adaptive Sparsity by Fine-Tuning", equations 3 to 6 and section 5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from bench.masks.counts import kept
from bench.masks.selection import select
from pruners.recipes import cubic

if TYPE_CHECKING:
    from torch import Tensor

    from bench.steps import Learner, Schedule
    from pruners.base import Allocation, Scores, Weights


class Movement:
    """Scores S, zero at first, move by S -= score_lr * dL/dW' * W with W' = W * mask (the straight-through gradient).

    The mask keeps the largest scores, as many as the cubic schedule asks for. Masked weights keep their values and get
    no gradient of their own; their scores go on being updated, so they can come back.
    """

    def __init__(
        self, weights: Weights, scores: Scores, learner: Learner, schedule: Schedule, allocation: Allocation
    ) -> None:
        self.weights, self.learner, self.length, self.allocation = weights, learner, schedule.length, allocation
        self.options = dict(learner.options)
        self.scores = {
            name: scores[name].clone() if name in scores else torch.zeros_like(weight.detach())
            for name, weight in weights.items()
        }
        self._values: dict[str, Tensor] = {}
        self._masks: dict[str, Tensor] = {}

    def number(self, name: str) -> float:
        """A setting of the learner."""
        return float(self.options[name] or 0)

    def sparsity(self, step: int) -> float:
        """0 through the warm-up, then s_f (1 - (1 - x)^3) over the share x of the way, s_f through the cool-down."""
        warmup = self.number("warmup") * self.length
        span = self.length - warmup - self.number("cooldown") * self.length
        done = (step - warmup) / span if span > 0 else 1.0
        return cubic(self.learner.sparsity, done) if done > 0 else 0.0

    def masks(self, step: int) -> dict[str, Tensor]:
        """Boolean, True = kept, for the forward pass of ``step``."""
        shapes = {name: tuple(score.shape) for name, score in self.scores.items()}
        total = sum(score.numel() for score in self.scores.values())
        found: dict[str, Tensor] = {}
        for pool in self.allocation(shapes, kept(self.sparsity(step), total)):
            chosen = select([self.scores[name] for name in pool.names], pool.keep)
            found.update(zip(pool.names, chosen, strict=True))
        return found

    def mask(self, step: int) -> None:
        self._masks = self.masks(step)
        with torch.no_grad():
            for name, weight in self.weights.items():
                self._values[name] = weight.detach().clone()
                weight.masked_fill_(~self._masks[name], 0)

    def learn(self, step: int) -> None:
        rate = self.number("score_lr")
        with torch.no_grad():
            for name, weight in self.weights.items():
                value = self._values.pop(name)
                weight.copy_(value)
                if weight.grad is None:
                    continue
                self.scores[name] -= rate * (weight.grad * value + self.pull(name, step))
                weight.grad.masked_fill_(~self._masks[name], 0)

    def pull(self, name: str, step: int) -> Tensor | float:
        """Gradient of a regularisation on the scores; movement pruning proper has none."""
        return 0.0


class SoftMovement(Movement):
    """Movement with one threshold over all layers and a pull on the scores (Sanh et al. 2020, equations 5 and 6).

    The pull is the gradient of the mean sigmoid(S), weighted by a coefficient that rises with the cubic schedule. The
    paper fixes the threshold and takes whatever sparsity the coefficient leads to; here the threshold is, at each step,
    the one that meets the schedule's sparsity, so that a target can be asked for.
    """

    def pull(self, name: str, step: int) -> Tensor | float:
        reached = self.sparsity(step) / self.learner.sparsity if self.learner.sparsity else 0.0
        total = sum(score.numel() for score in self.scores.values())
        likely = torch.sigmoid(self.scores[name])
        return self.number("regularization") * reached / total * likely * (1 - likely)
