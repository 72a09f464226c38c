"""A small third-party task and two criteria, found through entry points like any other plug-in.

The task: tell which of four Gaussian clouds in the plane a point is from, by a multilayer perceptron with dropout.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from bench.data import DataIdentity, Files, columns
from bench.errors import DataError
from bench.masks.couplings import Coupling, Slice
from bench.steps import Schedule
from tasks.base import Evaluation, Metric, Preset, Reference

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True)
class Options:
    width: int = 16
    model: str = "mlp"
    nan_from: float = 2.0
    """Share of zero weights from which the metric is NaN: for tests of failing cells."""
    bins: int = 10


def _preset(steps: int) -> Preset:
    train = Schedule(lr=0.01, batch_size=16, steps=steps, decay="linear", warmup=2)
    recover = Schedule(lr=0.003, batch_size=16, steps=steps // 2, stream="recover")
    return Preset(Options(), train, recover, score_batches=2, score_batch_size=32)


class Toy:
    """Points in the plane, four classes."""

    name, title, version, dataset, required = "toy", "Toy clouds", 1, "toy", ("points.tsv",)
    metrics = (Metric("accuracy", percent=True), Metric("loss", higher_is_better=False))
    presets: Mapping[str, Preset] = {"smoke": _preset(40), "small": _preset(80)}
    notes = ("The clouds overlap.",)

    def __init__(self, files: Files, options: Options) -> None:
        self.files, self.options = files, options

    @staticmethod
    def presets_of(model: str) -> Mapping[str, Preset]:
        """A model of the name ``slow`` trains for longer."""
        return {"smoke": _preset(60)} if model == "slow" else Toy.presets

    @staticmethod
    def sample() -> Mapping[str, bytes]:
        draw = np.random.default_rng(0)
        labels = np.arange(256) % 4
        points = draw.normal(size=(256, 2)) + np.array([[2, 2], [2, -2], [-2, 2], [-2, -2]])[labels]
        text = io.StringIO()
        csv.writer(text, delimiter="\t", lineterminator="\n").writerows(
            [label, f"{x:.4f}", f"{y:.4f}"] for label, (x, y) in zip(labels, points, strict=True)
        )
        return {"points.tsv": text.getvalue().encode()}

    @cached_property
    def _points(self) -> tuple[np.ndarray, np.ndarray]:
        rows = list(columns(self.files, "points.tsv", 3, what="class, x, y"))
        if not rows:
            raise DataError("holds no points", where=self.files.where("points.tsv"), mend="Add rows.")
        points = np.array([[float(x), float(y)] for _, x, y in rows], dtype=np.float32)
        return points, np.array([int(label) for label, _, _ in rows])

    def _batch(self, rows: np.ndarray | slice) -> Mapping[str, Tensor]:
        import torch

        points, labels = self._points
        return {"points": torch.from_numpy(points[rows]), "labels": torch.from_numpy(labels[rows])}

    def identity(self) -> DataIdentity:
        kind = "sample" if self.files.kind == "sample" else "whole"
        return DataIdentity("toy", kind, {"points": len(self._points[0])}, self.files.digest(self.required))

    def examples(self) -> int:
        return len(self._points[0])

    def build(self, seed: int) -> nn.Module:
        from torch import nn

        width = self.options.width
        return nn.Sequential(
            nn.Linear(2, width), nn.ReLU(), nn.Dropout(0.1), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 4)
        )

    def batches(self, split: str, *, seed: int, size: int, start: int = 0) -> Iterator[Mapping[str, Tensor]]:
        index = start
        while True:
            yield self._batch(np.random.default_rng([seed, index]).integers(0, self.examples(), size))
            index += 1

    def forward(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        outputs: Tensor = model(batch["points"])
        return outputs

    def loss(self, outputs: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs.float(), batch["labels"])

    def evaluate(self, model: nn.Module, split: str) -> Evaluation:
        from torch.nn.functional import cross_entropy

        batch = self._batch(slice(None))
        labels = batch["labels"]
        outputs = self.forward(model, batch).float()
        right = (outputs.argmax(1) == labels).float()
        zeros = sum(int((w == 0).sum()) for w in model.parameters()) / sum(w.numel() for w in model.parameters())
        accuracy = float("nan") if zeros >= self.options.nan_from else float(right.mean())
        loss = cross_entropy(outputs, labels, reduction="none")
        return Evaluation(
            {"accuracy": accuracy, "loss": float(loss.mean())},
            {"accuracy": right.numpy(), "loss": loss.numpy()},
            n=len(labels),
            files={"run": "\n".join(map(str, outputs.argmax(1).tolist()))},
        )

    def prunable(self, model: nn.Module) -> Sequence[str]:
        return [name for name, _ in model.named_parameters() if name.endswith("weight")]

    def couplings(self, model: nn.Module) -> Sequence[Coupling]:
        from torch import nn

        layers = [name for name, module in model.named_children() if isinstance(module, nn.Linear)]
        return [
            Coupling(
                name,
                "rows",
                model.get_submodule(name).out_features,
                (Slice(f"{name}.weight", axis=0), Slice(f"{name}.bias", axis=0)),
                (Slice(f"{reader}.weight", axis=1),),
            )
            for name, reader in pairwise(layers)
        ]

    def example(self) -> Mapping[str, Tensor]:
        return self._batch(slice(1))

    def evaluation_options(self) -> Mapping[str, str | int | float | bool | None]:
        return {"bins": self.options.bins}

    def references(self) -> Sequence[Reference]:
        return [Reference("nearest corner", {"accuracy": 0.9})]


class Broken:
    """A criterion that gives NaN."""

    version, iterations, needs_data = 1, 1, False

    def score(self, view):
        return {name: weight.detach() * float("nan") for name, weight in view.weights.items()}


class Tied:
    """A criterion that gives every weight the same score."""

    version, iterations, needs_data = 1, 1, False

    def score(self, view):
        import torch

        return {name: torch.ones_like(weight) for name, weight in view.weights.items()}
