"""Tasks that break the contract in one way each, and the sentence that says so."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bench.checks import check_task
from bench.data import DataIdentity
from bench.ranks import part_of_rows
from tasks.base import Evaluation, Preset, Task
from tests.contract.sound_task import TRAIN, Options, Sound

COUNTER = itertools.count()


class Unversioned(Sound):
    version = "1"  # type: ignore[assignment]


class Presetless(Sound):
    presets: Mapping[str, Preset] = {"paper": Sound.presets["smoke"]}  # type: ignore[misc]


class SameBatchesTwice(Sound):
    presets: Mapping[str, Preset] = {"smoke": Preset(Options(), TRAIN, TRAIN)}  # type: ignore[misc]


class OtherSample(Sound):
    @staticmethod
    def sample() -> Mapping[str, bytes]:
        return {"points.tsv": f"{next(COUNTER)}\t1\n".encode() * 30}


class OtherFile(Sound):
    @staticmethod
    def sample() -> Mapping[str, bytes]:
        return {"dots.tsv": b"1\t1\n"}


class Malformed(Sound):
    @staticmethod
    def sample() -> Mapping[str, bytes]:
        return {"points.tsv": b"1\n"}


class ShortDigest(Sound):
    def identity(self) -> DataIdentity:
        return replace(super().identity(), digest="abc")


class Unsteady(Sound):
    def identity(self) -> DataIdentity:
        return replace(super().identity(), counts={"points": next(COUNTER)})


class Ending(Sound):
    def batches(self, split: str, *, seed: int, size: int, start: int = 0) -> Iterator[Mapping[str, Tensor]]:
        return itertools.islice(super().batches(split, seed=seed, size=size, start=start), 3)


class FromTheStart(Sound):
    def batches(self, split: str, *, seed: int, size: int, start: int = 0) -> Iterator[Mapping[str, Tensor]]:
        return super().batches(split, seed=seed, size=size)


class Seedless(Sound):
    def batch(self, seed: int, number: int, size: int) -> Mapping[str, Tensor]:
        return super().batch(0, number, size)


class Restless(Sound):
    def batch(self, seed: int, number: int, size: int) -> Mapping[str, Tensor]:
        return super().batch(next(COUNTER), number, size)


class OwnDraws(Sound):
    def build(self, seed: int) -> nn.Module:
        torch.manual_seed(next(COUNTER))
        return super().build(seed)


class TwoExamples(Sound):
    def example(self) -> Mapping[str, Tensor]:
        return self.chosen(np.arange(2))


class Offering(Sound):
    offers: Sequence[str] = ()

    def prunable(self, model: nn.Module) -> Sequence[str]:
        return self.offers


class Nothing(Offering):
    pass


class Unknown(Offering):
    offers = ("0.weight", "7.weight")


class Biases(Offering):
    offers = ("0.weight", "0.bias")


class Norms(Sound):
    def build(self, seed: int) -> nn.Module:
        return nn.Sequential(
            nn.Linear(2, 6), nn.Unflatten(1, (2, 3)), nn.LayerNorm((2, 3)), nn.Flatten(), nn.Linear(6, 2)
        )

    def prunable(self, model: nn.Module) -> Sequence[str]:
        return ("0.weight", "2.weight", "4.weight")


class Twice(Offering):
    offers = ("0.weight", "0.weight")


class Disordered(Offering):
    offers = ("3.weight", "0.weight")


class ByExample(Sound):
    def loss(self, outputs: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        return nn.functional.cross_entropy(outputs, batch["y"], reduction="none")


class Detached(Sound):
    def loss(self, outputs: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        return super().loss(outputs.detach(), batch)


class Bags(Sound):
    """The fused bag of embeddings has no second derivative with respect to its table."""

    def build(self, seed: int) -> nn.Module:
        return nn.Sequential(nn.EmbeddingBag(8, 4), nn.Linear(4, 2))

    def forward(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        outputs: Tensor = model(batch["x"].abs().long() % 8)
        return outputs

    def prunable(self, model: nn.Module) -> Sequence[str]:
        return ("0.weight", "1.weight")


class Unweighted(Sound):
    def part(self, batch: Mapping[str, Tensor], number: int, of: int) -> tuple[Mapping[str, Tensor], float]:
        return part_of_rows(batch, number, of)[0], 1.0


class Lopsided(Sound):
    """Parts of two, two and one row count alike."""

    def part(self, batch: Mapping[str, Tensor], number: int, of: int) -> tuple[Mapping[str, Tensor], float]:
        return part_of_rows(batch, number, of)[0], 1 / of


class Evaluating(Sound):
    def evaluate(self, model: nn.Module, split: str) -> Evaluation:
        return self.changed(super().evaluate(model, split), model)

    def changed(self, found: Evaluation, model: nn.Module) -> Evaluation:
        return found


class Wavering(Evaluating):
    def changed(self, found: Evaluation, model: nn.Module) -> Evaluation:
        return replace(found, metrics={"accuracy": 1 / (1 + next(COUNTER))})


class Unmeasured(Evaluating):
    def changed(self, found: Evaluation, model: nn.Module) -> Evaluation:
        return replace(found, metrics={"loss": 1.0})


class NaN(Evaluating):
    def changed(self, found: Evaluation, model: nn.Module) -> Evaluation:
        return replace(found, metrics={"accuracy": float("nan")})


class Training(Evaluating):
    def changed(self, found: Evaluation, model: nn.Module) -> Evaluation:
        model.train()
        return found


class Percent(Evaluating):
    def changed(self, found: Evaluation, model: nn.Module) -> Evaluation:
        return replace(found, metrics={"accuracy": 100 * found.metrics["accuracy"] + 1})


class Unpaired(Evaluating):
    def changed(self, found: Evaluation, model: nn.Module) -> Evaluation:
        return replace(found, examples={})


class Halved(Evaluating):
    def changed(self, found: Evaluation, model: nn.Module) -> Evaluation:
        return replace(found, examples={"accuracy": found.examples["accuracy"][::2]})


class Elsewhere(Sound):
    def evaluation_options(self) -> Mapping[str, Any]:
        return {"beams": 10}


BROKEN = {
    Unversioned: "its version is '1', where a whole number belongs",
    Presetless: "it has no preset 'smoke'",
    SameBatchesTwice: "recovery of preset 'smoke' sees training's batches",
    OtherSample: "two calls of sample() give different bytes",
    OtherFile: "the sample lacks ['points.tsv'], which the task requires",
    Malformed: "it raises DataError: embedded sample of sound, points.tsv, line 1: 1 columns where 2 belong",
    ShortDigest: "'abc' is no SHA-256",
    Unsteady: "two openings of the same sample differ in identity()",
    Ending: "its training batches come to an end",
    FromTheStart: "a pass that starts later gives other batches than one that comes by",
    Seedless: "two seeds give the same batches",
    Restless: "two passes at one seed give different batches",
    OwnDraws: "two models from one seed differ in '0.weight'",
    TwoExamples: "its outputs have 2 rows, one an example",
    Nothing: "it offers nothing to prune",
    Unknown: "'7.weight' is no parameter of the model",
    Biases: "'0.bias' is no weight matrix or kernel",
    Norms: "'2.weight' belongs to a LayerNorm",
    Twice: "it offers a name twice",
    Disordered: "the names are not in the model's order",
    ByExample: "it has shape (4,), where one number belongs",
    Detached: "it has no gradient",
    Bags: "it has no second derivative: ",
    Unweighted: "the weights of the parts sum to 3.0, where 1 belongs",
    Lopsided: "a batch's loss is ",
    Wavering: "accuracy is ",
    Unmeasured: "it does not measure ['accuracy']",
    NaN: "accuracy is nan at the initial weights",
    Training: "evaluating changes the mode (train or eval) of 'the model'",
    Percent: "accuracy is ",
    Unpaired: "it gives no per-example values",
    Halved: "accuracy has per-example values of shape (15,) for 30 examples",
    Elsewhere: "'beams' is no field of its options",
}


def problems(task: type[Task]) -> list[str]:
    return [finding.problem for finding in check_task(task) if not finding.ok]


def test_a_sound_task_has_no_problems() -> None:
    assert problems(Sound) == []


@pytest.mark.parametrize("task", BROKEN, ids=lambda task: task.__name__)
def test_what_a_task_breaks_is_said(task: type[Task], monkeypatch: pytest.MonkeyPatch) -> None:
    # Each would be found out for the import of torch at the top of this file as well, and a process each takes long.
    monkeypatch.setattr("bench.checks.task._light", lambda kind: None)
    found = problems(task)
    assert any(problem.startswith(BROKEN[task]) for problem in found), found


def test_a_task_that_imports_torch_at_the_top_is_found_out() -> None:
    assert "it imports torch" in " ".join(problems(TwoExamples))


def test_a_metric_that_is_no_mean_is_said_to_be_none() -> None:
    class Corpus(Percent):
        def changed(self, found: Evaluation, model: nn.Module) -> Evaluation:
            return replace(super().changed(found, model), notes={"not_means": ["accuracy"]})

    assert not [problem for problem in problems(Corpus) if "average" in problem]
