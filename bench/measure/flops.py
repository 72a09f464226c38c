"""Theoretical FLOPs of one example, dense and after pruning.

FLOPs are two per multiply-add, counted by torch's own flop counter over one forward pass. What pruning saves is a
theoretical figure: the dense FLOPs of each layer with a pruned weight, times the density of that weight; attention
products and all else stay as they are. Unstructured zeros save no time in dense kernels.
"""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

OTHER = "attention and other"


@dataclass(frozen=True)
class DenseFlops:
    """FLOPs of one forward pass of the dense model."""

    total: int
    layers: Mapping[str, tuple[str, int]]
    """Name of a weight to the type of the layer that owns it and the FLOPs of all products with it."""


def _attention(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    """Fused attention of the CPU, which torch's counter leaves out; shapes (batch, heads, length, width)."""
    return int(sdpa_flop_count(query, key, value))  # type: ignore[no-untyped-call]


def _attention_backward(grad: Any, query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
    return int(sdpa_backward_flop_count(grad, query, key, value))  # type: ignore[no-untyped-call]


_CPU_ATTENTION = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


class _ByWeight(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Ascribes what a counter counts to the parameter that an operation takes in, whole or in part.

    Going by the memory of the arguments and not by the module that runs finds a weight wherever it is used: through a
    submodule called on its own, a tied second name, or a function that takes the weights of a module (attention).
    """

    def __init__(self, model: nn.Module, counter: FlopCounterMode) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counter = counter
        self.spent: defaultdict[str, int] = defaultdict(int)
        self._places: defaultdict[int, list[tuple[range, str]]] = defaultdict(list)
        for name, parameter in model.named_parameters():
            place = range(parameter.storage_offset(), parameter.storage_offset() + parameter.numel())
            self._places[parameter.untyped_storage().data_ptr()].append((place, name))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before = self.counter.get_total_flops()
        result = func(*args, **(kwargs or {}))
        spent = self.counter.get_total_flops() - before
        if spent:
            tensors = [argument for argument in args if isinstance(argument, Tensor)]
            # The bias of a product is a parameter as well; the weight is the one of more dimensions.
            for tensor in sorted(tensors, key=Tensor.dim, reverse=True):
                name = self._name(tensor)
                if name is not None:
                    self.spent[name] += spent
                    break
        return result

    def _name(self, tensor: Tensor) -> str | None:
        places = self._places.get(tensor.untyped_storage().data_ptr(), ())
        return next((name for place, name in places if tensor.storage_offset() in place), None)


@contextmanager
def _countable(model: nn.Module) -> Iterator[None]:
    """Eval mode, with every operation in sight of the counter; each module's mode is given back."""
    modes = [(module, module.training) for module in model.modules()]
    fused = torch.backends.mha.get_fastpath_enabled()  # type: ignore[no-untyped-call]
    # Fused encoder layers and the LSTMs of oneDNN and cuDNN are single opaque calls that the counter takes for
    # nothing. Turning oneDNN off warns of Intel GPUs.
    with (
        warnings.catch_warnings(action="ignore"),
        torch.no_grad(),
        torch.backends.mkldnn.flags(enabled=False),  # type: ignore[no-untyped-call]
        torch.backends.cudnn.flags(enabled=False),  # type: ignore[no-untyped-call]
    ):
        try:
            torch.backends.mha.set_fastpath_enabled(False)  # type: ignore[no-untyped-call]
            model.eval()
            yield
        finally:
            torch.backends.mha.set_fastpath_enabled(fused)  # type: ignore[no-untyped-call]
            for module, mode in modes:
                module.training = mode


def dense_flops(model: nn.Module, forward: Callable[[], Tensor]) -> DenseFlops:
    """Counts the FLOPs of ``forward``, which runs ``model`` on one example."""
    with (
        _countable(model),
        FlopCounterMode(display=False, custom_mapping=_CPU_ATTENTION) as counter,
        _ByWeight(model, counter) as weights,
    ):
        forward()
    modules = dict(model.named_modules())
    layers = {name: (type(modules[name.rpartition(".")[0]]).__name__, spent) for name, spent in weights.spent.items()}
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
