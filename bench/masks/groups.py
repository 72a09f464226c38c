"""The best of each group of consecutive inputs."""

from __future__ import annotations

import torch
from torch import Tensor


def group_best(scores: Tensor, n: int, m: int) -> Tensor:
    """Boolean of the shape of ``scores``: the ``n`` largest of each ``m`` consecutive entries along axis 1, of equal
    ones the earlier."""
    inputs_last = scores.detach().movedim(1, -1)
    groups = inputs_last.reshape(*inputs_last.shape[:-1], -1, m)
    order = groups.sort(dim=-1, descending=True, stable=True).indices[..., :n]
    chosen = torch.zeros(groups.shape, dtype=torch.bool, device=scores.device).scatter_(-1, order, True)
    return chosen.reshape(inputs_last.shape).movedim(-1, 1).contiguous()
