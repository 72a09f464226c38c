"""The fully connected networks for 28 x 28 digits."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from bench.masks.couplings import Coupling
from tasks.images.decoded import CLASSES
from tasks.images.units import rows

PIXELS = 28 * 28
HIDDEN = {
    "lenet-300-100": (300, 100),
    "fc": (100,) * 5,
}
"""Widths of the hidden layers: LeNet-300-100 (LeCun et al. 1998), and the ``fc`` of six layers of the code of Tanaka et
al. 2020, which the source of this task builds on."""


def perceptron(hidden: Sequence[int]) -> nn.Sequential:
    """Linear layers ``fc1``, ``fc2``, ... with ReLU between them, initialised as torch does."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    widths = (PIXELS, *hidden, CLASSES)
    for number, (before, after) in enumerate(pairwise(widths), start=1):
        layers[f"fc{number}"] = nn.Linear(before, after)
        if number <= len(hidden):
            layers[f"relu{number}"] = nn.ReLU()
    return nn.Sequential(layers)


def linear_layers(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]


def couplings(model: nn.Module) -> list[Coupling]:
    """The neurons of each hidden layer."""
    return [
        rows(layer, len(model.get_parameter(f"{layer}.bias")), reader)
        for layer, reader in pairwise(linear_layers(model))
    ]
