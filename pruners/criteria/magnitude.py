"""Magnitude: small weights go."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from pruners.base import View


class Magnitude:
    """abs(w): Han et al. 2015, "Learning both Weights and Connections for Efficient Neural Networks", section 3."""

    version = 1
    iterations = 1
    needs_data = False

    def score(self, view: View) -> dict[str, Tensor]:
        """Absolute values, of each weight's shape and dtype."""
        return {name: weight.detach().abs() for name, weight in view.weights.items()}
