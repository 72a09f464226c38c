"""SynFlow on deep networks, whose scores come near the end of float32's range or pass it."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from bench.masks.exact import cut, kept
from bench.masks.scoring import score
from bench.steps import Score
from pruners.allocation import global_
from pruners.base import View
from pruners.criteria.synflow import SynFlow
from pruners.structure import weights as single


class Block(nn.Module):
    """Two convolutions around a shortcut (He et al. 2016, for CIFAR)."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        stride = 2 if width > channels else 1
        self.body = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.BatchNorm2d(width),
        )
        self.way = nn.Conv2d(channels, width, 1, stride, bias=False) if width > channels else nn.Identity()

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.relu(self.body(inputs) + self.way(inputs))


def resnet110() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    channels = 16
    for width in (16, 32, 64):
        for _ in range(18):
            layers.append(Block(channels, width))
            channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def vgg19() -> nn.Module:
    layers: list[nn.Module] = []
    channels = 3
    widths: Sequence[int] = [64, 64, 0, 128, 128, 0, *[256] * 4, 0, *[512] * 4, 0, *[512] * 4]
    for width in widths:
        if width:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        else:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(512, 10))


def view_of(model: nn.Module) -> View:
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
    return View(
        model=model.eval(),
        weights={name: parameter for name, parameter in model.named_parameters() if parameter.dim() > 1},
        masks={},
        batches=lambda: iter(()),
        forward=lambda model, batch: model(batch["x"]),
        loss=lambda outputs, batch: outputs.mean(),
        example={"x": torch.zeros(1, 3, 32, 32)},
        generator=torch.Generator(),
    )


@pytest.mark.parametrize(("build", "beyond"), [(vgg19, 1e23), (resnet110, 3.4e38)])
def test_scores_of_deep_networks_are_finite_and_cut_exactly(build, beyond: float) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    view = view_of(build())
    scores, masks = score(Score("synflow", 1, 0, 0, 3, 0.99, "global", "weights"), SynFlow(), view, global_, single)
    assert max(float(values.max()) for values in SynFlow().score(view_of(build())).values()) > beyond
    assert all(bool(torch.isfinite(values).all()) for values in scores.values())
    final = cut(scores, masks, 0.99, global_, single)
    assert {name: mask.shape for name, mask in final.items()} == {n: w.shape for n, w in view.weights.items()}
    size = sum(values.numel() for values in scores.values())
    assert sum(int(mask.sum()) for mask in final.values()) == kept(0.99, size)
