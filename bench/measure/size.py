"""Stored bytes of a model, dense and compressed.

The compressed form is a safetensors file: a pruned tensor becomes ``NAME.values`` (its kept weights in flat order) and
``NAME.mask`` (one bit a weight, most significant bit first), or stays dense where that is smaller.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from bench.state import own_memory


def dense_bytes(weights: Mapping[str, Tensor]) -> int:
    """Bytes of all tensors as they are."""
    return sum(tensor.numel() * tensor.element_size() for tensor in weights.values())


def pack(weights: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of the compressed form."""
    packed: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        mask = masks.get(name)
        if mask is None:
            packed[name] = tensor.contiguous()
            continue
        values = tensor[mask]
        bits = torch.from_numpy(np.packbits(mask.cpu().numpy().reshape(-1)))
        if values.numel() * values.element_size() + bits.numel() < tensor.numel() * tensor.element_size():
            packed[f"{name}.values"], packed[f"{name}.mask"] = values, bits
        else:
            packed[name] = tensor.contiguous()
    return packed


def unpack(packed: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """The dense tensors of a packed model; ``shapes`` gives the shape of each by name."""
    weights = {}
    for name, shape in shapes.items():
        if name in packed:
            weights[name] = packed[name]
            continue
        values, bits = packed[f"{name}.values"], packed[f"{name}.mask"]
        kept = np.unpackbits(bits.cpu().numpy(), count=shape.numel()).astype(bool)
        dense = values.new_zeros(shape.numel())
        dense[torch.from_numpy(kept).to(dense.device)] = values
        weights[name] = dense.reshape(shape)
    return weights


def compressed_bytes(weights: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> int:
    """Size of the compressed form as a file, header included."""
    return len(save(own_memory(pack(weights, masks))))
