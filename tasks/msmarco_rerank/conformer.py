"""The passage encoder of ``conformer-kernel``: convolution and attention that is linear in the length (Mitra,
Hofstätter, Zamani & Craswell 2020, section 3.1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

FAR = -1e9
"""Stands for minus infinity where a softmax leaves a position out; a text without any position stays finite."""


class SeparableAttention(nn.Module):
    """softmax(Q over its features) times (softmax(K over positions)^T V), Q and K one projection: no (length x length)
    matrix arises."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query_key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, width)

    def forward(self, states: Tensor, there: Tensor) -> Tensor:
        """(texts, length, width), and (texts, length) of 1 and 0."""
        split = (*states.shape[:2], self.heads, -1)
        shared, values = self.query_key(states).view(split), self.value(states).view(split)
        queries = shared.softmax(dim=-1)
        keys = shared.masked_fill(there[:, :, None, None] == 0, FAR).softmax(dim=1)
        summary = torch.einsum("tlhf,tlhv->thfv", keys, values)
        mixed: Tensor = self.output(torch.einsum("tlhf,thfv->tlhv", queries, summary).flatten(2))
        return mixed


class ConformerLayer(nn.Module):
    """Grouped convolution, separable attention and a feed-forward block, each added to its input and normalised."""

    def __init__(self, width: int, d_ff: int, heads: int, kernel: int, groups: int, dropout: float) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=groups)
        self.attention = SeparableAttention(width, heads)
        self.inner = nn.Linear(width, d_ff)
        self.outer = nn.Linear(d_ff, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor, there: Tensor) -> Tensor:
        """(texts, length, width) to the same."""
        around = torch.relu(self.convolution((states * there[:, :, None]).mT)).mT
        states = self.norms[0](states + self.dropout(around))
        states = self.norms[1](states + self.dropout(self.attention(states, there)))
        forward = self.outer(self.dropout(torch.relu(self.inner(states))))
        normed: Tensor = self.norms[2](states + self.dropout(forward))
        return normed


def sinusoids(length: int, width: int, like: Tensor) -> Tensor:
    """Position encodings (length, width) of Vaswani et al. 2017, section 3.5."""
    places = torch.arange(length, device=like.device, dtype=torch.float32)[:, None]
    rates = torch.exp(torch.arange(0, width, 2, device=like.device, dtype=torch.float32) * (-math.log(1e4) / width))
    waves = torch.stack([torch.sin(places * rates), torch.cos(places * rates)], dim=-1).flatten(1)
    return waves[:, :width].to(like.dtype)
