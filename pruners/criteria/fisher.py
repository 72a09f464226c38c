"""Fisher: weights whose removal raises the loss least go, by the second-order estimate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from pruners.base import View


class Fisher:
    """w^2 * mean over examples of g_i^2 / 2, g_i the gradient of example i's own loss.

    LeCun, Denker & Solla 1990, "Optimal Brain Damage", equation 5: saliency h w^2 / 2, h the Hessian's diagonal entry,
    here estimated by the empirical Fisher information's. Gradients are squared example by example: the square of a mean
    gradient would be another, smaller thing.
    """

    version = 1
    iterations = 1
    needs_data = True
    when = "trained"
    """The estimate holds at a minimum, where the gradient of the mean loss is zero."""

    def score(self, view: View) -> dict[str, Tensor]:
        """Saliencies in float64, of each weight's shape: squares of small gradients leave float32's range.

        One forward pass a batch and one backward pass an example. Example i's gradient is that of its row of the
        outputs: n times the derivative of a batch's mean loss with respect to row i, taken back to the weights. This
        asks of the batch nothing but what ``View`` says of outputs and loss, so texts of unequal length in one long
        row are as good as a rectangle. Where a loss sets examples off against one another, g_i is what reaches the
        weights through outputs i.
        """
        import torch

        from pruners.gradients import undisturbed

        squares = {name: torch.zeros_like(weight, dtype=torch.float64) for name, weight in view.weights.items()}
        examples = 0
        with undisturbed(view):
            for slopes in _example_gradients(view):
                for total, slope in zip(squares.values(), slopes, strict=True):
                    total.add_(slope.double().square_())
                examples += 1
        for name, weight in view.weights.items():
            squares[name].mul_(weight.detach().double().square()).div_(2 * examples)
        return squares


def _example_gradients(view: View) -> Iterator[tuple[Tensor, ...]]:
    """The gradient of each scoring example's loss with respect to the weights, in their order."""
    import torch

    from pruners.gradients import outputs_of

    weights = list(view.weights.values())
    for outputs, batch in outputs_of(view):
        ends = outputs.detach().requires_grad_(True)
        (along,) = torch.autograd.grad(view.loss(ends, batch), ends)
        row = torch.zeros_like(along)
        for example in range(len(outputs)):
            row[example] = along[example] * len(outputs)
            if outputs.requires_grad:
                yield torch.autograd.grad(outputs, weights, row, retain_graph=True, materialize_grads=True)
            else:
                yield tuple(torch.zeros_like(weight) for weight in weights)
            row[example] = 0
