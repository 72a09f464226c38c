"""Gradients of the loss with respect to the prunable weights, gathered over the scoring batches.

Imports torch: criteria import this inside ``score``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from bench.errors import CellError
from pruners.base import View


@contextmanager
def undisturbed(view: View) -> Iterator[None]:
    """Evaluation mode and gradients for the weights while it lasts; both as they were found afterwards."""
    modes = [(module, module.training) for module in view.model.modules()]
    needed = [(weight, weight.requires_grad) for weight in view.weights.values()]
    try:
        view.model.eval()
        for weight, _ in needed:
            weight.requires_grad_(True)
        with torch.enable_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training
        for weight, requires_grad in needed:
            weight.requires_grad_(requires_grad)


def losses(view: View, temperature: float = 1.0) -> Iterator[tuple[Tensor, int]]:
    """The mean loss of each scoring batch, outputs divided by ``temperature``, and its number of examples."""
    seen = 0
    for batch in view.batches():
        outputs = view.forward(view.model, batch)
        seen += len(outputs)
        yield view.loss(outputs / temperature if temperature != 1.0 else outputs, batch), len(outputs)
    if not seen:
        raise CellError("no scoring batches, and the criterion needs data", mend="Give the task a training split.")


def gradient(value: Tensor, weights: list[Tensor], *, differentiable: bool = False) -> tuple[Tensor, ...]:
    """d value / d weights; zeros for a weight that ``value`` does not depend upon."""
    if not value.requires_grad:
        return tuple(torch.zeros_like(weight) for weight in weights)
    return torch.autograd.grad(value, weights, create_graph=differentiable, materialize_grads=True)


def mean_gradient(view: View, temperature: float = 1.0) -> dict[str, Tensor]:
    """Gradient of the mean loss over all scoring examples, by weight: batches count by their number of examples."""
    weights = list(view.weights.values())
    sums = [torch.zeros_like(weight) for weight in weights]
    examples = 0
    for loss, size in losses(view, temperature):
        for total, part in zip(sums, gradient(loss, weights), strict=True):
            total.add_(part, alpha=size)
        examples += size
    return {name: total.div_(examples) for name, total in zip(view.weights, sums, strict=True)}


def mean_hessian_product(view: View, vector: dict[str, Tensor], temperature: float = 1.0) -> dict[str, Tensor]:
    """H v by weight, H the Hessian of the mean loss over all scoring examples: the gradient of <v, gradient>.

    One batch's graph is in memory at a time.
    """
    weights = list(view.weights.values())
    sums = [torch.zeros_like(weight) for weight in weights]
    examples = 0
    for loss, size in losses(view, temperature):
        slopes = gradient(loss, weights, differentiable=True)
        along = torch.stack([(vector[name] * slope).sum() for name, slope in zip(view.weights, slopes, strict=True)])
        for total, part in zip(sums, gradient(along.sum(), weights), strict=True):
            total.add_(part, alpha=size)
        examples += size
    return {name: total.div_(examples) for name, total in zip(view.weights, sums, strict=True)}
