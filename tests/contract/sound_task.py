"""A task that keeps the contract, for others to break one sentence of it each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from bench.data import DataIdentity, Files, columns
from bench.steps import Schedule
from tasks.base import Evaluation, Metric, Preset, Reference

if TYPE_CHECKING:
    from torch import Tensor, nn

    Batch = Mapping[str, Tensor]


@dataclass(frozen=True)
class Options:
    width: int = 6
    bins: int = 10


TRAIN = Schedule(lr=0.1, batch_size=4, steps=10)


class Sound:
    """On which side of a line a point lies."""

    name: ClassVar[str] = "sound"
    title: ClassVar[str] = "Sides of a line"
    version: ClassVar[int] = 1
    dataset: ClassVar[str] = "sides"
    required: ClassVar[Sequence[str]] = ("points.tsv",)
    metrics: ClassVar[Sequence[Metric]] = (Metric("accuracy", percent=True),)
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(Options(), TRAIN, TRAIN.__class__(0.1, 4, 5, stream="r"))
    }
    notes: ClassVar[Sequence[str]] = ()

    def __init__(self, files: Files, options: Options) -> None:
        self.files, self.options = files, options

    @staticmethod
    def sample() -> Mapping[str, bytes]:
        points = np.random.default_rng(0).normal(size=(30, 2))
        return {"points.tsv": "".join(f"{x:.4f}\t{y:.4f}\n" for x, y in points).encode()}

    def points(self) -> np.ndarray:
        return np.array([[float(x), float(y)] for x, y in columns(self.files, "points.tsv", 2, what="x, y")], "float32")

    def identity(self) -> DataIdentity:
        return DataIdentity("sides", "sample", {"points": len(self.points())}, self.files.digest(self.required))

    def examples(self) -> int:
        return len(self.points())

    def build(self, seed: int) -> nn.Module:
        from torch import nn

        width = self.options.width
        return nn.Sequential(nn.Linear(2, width), nn.LayerNorm(width), nn.Tanh(), nn.Linear(width, 2))

    def batches(self, split: str, *, seed: int, size: int, start: int = 0) -> Iterator[Batch]:
        number = start
        while split == "train" or number * size < self.examples():
            yield self.batch(seed, number, size)
            number += 1

    def batch(self, seed: int, number: int, size: int) -> Batch:
        return self.chosen(np.random.default_rng([seed, number]).integers(0, self.examples(), size))

    def chosen(self, rows: np.ndarray) -> Batch:
        import torch

        points = self.points()[rows]
        return {"x": torch.from_numpy(points), "y": torch.from_numpy((points.sum(1) > 0).astype("int64"))}

    def forward(self, model: nn.Module, batch: Batch) -> Tensor:
        outputs: Tensor = model(batch["x"])
        return outputs

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs, batch["y"])

    def evaluate(self, model: nn.Module, split: str) -> Evaluation:
        batch = self.chosen(np.arange(self.examples()))
        right = (self.forward(model, batch).argmax(1) == batch["y"]).float().numpy()
        return Evaluation({"accuracy": float(right.mean(dtype="float64"))}, {"accuracy": right}, n=len(right))

    def prunable(self, model: nn.Module) -> Sequence[str]:
        return ("0.weight", "3.weight")

    def example(self) -> Batch:
        return self.chosen(np.arange(1))

    def evaluation_options(self) -> Mapping[str, Any]:
        return {"bins": self.options.bins}

    def references(self) -> Sequence[Reference]:
        return ()
