"""Measured latency of one forward pass, by back-end.

What a forward pass takes on this machine, and no theory: it stands in columns of its own, never beside theoretical
FLOPs. The back-ends take turns, one pass each a round, so that what disturbs the machine disturbs all of them alike.

    dense          the pruned model's shapes with no weight zero
    masked dense   the pruned model as it is: zeros at full cost
    CSR            each linear layer with a mask as ``W_csr @ x.T``
    units removed  the smaller dense model, where units were removed
    dense float16, 2:4 float16
                   on a GPU: half precision, without and with the semi-structured kernels of 2:4 masks

A task may add work of its own after the forward pass (a search in an index), under names of its own.
"""

from __future__ import annotations

import copy
import statistics
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from bench.masks import compact
from bench.masks.structures import couplings
from bench.masks.units import kept_units
from bench.provenance import device_name

if TYPE_CHECKING:
    from tasks.base import Batch, Task

ROUNDS = 30
WARM_UP = 3
LONGEST = 20.0
"""Seconds after which no further round begins; fewer rounds than ``FEWEST`` are never taken."""
FEWEST = 5


@dataclass(frozen=True)
class Latency:
    """Milliseconds of one forward pass on one back-end."""

    backend: str
    median: float
    lower: float
    """First quartile."""
    upper: float
    """Third quartile."""


class CsrLinear(nn.Module):
    """A linear layer of a sparse weight: ``W_csr @ x.T``, as ``F.linear`` on CSR is far slower."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.outputs = layer.out_features
        with warnings.catch_warnings(action="ignore"):  # torch calls CSR a beta
            self.register_buffer("weight", layer.weight.detach().to_sparse_csr(), persistent=False)
        self.register_buffer("bias", None if layer.bias is None else layer.bias.detach(), persistent=False)

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs of shape (..., out) of inputs (..., in)."""
        rows = inputs.reshape(-1, inputs.shape[-1])
        outputs: Tensor = (self.weight @ rows.T).T
        if self.bias is not None:
            outputs = outputs + self.bias
        return outputs.reshape(*inputs.shape[:-1], self.outputs)


def measure(
    task: Task, model: nn.Module, masks: Mapping[str, Tensor], batch: Batch, device: torch.device
) -> dict[str, Any]:
    """Latency of the pruned ``model`` on ``batch``, as plain data: ``batch_size``, ``threads``, ``device``, ``rounds``,
    under ``backends`` one object each, and under ``left_out`` why a back-end cannot run this model, which stays as it
    is."""
    models = variants(task, model, masks, device)
    passes = {name: _pass(task, variant, _cast(batch, name), device) for name, variant in models.items()}
    with torch.inference_mode():
        examples = len(task.forward(models["dense"], batch))
    passes |= _beyond(task, model, examples)
    left_out = {name: reason for name, one in passes.items() if (reason := _refusal(one)) is not None}
    times = turns({name: one for name, one in passes.items() if name not in left_out})
    return {
        "batch_size": examples,
        "threads": torch.get_num_threads(),
        "device": device_name(device),
        "rounds": len(next(iter(times.values()))),
        "backends": [asdict(summarised(name, values)) for name, values in times.items()],
        "left_out": left_out,
    }


def _beyond(task: Task, model: nn.Module, examples: int) -> Mapping[str, Callable[[], None]]:
    """What else the task wants timed, by name."""
    offered = getattr(task, "timed", None)
    if offered is None:
        return {}
    with torch.inference_mode():
        found: Mapping[str, Callable[[], None]] = offered(model, examples)
    return found


