"""Attention over stored keys and values: in plain products where derivatives are wanted, fused where none are.

The fused kernels have no second derivative on the CPU, and GraSP needs one. Queries, keys and values have a weight
matrix each, ``q_proj``, ``k_proj``, ``v_proj``, so that each can be pruned, and its heads removed, by name.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

KeysValues = tuple[Tensor, Tensor]
"""Keys and values, each of shape (rows, heads, positions, width of a head)."""


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al. 2017, section 3.2), with biases and dropout on the attention weights."""

    def __init__(self, d_model: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(d_model, d_model)
        self.k_proj = nn.Linear(d_model, d_model)
        self.v_proj = nn.Linear(d_model, d_model)
        self.out_proj = nn.Linear(d_model, d_model)
        self.dropout = nn.Dropout(dropout)

    def _apart(self, states: Tensor) -> Tensor:
        """(rows, positions, d) to (rows, heads, positions, d / heads)."""
        return states.reshape(*states.shape[:2], self.heads, states.shape[2] // self.heads).transpose(1, 2)

    def keys_values(self, states: Tensor) -> KeysValues:
        """Keys and values of ``states``, shape (rows, positions, d); contiguous, or each product would copy them."""
        return self._apart(self.k_proj(states)).contiguous(), self._apart(self.v_proj(states)).contiguous()

    def _found(self, queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None) -> Tensor:
        if not (self.training or torch.is_grad_enabled()):
            return functional.scaled_dot_product_attention(queries, keys, values, bias)
        scores = (queries * queries.shape[-1] ** -0.5) @ keys.transpose(2, 3)
        if bias is not None:
            scores = scores + bias
        found: Tensor = self.dropout(scores.softmax(-1)) @ values
        return found

    def forward(self, states: Tensor, keys_values: KeysValues, bias: Tensor | None) -> Tensor:
        """What the positions of ``states``, shape (rows, queries, d), find, in the same shape.

        Keys and values may belong to fewer rows: ``beams`` rows of ``states`` in succession then share one. ``bias``,
        broadcast to (rows, heads, queries, keys), is minus infinity where a key is not to be seen.
        """
        keys, values = keys_values
        queries = self._apart(self.q_proj(states))
        beams = len(queries) // len(keys)
        if beams > 1:  # one query each: the beams of a sentence stand as its queries
            queries = queries.reshape(len(keys), beams, *queries.shape[1::2]).transpose(1, 2)
        found = self._found(queries, keys, values, bias)
        joined = found.transpose(1, 2).flatten(2)
        output: Tensor = self.out_proj(joined.flatten(0, 1).unsqueeze(1) if beams > 1 else joined)
        return output


def padding_bias(ids: Tensor, pad: int) -> Tensor:
    """Minus infinity at padding, zero elsewhere: (rows, positions) to (rows, 1, 1, positions)."""
    return torch.zeros(ids.shape, device=ids.device).masked_fill_(ids == pad, -torch.inf)[:, None, None, :]


def causal_bias(positions: int, device: torch.device) -> Tensor:
    """Minus infinity above the diagonal, shape (positions, positions): no position sees a later one."""
    return torch.full((positions, positions), -torch.inf, device=device).triu_(1)
