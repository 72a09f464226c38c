"""Small networks in float64, each as the view that a criterion is shown, and formulas computed another way."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from pruners.base import View

SIZES = (3, 5)
"""Unequal batches, so that a mean over batches differs from a mean over examples."""


class Attention(nn.Module):
    """Tokens > embeddings > one block of fused attention and feed-forward > classes."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = nn.Embedding(11, 8)
        self.qkv = nn.Linear(8, 24)
        self.mix = nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8)
        self.up = nn.Linear(8, 12)
        self.out = nn.Linear(12, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.tokens(tokens)
        q, k, v = (part.unflatten(-1, (2, 4)).transpose(1, 2) for part in self.qkv(hidden).chunk(3, dim=-1))
        mixed = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        hidden = self.norm(hidden + self.mix(mixed))
        return self.out(torch.tanh(self.up(hidden))).mean(1)


def mlp() -> tuple[nn.Module, Callable[[int], Tensor]]:
    return nn.Sequential(nn.Linear(6, 9), nn.Tanh(), nn.Linear(9, 3)), lambda size: torch.randn(size, 6).double()


def conv() -> tuple[nn.Module, Callable[[int], Tensor]]:
    norm = nn.BatchNorm2d(4)
    assert norm.running_mean is not None and norm.running_var is not None
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), norm, nn.Tanh(), nn.Flatten(), nn.Linear(64, 3))
    return model, lambda size: torch.randn(size, 2, 4, 4).double()


def transformer() -> tuple[nn.Module, Callable[[int], Tensor]]:
    return Attention(), lambda size: torch.randint(11, (size, 5))


NETWORKS = {"mlp": mlp, "conv": conv, "transformer": transformer}


def view_of(name: str, seed: int = 0) -> View:
    """The network's view: weights of Linear and Conv layers, two batches of unequal size, cross entropy."""
    torch.manual_seed(seed)
    model, inputs = NETWORKS[name]()
    model = model.double().eval()
    batches = [{"x": inputs(size), "y": torch.randint(3, (size,))} for size in SIZES]
    weights = {
        f"{path}.weight": module.weight
        for path, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d)
    }
    return View(
        model=model,
        weights=weights,
        masks={},
        batches=lambda: iter(batches),
        forward=lambda model, batch: model(batch["x"]),
        loss=lambda outputs, batch: nn.functional.cross_entropy(outputs, batch["y"]),
        example={"x": batches[0]["x"][:1], "y": batches[0]["y"][:1]},
        generator=torch.Generator().manual_seed(seed),
    )


def vector(parts: dict[str, Tensor]) -> Tensor:
    return torch.cat([part.detach().double().reshape(-1) for part in parts.values()])


def example_gradients(view: View, temperature: float = 1.0) -> Tensor:
    """One gradient an example, shape (examples, weights), through ``backward`` on batches of one."""
    rows = []
    for batch in view.batches():
        for index in range(len(batch["y"])):
            one = {name: values[index : index + 1] for name, values in batch.items()}
            view.model.zero_grad()
            view.loss(view.forward(view.model, one) / temperature, one).backward()  # type: ignore[no-untyped-call]
            rows.append(vector({name: weight.grad for name, weight in view.weights.items() if weight.grad is not None}))
    view.model.zero_grad()
    return torch.stack(rows)
