"""Random: the baseline that every table needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from pruners.base import View


class Random:
    """Uniform in [0, 1) from the pruner's own stream.

    In float64: of float32's 2^24 values tens of millions of draws would tie, and ties go to earlier positions.
    """

    version = 1
    iterations = 1
    needs_data = False

    def score(self, view: View) -> dict[str, Tensor]:
        """Independent draws in the order of ``view.weights``, of each weight's shape."""
        import torch

        return {
            name: torch.rand(weight.shape, generator=view.generator, dtype=torch.float64).to(weight.device)
            for name, weight in view.weights.items()
        }
