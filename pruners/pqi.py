"""The PQ Index and the adaptive cut that it informs (Diao et al. 2023, "Pruning Deep Neural Networks from a Sparsity
Perspective", definition 1, theorem 2, algorithm 1)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from bench.steps import Option
    from pruners.base import Masks, Weights


def pq_index(magnitudes: Tensor, p: float, q: float) -> Tensor:
    """I = 1 - d^(1/q - 1/p) * norm_p / norm_q along the last dimension, 0 < p < q; in [0, 1), larger = sparser.

    ``magnitudes`` (..., d) are absolute values; a vector of zeros has index 0. Scale-invariant: the largest magnitude
    is divided out first, so that small weights do not underflow.
    """
    import torch

    size = magnitudes.shape[-1]
    values = magnitudes.double()
    largest = values.amax(-1, keepdim=True)
    values = values / torch.where(largest > 0, largest, torch.ones_like(largest))
    norm_p = values.pow(p).sum(-1).pow(1 / p)
    norm_q = values.pow(q).sum(-1).pow(1 / q)
    index = 1 - size ** (1 / q - 1 / p) * norm_p / norm_q
    return torch.where(norm_q > 0, index, torch.zeros_like(index)).clamp(min=0)


def retained(d: int, index: float, p: float, q: float, eta: float) -> float:
    """Weights to keep at least: m = d (1 + eta)^(-q/(q-p)) (1 - I)^(pq/(q-p)) (theorem 2)."""
    return float(d * (1 + eta) ** (-q / (q - p)) * (1 - index) ** (p * q / (q - p)))


def pruned(d: int, index: float, p: float, q: float, eta: float, gamma: float, beta: float) -> int:
    """Weights to cut of d: floor(d * min(gamma (1 - m/d), beta)) (algorithm 1)."""
    if d == 0:
        return 0
    return math.floor(d * min(gamma * (1 - retained(d, index, p, q, eta) / d), beta))


def pqi(weights: Weights, masks: Masks, options: Mapping[str, Option]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Cuts, in each neuron, each layer or over all layers (``scope``), the smallest of the surviving magnitudes, as
    many as their PQ Index allows. Facts: the index by layer (its mean over neurons there), its mean over layers, what
    was cut, and the density left."""
    import torch

    scope = str(options["scope"])
    p, q, eta, gamma, beta = (float(options[name] or 0) for name in ("p", "q", "eta", "gamma", "beta"))
    left = {
        name: masks.get(name, torch.ones_like(weight, dtype=torch.bool)).clone() for name, weight in weights.items()
    }
    found: dict[str, list[float]] = {}
    cut = 0
    for group in _groups(weights, left, scope):
        values = torch.cat([weights[name].detach()[where].abs().double() for name, where in group])
        index = float(pq_index(values, p, q)) if len(values) else 0.0
        for name, _ in group:
            found.setdefault(name, []).append(index)
        number = pruned(len(values), index, p, q, eta, gamma, beta)
        cut += number
        _drop_smallest(group, values, left, number)
    by_layer = {name: sum(values) / len(values) for name, values in found.items()}
    alive, total = sum(int(mask.sum()) for mask in left.values()), sum(mask.numel() for mask in left.values())
    facts = {
        "pqi": sum(by_layer.values()) / len(by_layer),
        "pqi_by_layer": by_layer,
        "cut": cut,
        "density": alive / total,
    }
    return left, facts


def _groups(weights: Weights, left: Mapping[str, Tensor], scope: str) -> list[list[tuple[str, Tensor]]]:
    """Layers and positions (as ``nonzero`` gives them) of the surviving weights of each vector that has an index."""
    import torch

    whole = [(name, torch.nonzero(left[name], as_tuple=True)) for name in weights]
    if scope == "global":
        return [whole]  # type: ignore[list-item]
    if scope == "layer":
        return [[one] for one in whole]  # type: ignore[list-item]
    groups: list[list[tuple[str, Any]]] = []
    for name, where in whole:
        counts = torch.bincount(where[0], minlength=len(weights[name]))
        starts = torch.cumsum(counts, 0) - counts
        for start, count in zip(starts.tolist(), counts.tolist(), strict=True):
            groups.append([(name, tuple(axis[start : start + count] for axis in where))])
    return groups


def _drop_smallest(group: list[tuple[str, Any]], values: Tensor, left: dict[str, Tensor], number: int) -> None:
    """Masks the ``number`` smallest of ``values``; of equal ones the last go first."""
    import torch

    if number == 0:
        return
    order = torch.argsort(values, descending=True, stable=True)
    gone = torch.zeros(len(values), dtype=torch.bool)
    gone[order[len(values) - number :].cpu()] = True
    start = 0
    for name, where in group:
        part = gone[start : start + len(where[0])].to(left[name].device)
        left[name][tuple(axis[part] for axis in where)] = False
        start += len(where[0])
