"""FLOPs of each image network, of attention and of grouped convolutions: as counted by hand, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from bench.data import Memory
from bench.measure.flops import OTHER, dense_flops, effective_flops
from tasks.cifar10 import Cifar10, Cifar10Options
from tasks.mnist import Mnist, MnistOptions


def conv(places: int, inputs: int, outputs: int, kernel: int = 9, groups: int = 1) -> int:
    """Two per multiply-add: at each output place, each output channel takes the kernel over its group's inputs."""
    return 2 * places * outputs * (inputs // groups) * kernel


def linear(*widths: int, rows: int = 1) -> int:
    """A chain of linear layers applied to so many rows; biases are not counted."""
    return sum(2 * rows * before * after for before, after in pairwise(widths))


def stage(side: int, before: int, width: int, convolutions: int, *, projected: bool) -> int:
    """A ResNet's stage: all convolutions at its own resolution, the first reads the stage before; a 1 x 1 shortcut."""
    found = conv(side * side, before, width) + (convolutions - 1) * conv(side * side, width, width)
    return found + (conv(side * side, before, width, kernel=1) if projected else 0)


@dataclass(frozen=True)
class Counted:
    """A network, and its FLOPs by type of layer as counted by hand."""

    made: Callable[[], tuple[nn.Module, Callable[[nn.Module], Tensor]]]
    by_type: Mapping[str, int]


def mnist(model: str) -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    task = Mnist(Memory("mnist", Mnist.sample()), MnistOptions(model))
    return task.build(0), lambda made: task.forward(made, task.example())


def cifar10(model: str) -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    task = Cifar10(Memory("cifar10", Cifar10.sample()), Cifar10Options(model))
    return task.build(0), lambda made: task.forward(made, task.example())


def grouped() -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    """256 channels in 32 groups, kernel 31, over 40 places, as in a conformer block; then a group for each channel."""
    made = nn.Sequential(nn.Conv1d(256, 256, 31, padding=15, groups=32), nn.Conv1d(256, 256, 5, padding=2, groups=256))
    return made, lambda module: module(torch.rand(1, 256, 40))


def attention() -> tuple[nn.Module, Callable[[nn.Module], Tensor]]:
    """Self-attention of 12 tokens, 64 wide, 4 heads."""
    made = nn.MultiheadAttention(64, 4, batch_first=True)
    tokens = torch.rand(1, 12, 64)
    return made, lambda module: module(tokens, tokens, tokens, need_weights=False)[0]


HAND = {
    "lenet-300-100": Counted(lambda: mnist("lenet-300-100"), {"Linear": linear(784, 300, 100, 10)}),
    "fc": Counted(lambda: mnist("fc"), {"Linear": linear(784, 100, 100, 100, 100, 100, 10)}),
    "conv": Counted(
        lambda: cifar10("conv"),
        {"Conv2d": conv(32 * 32, 3, 32) + conv(32 * 32, 32, 32), "Linear": linear(32 * 32 * 32, 10)},
    ),
    "vgg16-bn": Counted(
        lambda: cifar10("vgg16-bn"),
        {
            "Conv2d": conv(1024, 3, 64)
            + conv(1024, 64, 64)
            + conv(256, 64, 128)
            + conv(256, 128, 128)
            + conv(64, 128, 256)
            + 2 * conv(64, 256, 256)
            + conv(16, 256, 512)
            + 2 * conv(16, 512, 512)
            + 3 * conv(4, 512, 512),
            "Linear": linear(512, 10),
        },
    ),
    "resnet20": Counted(
        lambda: cifar10("resnet20"),
        {
            "Conv2d": conv(1024, 3, 16)
            + 6 * conv(1024, 16, 16)
            + stage(16, 16, 32, 6, projected=False)
            + stage(8, 32, 64, 6, projected=False),
            "Linear": linear(64, 10),
        },
    ),
    "resnet18": Counted(
        lambda: cifar10("resnet18"),
        {
            "Conv2d": conv(1024, 3, 64)
            + 4 * conv(1024, 64, 64)
            + stage(16, 64, 128, 4, projected=True)
            + stage(8, 128, 256, 4, projected=True)
            + stage(4, 256, 512, 4, projected=True),
            "Linear": linear(512, 10),
        },
    ),
    "grouped convolutions": Counted(
        grouped, {"Conv1d": conv(40, 256, 256, kernel=31, groups=32) + conv(40, 256, 256, kernel=5, groups=256)}
    ),
    "attention": Counted(
        attention,
        {
            "MultiheadAttention": linear(64, 3 * 64, rows=12),
            "NonDynamicallyQuantizableLinear": linear(64, 64, rows=12),
            # Q K^T and the weighted sum of V: each 12 x 12 x 16 multiply-adds a head.
            OTHER: 2 * 2 * 4 * 12 * 12 * 16,
        },
    ),
}
"""Network to hand count. Batch norms, ReLU, pooling, biases and shortcuts without weights count nothing."""

PUBLISHED = {"vgg16-bn": 313e6, "resnet20": 41e6, "resnet18": 556e6}
"""Multiply-adds that papers and common ports give for 32 x 32 images."""


@pytest.mark.parametrize("name", HAND)
def test_flops_are_those_counted_by_hand(name: str) -> None:
    model, forward = HAND[name].made()
    found = dense_flops(model, lambda: forward(model))
    assert {kind: before for kind, (before, _) in effective_flops(found, {})[1].items()} == HAND[name].by_type
    assert found.total == sum(HAND[name].by_type.values())


@pytest.mark.parametrize("name", PUBLISHED)
def test_hand_counts_are_near_what_is_published(name: str) -> None:
    assert sum(HAND[name].by_type.values()) / 2 == pytest.approx(PUBLISHED[name], rel=0.02)
