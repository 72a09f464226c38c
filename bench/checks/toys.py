"""The networks that criteria are checked on: small, and each with one trait that plug-ins stumble over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pruners.base import View

CLASSES = 3
SIZES = (5, 3)
"""Examples a scoring batch: unequal, so that no criterion counts on a size."""


class Convolution(nn.Module):
    """Convolution, batch norm with running statistics, dropout, linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(96, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        hidden = torch.relu(self.norm(self.conv(inputs.view(-1, 2, 4, 4))))
        classes: Tensor = self.head(self.dropout(hidden.flatten(1)))
        return classes


class Tied(nn.Module):
    """Two linear layers that share one matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(32, 32), nn.Linear(32, 32)
        self.second.weight = self.first.weight
        self.head = nn.Linear(32, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        classes: Tensor = self.head(torch.relu(self.second(torch.relu(self.first(inputs)))))
        return classes


class Idle(nn.Module):
    """A linear layer that the forward pass leaves out."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(32, 16)
        self.idle = nn.Linear(32, 16)
        self.head = nn.Linear(16, CLASSES)

    def forward(self, inputs: Tensor) -> Tensor:
        classes: Tensor = self.head(torch.relu(self.body(inputs)))
        return classes


@dataclass(frozen=True)
class Toy:
    """A network and what is special about it."""

    title: str
    build: Callable[[], nn.Module]
    idle: str = ""
    """A weight that nothing is computed from: a criterion may refuse it by name."""


TOYS = (
    Toy("a model with a convolution and a batch norm", Convolution),
    Toy("a model with tied weights", Tied),
    Toy("a model with a module that is not called", Idle, idle="idle.weight"),
)


def view_of(toy: Toy, seed: int = 0) -> View:
    """What a criterion is shown of the toy: the same each time, but for torch's global generator, which is elsewhere
    each time ``seed`` is."""
    torch.manual_seed(0)
    model = toy.build().eval()
    shown = [{"x": torch.randn(size, 32), "y": torch.randint(CLASSES, (size,))} for size in SIZES]
    torch.manual_seed(seed)

    def batches() -> Iterator[Mapping[str, Tensor]]:
        return iter(shown)

    return View(
        model=model,
        weights={name: weight for name, weight in model.named_parameters() if weight.dim() > 1},
        masks={},
        batches=batches,
        forward=lambda model, batch: model(batch["x"]),
        loss=lambda outputs, batch: nn.functional.cross_entropy(outputs, batch["y"]),
        example={name: values[:1] for name, values in shown[0].items()},
        generator=torch.Generator().manual_seed(7),
    )
