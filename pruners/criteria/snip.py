"""SNIP: weights whose removal changes the loss least go."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from pruners.base import View


class Snip:
    """abs(g w) / sum of abs(g w) over all weights, g the loss's gradient over the scoring batches.

    Lee et al. 2019, "SNIP: Single-shot Network Pruning based on Connection Sensitivity", equation 6; gradients are
    gathered first, absolute values taken after.
    """

    version = 1
    iterations = 1
    needs_data = True

    def score(self, view: View) -> dict[str, Tensor]:
        """Shares of the total sensitivity, of each weight's shape; all zero where every gradient is.

        float64, so that the division by the total neither makes ties nor changes the order.
        """
        from pruners.gradients import mean_gradient, undisturbed

        with undisturbed(view):
            slopes = mean_gradient(view)
        sensitivity = {
            name: (weight.detach().double() * slopes[name].double()).abs_() for name, weight in view.weights.items()
        }
        total = sum(float(values.sum()) for values in sensitivity.values())
        return {name: values / total if total else values for name, values in sensitivity.items()}
