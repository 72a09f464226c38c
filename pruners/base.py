"""What a criterion is shown, what an allocation gives, and what a pruner is.

Nothing here is heavy: a criterion's module imports torch inside ``score``, so that planning stays fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from bench.steps import Learner, Option, Schedule, Step

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    Batch = Mapping[str, Tensor]
    Weights = Mapping[str, Tensor]
    Scores = Mapping[str, Tensor]
    Masks = Mapping[str, Tensor]


@dataclass(frozen=True)
class View:
    """What a criterion may look at. The model is in eval mode; its masked weights are zero."""

    model: nn.Module
    weights: Weights
    """Prunable parameters by full name: the model's own, requiring gradients."""
    masks: Masks
    """Boolean, True = kept, by name; a weight without an entry is kept whole."""
    batches: Callable[[], Iterator[Batch]]
    """A fresh pass over the scoring batches, on the model's device; the same batches each time."""
    forward: Callable[[nn.Module, Batch], Tensor]
    """The task's raw outputs (logits), shape (examples, ...)."""
    loss: Callable[[Tensor, Batch], Tensor]
    """Mean loss of outputs; ``loss(forward(model, batch) / T, batch)`` is the loss at temperature T."""
    example: Batch
    """One example, for criteria that need shapes and no data."""
    generator: torch.Generator
    """The pruner's own random stream, on the CPU, freshly seeded for each ``Score``."""
    scratch: dict[str, Any] = field(default_factory=dict)
    """What a criterion computed once and wants again at the next iteration of the same ``Score``."""


class Criterion(Protocol):
    """Gives each prunable weight a score, larger = keep."""

    version: int
    """Raised when the scores of the same view change."""
    iterations: int
    """Passes of score-and-cut that the method takes; 1 for all but iterative ones."""
    needs_data: bool

    def score(self, view: View) -> Scores:
        """Scores of the shape of each weight, by name. Parameters, buffers, gradients and mode of the model are left
        as they were found."""
        ...


@dataclass(frozen=True)
class Pool:
    """Layers whose weights compete with one another, and how many of them stay."""

    names: tuple[str, ...]
    keep: int


class Allocation(Protocol):
    """Spreads the budget over layers."""

    def __call__(self, shapes: Mapping[str, Sequence[int]], keep: int) -> Sequence[Pool]:
        """Disjoint pools that cover all layers and keep exactly ``keep`` weights in sum."""
        ...


class Structure(Protocol):
    """What is cut: single weights, N:M groups, rows. What one may offer beyond this: ``bench.masks.structures``."""

    def __call__(self, scores: Scores, pools: Sequence[Pool]) -> dict[str, Tensor]:
        """Boolean masks that keep the best-scored weights of each pool, ties broken by position."""
        ...


class Rule(Protocol):
    """Cuts as many weights as it finds fit."""

    def __call__(
        self, weights: Weights, masks: Masks, options: Mapping[str, Option]
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """New masks by name, within ``masks``, and plain JSON facts about how they were found."""
        ...


class Learning(Protocol):
    """Masks being learned, one training under way."""

    scores: dict[str, Tensor]
    """Learned so far, larger = keep; saved and restored with the state."""

    def mask(self, step: int) -> None:
        """Before the forward pass: puts masked weights in the place of the weights."""
        ...

    def learn(self, step: int) -> None:
        """After the backward pass: updates the scores, puts the weights back, masks their gradients."""
        ...


class MaskLearner(Protocol):
    """Starts, or goes on, learning masks."""

    def __call__(
        self, weights: Weights, scores: Scores, learner: Learner, schedule: Schedule, allocation: Allocation
    ) -> Learning: ...


@dataclass(frozen=True)
class Budget:
    """What a recipe may spend: the task's schedules and scoring batches, resolved to steps."""

    train: Schedule
    recover: Schedule
    score_batches: int
    score_batch_size: int


@dataclass(frozen=True)
class Pruner:
    """A named recipe with a criterion, an allocation and a structure."""

    name: str
    criterion: str
    """Registered name of the criterion."""
    recipe: Recipe
    allocation: str = "global"
    structure: str = "weights"
    when: str = "init"
    """``init``: cut before training; ``trained``: cut the dense model once, then recover."""
    iterations: int = 1
    version: int | str = 1
    needs_data: bool = True
    """Whether the criterion looks at scoring batches; where not, their number stays out of the key."""
    recovers: bool = True
    """Whether a trained model is trained on after a single cut."""
    exclude: tuple[str, ...] = ()
    """Patterns of parameter names that are not offered for pruning."""
    options: Any = None
    """The recipe's own frozen dataclass of settings: ``--set NAME.FIELD=VALUE``."""
    counts_iterations: bool = False
    """The recipe's targets are iterations 1, 2, ... ``options.iterations``, and the sparsities are what it finds."""


class Recipe(Protocol):
    """Turns a target into the path of steps between ``Init`` and ``Evaluate``."""

    def __call__(self, pruner: Pruner, target: float, budget: Budget) -> Sequence[Step]: ...


def one_shot_with(name: str, criterion: type[Criterion]) -> Pruner:
    """The pruner that every criterion is by itself: scored once, cut once.

    A criterion may say ``when``, ``recovers`` and ``allocation`` where its method differs from the defaults.
    """
    from pruners.recipes import OneShot, one_shot

    return Pruner(
        name=name,
        criterion=name,
        recipe=one_shot,
        iterations=criterion.iterations,
        version=criterion.version,
        needs_data=criterion.needs_data,
        when=getattr(criterion, "when", "init"),
        recovers=getattr(criterion, "recovers", True),
        allocation=getattr(criterion, "allocation", "global"),
        options=OneShot(),
    )
