"""Physical removal: a model without its masked units, of smaller dense tensors, with the masked model's outputs.

The rest of a model does not change: what is removed are the slices that a task's couplings name. Saved as safetensors,
with the units that stayed in the metadata, so that a freshly built model can be made to fit.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from bench.errors import UsageError
from bench.masks.couplings import Coupling
from bench.masks.units import indices, kept_units
from bench.state import live_tensors, own_memory, restore

if TYPE_CHECKING:
    from tasks.base import Task


def compact(model: nn.Module, masks: Mapping[str, Tensor], couplings: Sequence[Coupling], task: Task) -> nn.Module:
    """A copy of ``model`` without the units that ``masks`` leave nothing of; its masked weights are zero."""
    return without(model, kept_units(masks, couplings), couplings, task)


def without(model: nn.Module, kept: Mapping[str, Tensor], couplings: Sequence[Coupling], task: Task) -> nn.Module:
    """A copy of ``model`` with the units ``kept`` alone: boolean, of shape (units,), by name of the coupling."""
    small = copy.deepcopy(model)
    for name, axes in _indices(small, kept, couplings).items():
        _narrow(small, name, axes)
    narrowed = getattr(task, "narrowed", None)
    if narrowed is not None:
        narrowed(small, kept)
    return small


def file_of(model: nn.Module, kept: Mapping[str, Tensor]) -> bytes:
    """The compact ``model`` as a safetensors file, tied tensors once, the units it kept in its metadata."""
    units = {name: np.flatnonzero(there.numpy()).tolist() for name, there in kept.items()}
    sizes = {name: len(there) for name, there in kept.items()}
    metadata = {"format": "pt", "units": json.dumps({"kept": units, "of": sizes})}
    tensors = {name: tensor.detach().cpu() for name, tensor in live_tensors(model).items()}
    content: bytes = save(own_memory(tensors), metadata=metadata)
    return content


def load(path: Path, model: nn.Module, couplings: Sequence[Coupling], task: Task) -> nn.Module:
    """The compact model in the file ``path``; ``model`` is one as the task builds it, and is left as it is."""
    with safe_open(path, framework="pt") as file:
        units = json.loads((file.metadata() or {}).get("units", "null"))
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - a file, not a mapping
    if units is None or units["of"] != {coupling.name: coupling.units for coupling in couplings}:
        raise UsageError("is no compact form of this model", where=str(path), mend="Build the model that it came from.")
    kept = {name: torch.zeros(size, dtype=torch.bool) for name, size in units["of"].items()}
    for name, there in units["kept"].items():
        kept[name][there] = True
    small = without(model, kept, couplings, task)
    restore(small, tensors)
    return small


def _indices(
    model: nn.Module, kept: Mapping[str, Tensor], couplings: Sequence[Coupling]
) -> dict[str, dict[int, Tensor]]:
    """By parameter and axis, the indices that stay (boolean)."""
    shapes = {name: parameter.shape for name, parameter in model.named_parameters()}
    found: dict[str, dict[int, Tensor]] = {}
    for coupling in couplings:
        there = kept[coupling.name]
        for part in coupling.slices:
            axes = found.setdefault(part.parameter, {})
            along = indices(there, part.start, part.width, shapes[part.parameter][part.axis])
            axes[part.axis] = axes[part.axis] & along if part.axis in axes else along
    return {name: axes for name, axes in found.items() if not all(bool(along.all()) for along in axes.values())}


def _narrow(model: nn.Module, name: str, axes: Mapping[int, Tensor]) -> None:
    """Takes the indices out of one parameter, and out of the buffers of its batch norm."""
    owner = model.get_submodule(name.rpartition(".")[0])
    old = owner.get_parameter(name.rpartition(".")[2])
    new = old.detach()
    for axis, along in axes.items():
        new = new.index_select(axis, along.nonzero().flatten().to(new.device))
    smaller = nn.Parameter(new.contiguous(), requires_grad=old.requires_grad)
    for module in model.modules():  # a tied parameter has several owners
        for attribute, parameter in list(module.named_parameters(recurse=False)):
            if parameter is old:
                setattr(module, attribute, smaller)
                _fit(module, axes)


def _fit(module: Any, axes: Mapping[int, Tensor]) -> None:
    """What a layer says of its own size, brought up to date."""
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, _ConvNd):
        module.out_channels, module.in_channels = module.weight.shape[:2]
    elif isinstance(module, nn.Embedding):
        module.num_embeddings, module.embedding_dim = module.weight.shape
    elif isinstance(module, _BatchNorm):
        along = axes[0].nonzero().flatten()
        module.num_features = len(along)
        for name in ("running_mean", "running_var"):
            buffer = getattr(module, name)
            if buffer is not None and len(buffer) == len(axes[0]):
                setattr(module, name, buffer[along.to(buffer.device)].clone())
