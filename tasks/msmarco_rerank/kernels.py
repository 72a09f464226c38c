"""What the kernel models share: cosines that can be differentiated twice, and Gaussian kernels over them."""

from __future__ import annotations

import torch
from torch import Tensor

TINY = 1e-8
"""Added to squared norms: the cosine with a zero vector (a dead filter's output) is 0, with finite derivatives."""
ABSENT = 1e3
"""Stands for the cosine with padding."""
LEAST = 1e-10
"""Smallest kernel sum whose logarithm is taken."""


def unit(vectors: Tensor) -> Tensor:
    """The vectors (last axis) at length 1."""
    return vectors * torch.rsqrt((vectors * vectors).sum(-1, keepdim=True) + TINY)


def gaussian(cosines: Tensor, centre: float, width: float) -> Tensor:
    """exp(-(x - centre)^2 / (2 width^2)) of each cosine."""
    return torch.exp(-((cosines - centre) ** 2) / (2 * width * width))


def only(cosines: Tensor, there: Tensor) -> Tensor:
    """The cosines where ``there`` (bool, broadcast) holds; elsewhere a number that every kernel takes to zero, which
    costs one pass over them and not one for each kernel."""
    return cosines.masked_fill(~there, ABSENT)


def log_sum(kernel: Tensor) -> Tensor:
    """log max(sum of the kernel over the last axis, 1e-10)."""
    return kernel.sum(-1).clamp(min=LEAST).log()
