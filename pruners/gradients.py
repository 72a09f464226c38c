"""Gradients of the loss with respect to the prunable weights, gathered over the scoring batches.

Of several processes each derives every so-manieth batch and all add up the same gradients in the batches' order: sums,
and so the masks, are a single process's to the bit.

Imports torch: criteria import this inside ``score``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge
from torch.nn.attention import SDPBackend, sdpa_kernel

from bench import ranks
from bench.errors import CellError
from pruners.base import View

if TYPE_CHECKING:
    from pruners.base import Batch


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


def derived(
    view: View, work: Callable[[Tensor], Sequence[Tensor]], temperature: float = 1.0
) -> Iterator[tuple[Sequence[Tensor], int]]:
    """Of each scoring batch what ``work`` makes of its mean loss, outputs divided by ``temperature``: a tensor a
    weight; and its number of examples."""

    def of(outputs: Tensor, batch: Batch) -> Sequence[Tensor]:
        return work(view.loss(outputs / temperature if temperature != 1.0 else outputs, batch))

    return from_outputs(view, of, list(view.weights.values()))


def from_outputs(
    view: View, work: Callable[[Tensor, Batch], Sequence[Tensor]], like: Sequence[Tensor]
) -> Iterator[tuple[Sequence[Tensor], int]]:
    """Of each scoring batch what ``work`` makes of its outputs, shape (examples, ...), and itself: tensors as ``like``;
    and its number of examples. Raises ``CellError`` where there is no example at all."""

    def of(batch: Batch) -> tuple[Sequence[Tensor], int]:
        outputs = view.forward(view.model, batch)
        return work(outputs, batch), len(outputs)

    seen = 0
    for parts, size in ranks.in_turn(view.batches(), of, like):
        seen += size
        yield parts, size
    require_examples(seen)


def require_examples(seen: int) -> None:
    """Raises ``CellError`` where a criterion that needs data was shown no example."""
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
    total = Total()
    for slopes, size in derived(view, lambda loss: gradient(loss, weights), temperature):
        total.add(slopes, size)
    return dict(zip(view.weights, total.mean(), strict=True))


def mean_hessian_gradient(view: View, temperature: float = 1.0) -> dict[str, Tensor]:
    """H g by weight, g and H gradient and Hessian of the mean loss over all scoring examples.

    H g is the gradient of <g, gradient> with the first g held fixed. Several batches take two passes, one for g and one
    for the product, a batch's graph in memory at a time; a single batch's graph gives both. Attention runs in its plain
    form where it is derived twice, as the fused kernels have no second derivative.
    """
    weights = list(view.weights.values())
    fixed = None if _single(view) else list(mean_gradient(view, temperature).values())
    total = Total()
    with sdpa_kernel(SDPBackend.MATH):
        for products, size in derived(view, lambda loss: _hessian_product(loss, weights, fixed), temperature):
            total.add(products, size)
    return dict(zip(view.weights, total.mean(), strict=True))


class Total:
    """A sum over batches, by weight. The first batch's tensors become the sums: for one batch nothing is copied."""

    def __init__(self) -> None:
        self._sums: list[Tensor] = []
        self._examples = 0

    def add(self, parts: Sequence[Tensor], size: int) -> None:
        """Adds ``size`` examples whose mean is ``parts``, which belong to the sum from now on."""
        if not self._sums:
            self._sums = [part.mul_(size) for part in parts]
        else:
            for total, part in zip(self._sums, parts, strict=True):
                total.add_(part, alpha=size)
        self._examples += size

    def mean(self) -> list[Tensor]:
        """The mean over all examples; ends the sum."""
        return [total.div_(self._examples) for total in self._sums]


def _single(view: View) -> bool:
    batches = view.batches()
    return next(batches, None) is not None and next(batches, None) is None


def _hessian_product(loss: Tensor, weights: list[Tensor], vector: list[Tensor] | None) -> tuple[Tensor, ...]:
    """The loss's Hessian times ``vector``, or times its own gradient where that is None.

    Of the gradient only the places in the graph are kept: its values would be one more copy of the weights.
    """
    slopes = gradient(loss, weights, differentiable=True)
    along = [slope.detach() for slope in slopes] if vector is None else vector
    places = [
        (get_gradient_edge(slope), part) for slope, part in zip(slopes, along, strict=True) if slope.requires_grad
    ]
    del slopes
    if not places:
        return tuple(torch.zeros_like(weight) for weight in weights)
    edges, parts = zip(*places, strict=True)
    return torch.autograd.grad(edges, weights, grad_outputs=parts, materialize_grads=True)
