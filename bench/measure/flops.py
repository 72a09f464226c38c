"""Theoretical FLOPs of one example, dense and after pruning.

FLOPs are two per multiply-add, counted by torch's own flop counter over one forward pass. What pruning saves is a
theoretical figure: the dense FLOPs of each layer with a pruned weight, times the density of that weight; attention
products and all else stay as they are. Unstructured zeros save no time in dense kernels.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

OTHER = "attention and other"


@dataclass(frozen=True)
class DenseFlops:
    """FLOPs of one forward pass of the dense model."""

    total: int
    layers: Mapping[str, tuple[str, int]]
    """Name of a weight to its layer's type and FLOPs; only layers without submodules that spend any."""


def _attention(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    """Fused attention of the CPU, which torch's counter leaves out; shapes (batch, heads, length, width)."""
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]


def _attention_backward(grad: Any, query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    return int(sdpa_backward_flop_count(grad, query, key, value))  # type: ignore[no-untyped-call]


_CPU_ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


def dense_flops(model: nn.Module, forward: Callable[[], Tensor]) -> DenseFlops:
    """Counts the FLOPs of ``forward``, which runs ``model`` on one example."""
    was_training = model.training
    model.eval()
    # oneDNN's LSTM is one opaque call that the counter takes for nothing. Turning it off warns of Intel GPUs.
    with (
        warnings.catch_warnings(action="ignore"),
        torch.no_grad(),
        torch.backends.mkldnn.flags(enabled=False),  # type: ignore[no-untyped-call]
        FlopCounterMode(display=False, custom_mapping=_CPU_ATTENTION) as counter,
    ):
        forward()
    model.train(was_training)
    counts = counter.get_flop_counts()
    prefix = type(model).__name__
    layers = {}
    for name, module in model.named_modules():
        spent = sum(counts.get(f"{prefix}.{name}" if name else prefix, {}).values())
        if spent and not any(module.children()):
            for weight, _ in module.named_parameters(name, recurse=False):
                if weight.rpartition(".")[2] != "bias":
                    layers[weight] = (type(module).__name__, spent)
    return DenseFlops(counter.get_total_flops(), layers)


def effective_flops(dense: DenseFlops, densities: Mapping[str, float]) -> tuple[int, dict[str, tuple[int, int]]]:
    """FLOPs left under ``densities`` (weight name to kept share), and (dense, effective) FLOPs by layer type."""
    by_type: dict[str, tuple[int, int]] = {}
    rest = dense.total
    for weight, (kind, flops) in dense.layers.items():
        before, after = by_type.get(kind, (0, 0))
        by_type[kind] = (before + flops, after + round(flops * densities.get(weight, 1.0)))
        rest -= flops
    if rest:
        by_type[OTHER] = (rest, rest)
    return sum(after for _, after in by_type.values()), by_type
