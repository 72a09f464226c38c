"""The convolutional networks for 32 x 32 pictures."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.masks.couplings import Coupling
from tasks.images.decoded import CLASSES
from tasks.images.units import rows

SIDE = 32
WIDTHS = {"conv": 32, "vgg16-bn": 64, "resnet20": 16, "resnet18": 64}
"""Filters of each model's first convolution; those of all later ones are multiples of it."""
POOLING = 0
VGG16 = (1, 1, POOLING, 2, 2, POOLING, 4, 4, 4, POOLING, 8, 8, 8, POOLING, 8, 8, 8)
"""Filters of each convolution, in multiples of the first (Simonyan & Zisserman 2015, configuration D)."""


def build(model: str, width: int) -> nn.Module:
    """The named model, with its own width where ``width`` is 0, channels last in memory.

    The layout is a property of the weights' strides alone: copies keep it, files do not know of it.
    """
    made = _BUILDERS[model](width or WIDTHS[model])
    made.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return made


def conv(width: int) -> nn.Sequential:
    """The ``conv`` of the code of Tanaka et al. 2020: two 3 x 3 convolutions, with ReLU and without pooling, then a
    linear layer on all that they give; initialised as torch does."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, before in enumerate((3, width), start=1):
        layers[f"conv{number}"] = nn.Conv2d(before, width, 3, padding=1)
        layers[f"relu{number}"] = nn.ReLU()
    layers["flatten"] = nn.Flatten()
    layers["classifier"] = nn.Linear(width * SIDE * SIDE, CLASSES)
    return nn.Sequential(layers)


def vgg16_bn(width: int) -> nn.Sequential:
    """VGG-16 for CIFAR-10 (Liu et al. 2019; Frankle et al. 2020): 13 convolutions without biases, each followed by a
    batch norm, and one linear layer on the mean of the last 2 x 2 places."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    before = 3
    for place, factor in enumerate(VGG16, start=1):
        if factor == POOLING:
            layers[f"pool{place}"] = nn.MaxPool2d(2)
            continue
        layers[f"conv{place}"] = nn.Conv2d(before, factor * width, 3, padding=1, bias=False)
        layers[f"norm{place}"] = nn.BatchNorm2d(factor * width)
        layers[f"relu{place}"] = nn.ReLU()
        before = factor * width
    layers["mean"] = nn.AvgPool2d(2)
    layers["flatten"] = nn.Flatten()
    layers["classifier"] = nn.Linear(before, CLASSES)
    return _kaiming(nn.Sequential(layers))


def resnet20(width: int) -> nn.Sequential:
    """ResNet-20 for CIFAR-10 (He et al. 2016, section 4.2): three stages of three blocks, shortcuts of option A, which
    have no weights."""
    return _resnet((width, 2 * width, 4 * width), blocks=3, project=False)


def resnet18(width: int) -> nn.Sequential:
    """ResNet-18 (He et al. 2016, table 1) with a first convolution of 3 x 3 and stride 1 and no pooling after it, as
    32 x 32 pictures want it; shortcuts of option B, 1 x 1 convolutions where the shape changes."""
    return _resnet((width, 2 * width, 4 * width, 8 * width), blocks=2, project=True)


def _resnet(widths: tuple[int, ...], *, blocks: int, project: bool) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict(
        conv=nn.Conv2d(3, widths[0], 3, padding=1, bias=False), norm=nn.BatchNorm2d(widths[0]), relu=nn.ReLU()
    )
    before = widths[0]
    for stage, width in enumerate(widths, start=1):
        for block in range(1, blocks + 1):
            stride = 2 if stage > 1 and block == 1 else 1
            layers[f"stage{stage}_block{block}"] = Block(before, width, stride, project=project)
            before = width
    layers["mean"] = nn.AdaptiveAvgPool2d(1)
    layers["flatten"] = nn.Flatten()
    layers["classifier"] = nn.Linear(before, CLASSES)
    return _kaiming(nn.Sequential(layers))


class Block(nn.Module):
    """Two 3 x 3 convolutions with batch norms, and a shortcut around them (He et al. 2016, figure 2)."""

    def __init__(self, before: int, width: int, stride: int, *, project: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.shortcut: nn.Module = nn.Identity()
        if before != width or stride != 1:
            self.shortcut = Projection(before, width, stride) if project else Padding(width - before, stride)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = functional.relu(self.norm1(self.conv1(inputs)))
        return functional.relu(self.norm2(self.conv2(hidden)) + self.shortcut(inputs))


class Padding(nn.Module):
    """Option A: every ``stride``-th place, and zeros for the channels that are new."""

    def __init__(self, new: int, stride: int) -> None:
        super().__init__()
        self.new, self.stride = new, stride

    def forward(self, inputs: Tensor) -> Tensor:
        return functional.pad(inputs[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new))


class Projection(nn.Module):
    """Option B: a 1 x 1 convolution with a batch norm."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, width, 1, stride, bias=False)
        self.norm = nn.BatchNorm2d(width)

    def forward(self, inputs: Tensor) -> Tensor:
        projected: Tensor = self.norm(self.conv(inputs))
        return projected


_BUILDERS = {"conv": conv, "vgg16-bn": vgg16_bn, "resnet20": resnet20, "resnet18": resnet18}


def _kaiming(model: nn.Sequential) -> nn.Sequential:
    """Weights of standard deviation sqrt(2 / inputs) (He et al. 2015), zero biases; norms as torch starts them."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model


def weights(model: nn.Module) -> list[str]:
    """Full names of the weights of all convolutions and linear layers, shortcuts and classifier among them."""
    return [f"{name}.weight" for name, module in model.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]


def couplings(model: nn.Module) -> list[Coupling]:
    """The filters whose outputs one layer alone reads: of every layer of a plain network, of the first convolution of
    each residual block. The others are added to a shortcut, which all blocks of a stage share."""
    blocks = [name for name, module in model.named_modules() if isinstance(module, Block)]
    if blocks:
        return [_filters(model, f"{block}.conv1", f"{block}.conv2", norm=f"{block}.norm1") for block in blocks]
    layers = [name.removesuffix(".weight") for name in weights(model)]
    normed = isinstance(model, nn.Sequential) and any(isinstance(module, nn.BatchNorm2d) for module in model)
    return [
        _filters(model, layer, reader, norm=layer.replace("conv", "norm") if normed else None)
        for layer, reader in pairwise(layers)
    ]


def _filters(model: nn.Module, layer: str, reader: str, *, norm: str | None) -> Coupling:
    units, inputs = model.get_parameter(f"{layer}.weight").shape[0], model.get_parameter(f"{reader}.weight").shape[1]
    return rows(layer, units, reader, norm=norm, places=inputs // units)
