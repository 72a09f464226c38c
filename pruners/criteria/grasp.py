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
        """w (H g) in float64, of each weight's shape. Two passes over the scoring batches, one batch's graph at a time.

        Attention runs in its plain form, as the fused kernels have no second derivative. Raises ``CellError`` where
        another operation of the model has none.
        """
        from torch.nn.attention import SDPBackend, sdpa_kernel

        from bench.errors import CellError
        from pruners.gradients import mean_gradient, mean_hessian_product, undisturbed

        try:
            with undisturbed(view), sdpa_kernel(SDPBackend.MATH):
                slopes = mean_gradient(view, self.temperature)
                curvature = mean_hessian_product(view, slopes, self.temperature)
        except NotImplementedError as error:
            raise CellError(
                f"the model has no second derivative, which GraSP needs ({error})",
                mend="Prune other weights, or use another criterion.",
            ) from error
        return {name: weight.detach().double() * curvature[name].double() for name, weight in view.weights.items()}