def variants(task: Task, model: nn.Module, masks: Mapping[str, Tensor], device: torch.device) -> dict[str, nn.Module]:
    """The models that are measured, by back-end, in eval mode; of a dense model itself alone."""
    found = {"dense": _filled(model, masks)}
    if masks:
        found["masked dense"] = copy.deepcopy(model)
        csr = _csr(model, masks)
        if csr is not None:
            found["CSR"] = csr
    units = couplings(task, model)
    kept = kept_units(masks, units)
    kinds = sorted({unit.kind for unit in units if not bool(kept[unit.name].all())})
    if kinds:
        found[f"{' and '.join(kinds)} removed"] = compact.without(model, kept, units, task)
    if device.type == "cuda":
        semi = semi_structured(model, masks)
        if semi is not None:
            found["dense float16"] = _filled(model, masks).half()
            found["2:4 float16"] = semi
    return {name: variant.eval() for name, variant in found.items()}


def semi_structured(model: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module | None:
    """The model in half precision with torch's semi-structured weights wherever a mask has 2 of each 4 inputs and the
    kernels take the shape; None where there is no such layer."""
    from torch.sparse import to_sparse_semi_structured

    half, changed = copy.deepcopy(model).half(), False
    for name, layer in half.named_modules():
        mask = masks.get(f"{name}.weight")
        if not isinstance(layer, nn.Linear) or mask is None or not _two_of_four(mask):
            continue
        try:
            layer.weight = nn.Parameter(to_sparse_semi_structured(layer.weight.detach()), requires_grad=False)
        except (RuntimeError, ValueError):  # a shape that the kernels don't take stays dense
            continue
        changed = True
    return half if changed else None


def turns(passes: Mapping[str, Callable[[], None]]) -> dict[str, list[float]]:
    """Milliseconds of each pass, one of each in turn, after some that do not count."""
    for _ in range(WARM_UP):
        for one in passes.values():
            one()
    times: dict[str, list[float]] = {name: [] for name in passes}
    began = time.perf_counter()
    for done in range(ROUNDS):
        if done >= FEWEST and time.perf_counter() - began > LONGEST:
            break
        for name, one in passes.items():
            start = time.perf_counter()
            one()
            times[name].append(1000 * (time.perf_counter() - start))
    return times


def summarised(backend: str, times: Sequence[float]) -> Latency:
    """Median and quartiles of two or more times."""
    lower, median, upper = statistics.quantiles(times, n=4, method="inclusive")
    return Latency(backend, round(median, 4), round(lower, 4), round(upper, 4))


def _refusal(one: Callable[[], None]) -> str | None:
    """Why a back-end does not take the model (a kernel that lacks a shape or a type); None where it runs."""
    try:
        one()
    except (RuntimeError, NotImplementedError, TypeError) as error:
        return " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return None


def _pass(task: Task, model: nn.Module, batch: Batch, device: torch.device) -> Callable[[], None]:
    def once() -> None:
        with torch.inference_mode():
            task.forward(model, batch)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return once


def _filled(model: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module:
    """The model with drawn numbers where its masked weights are zero."""
    dense = copy.deepcopy(model)
    draw = torch.Generator().manual_seed(0)
    parameters = dict(dense.named_parameters())
    with torch.no_grad():
        for name, mask in masks.items():
            noise = 0.01 * torch.randn(mask.shape, generator=draw)
            parameters[name].copy_(torch.where(mask, parameters[name], noise.to(parameters[name])))
    return dense


def _csr(model: nn.Module, masks: Mapping[str, Tensor]) -> nn.Module | None:
    """The model with its masked linear layers in CSR; None where it has none, or they are used in ways of their own."""
    sparse, changed = copy.deepcopy(model), False
    for name, layer in list(sparse.named_modules()):
        if isinstance(layer, nn.Linear) and f"{name}.weight" in masks and name:
            owner = sparse.get_submodule(name.rpartition(".")[0])
            setattr(owner, name.rpartition(".")[2], CsrLinear(layer))
            changed = True
    return sparse if changed else None


def _two_of_four(mask: Tensor) -> bool:
    return mask.shape[1] % 4 == 0 and bool((mask.reshape(mask.shape[0], -1, 4).sum(-1) <= 2).all())


def _cast(batch: Batch, backend: str) -> Batch:
    """Floating-point inputs in the precision of the back-end."""
    if not backend.endswith("float16"):
        return batch
    return {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in batch.items()}
