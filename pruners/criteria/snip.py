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
        import torch

        from pruners.gradients import mean_gradient, undisturbed

        with undisturbed(view):
            slopes = mean_gradient(view)
        sensitivity: dict[str, Tensor] = {}
        total = 0.0
        for name, weight in view.weights.items():
            # In place, and each gradient let go of at once: fresh memory costs more than the arithmetic.
            sensitivity[name] = weight.detach().to(torch.float64, copy=True).mul_(slopes.pop(name)).abs_()
            total += float(sensitivity[name].sum())
        return {name: values.div_(total) if total else values for name, values in sensitivity.items()}
