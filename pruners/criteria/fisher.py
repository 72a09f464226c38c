"""Fisher: weights whose removal raises the loss least go, by the second-order estimate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from pruners.base import Batch, View


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
        weights through outputs i. Sums are in float64; of several processes each batch is summed apart, which changes
        the last of its digits.
        """
        import torch

        from bench import ranks
        from pruners.gradients import from_outputs, undisturbed

        squares = {name: torch.zeros_like(weight, dtype=torch.float64) for name, weight in view.weights.items()}
        totals = list(squares.values())
        shared = ranks.shared()

        def summed(outputs: Tensor, batch: Batch) -> list[Tensor]:
            """Adds the batch to the totals; of several processes, where others have batches too, to a sum apart."""
            sums = [torch.zeros_like(total) for total in totals] if shared else totals
            for slopes in _example_gradients(view, outputs, batch):
                for total, slope in zip(sums, slopes, strict=True):
                    total.add_(slope.double().square_())
            return sums

        examples = 0
        with undisturbed(view):
            for sums, size in from_outputs(view, summed, totals):
                examples += size
                if shared:
                    for total, part in zip(totals, sums, strict=True):
                        total.add_(part)
        for name, weight in view.weights.items():
            squares[name].mul_(weight.detach().double().square()).div_(2 * examples)
        return squares


def _example_gradients(view: View, outputs: Tensor, batch: Batch) -> Iterator[tuple[Tensor, ...]]:
    """The gradient of the loss of each example of a batch with respect to the weights, in their order."""
    import torch

    weights = list(view.weights.values())
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
