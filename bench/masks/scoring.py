"""The scoring of one ``Score`` step, and the loop of score and cut that iterative criteria take.

Knows no criterion: it shows one a view, again and again while the step says so, and cuts in between.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.errors import CellError, UsageError
from bench.masks.exact import apply_, cut
from bench.steps import Score

if TYPE_CHECKING:
    from torch import Tensor

    from pruners.base import Allocation, Criterion, Structure, View


def score(
    step: Score, criterion: Criterion, view: View, allocation: Allocation, structure: Structure
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Scores of pass N = ``step.iterations``, and the masks they were found under; contiguous, without gradients.

    After pass i < N the weights are cut to density ``(1 - step.sparsity) ** (i / N)`` (Tanaka et al. 2020, algorithm
    1); pass N's own cut is the ``Cut`` that follows. The masks are ``view.masks`` where N = 1. The masked weights of
    ``view.model`` are zero afterwards; all else in it is as it was. ``allocation`` and ``structure`` are those that the
    step names, and matter where N > 1 only.
    """
    masks: Mapping[str, Tensor] = view.masks
    parameters = dict(view.model.named_parameters())
    for done in range(1, step.iterations):
        if step.sparsity is None:
            raise UsageError(
                f"{step.iterations} iterations need a sparsity to head for",
                where=f"criterion {step.criterion!r}",
                mend="Give the Score step the sparsity of the Cut that follows it.",
            )
        scores = _scored(step, criterion, replace(view, masks=_of(masks, view)))
        masks = cut(scores, masks, 1 - (1 - step.sparsity) ** (done / step.iterations), allocation, structure)
        apply_(parameters, masks)
    scores = _scored(step, criterion, replace(view, masks=_of(masks, view)))
    return (
        {name: values.detach().contiguous() for name, values in scores.items()},
        {name: mask.contiguous() for name, mask in masks.items()},
    )


def _of(masks: Mapping[str, Tensor], view: View) -> dict[str, Tensor]:
    """The masks of the weights that a criterion scores: a structure may have masked biases along with them."""
    return {name: mask for name, mask in masks.items() if name in view.weights}


def _scored(step: Score, criterion: Criterion, view: View) -> Mapping[str, Tensor]:
    """The criterion's scores. Raises ``CellError`` where they are not one tensor a weight, of its shape."""
    scores = criterion.score(view)
    where, mend = f"criterion {step.criterion!r}", "Its score() gives a dict: one tensor a weight, of its shape."
    if not isinstance(scores, Mapping):
        raise CellError(f"returned {type(scores).__name__}", where=where, mend=mend)
    missing = [name for name in view.weights if name not in scores]
    if missing:
        raise CellError(f"returned no scores of {missing[0]}", where=where, mend=mend)
    for name, weight in view.weights.items():
        shape = getattr(scores[name], "shape", None)
        if shape != weight.shape:
            said = type(scores[name]).__name__ if shape is None else f"shape {tuple(shape)}"
            raise CellError(f"returned {said} for {name} of shape {tuple(weight.shape)}", where=where, mend=mend)
    return {name: scores[name] for name in view.weights}
