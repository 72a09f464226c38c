"""GraSP: weights whose removal harms the flow of gradient most stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from pruners.base import View


class Grasp:
    """w (H g), g and H gradient and Hessian of the loss at temperature 200; the larger stay.

    Wang et al. 2020, "Picking Winning Tickets Before Training by Preserving Gradient Flow", equation 8 and algorithm
    2: there the score is -w (H g) and the largest go, which is the same order. The sign matters: scores below zero
    are common.
    """

    version = 1
    iterations = 1
    needs_data = True
    temperature = 200.0
    """Divides the outputs: near-uniform predictions, as the paper's section 4 sets it."""

    def score(self, view: View) -> dict[str, Tensor]:
        """w (H g) in float64, of each weight's shape. Several scoring batches are passed over twice, a single one once.

        Raises ``CellError`` where an operation of the model has no second derivative.
        """
        import torch

        from bench.errors import CellError
        from pruners.gradients import mean_hessian_gradient, undisturbed

        try:
            with undisturbed(view):
                curvature = mean_hessian_gradient(view, self.temperature)
        except NotImplementedError as error:
            raise CellError(
                f"the model has no second derivative, which GraSP needs ({error})",
                mend="Prune other weights, or use another criterion.",
            ) from error
        return {
            name: weight.detach().to(torch.float64, copy=True).mul_(curvature.pop(name))
            for name, weight in view.weights.items()
        }
