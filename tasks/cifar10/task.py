"""CIFAR-10: which of ten things a 32 x 32 colour picture shows (Krizhevsky 2009, "Learning multiple layers of features
from tiny images")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from bench.data import DataIdentity, Files
from bench.errors import UsageError
from bench.masks.couplings import Coupling
from bench.sources import DataSet
from bench.steps import Schedule
from tasks.base import Metric, Preset
from tasks.cifar10.reader import read_batches
from tasks.cifar10.source import CIFAR10
from tasks.images.classification import Classification
from tasks.images.decoded import Images, identity

if TYPE_CHECKING:
    from torch import nn

    from tasks.images.tensors import Pictures

TRAIN = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
"""The official training batches; the first must be there, the others are used where they are."""
TEST = "test_batch.bin"
OFFICIAL = {"train": 50_000, "test": 10_000}
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
"""Of the official training pixels, channel by channel, on the scale 0 to 1."""
MODELS = ("conv", "vgg16-bn", "resnet20", "resnet18")


@dataclass(frozen=True)
class Cifar10Options:
    """What the weights and the batches depend upon."""

    model: str = "conv"
    width: int = 0
    """Filters of the first convolution, which all others follow; 0: the model's own number."""
    augment: bool = True
    """Train on random crops, with a border of 4, and mirror images."""

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise UsageError(f"cifar10 has no model {self.model!r}", mend=f"There is: {', '.join(MODELS)}.")
        if self.width < 0:
            raise UsageError(f"cifar10: width is {self.width}", mend="Give 1 or more, or 0 for the model's own.")


class Cifar10(Classification):
    """Ten-way classification of small colour pictures; top-1 accuracy on the test split."""

    name: ClassVar[str] = "cifar10"
    title: ClassVar[str] = "CIFAR-10 image classification"
    version: ClassVar[int] = 1
    family: ClassVar[str] = "vision"
    evaluation_batch: ClassVar[int] = 500
    dataset: ClassVar[str] = "cifar-10-batches-bin"
    required: ClassVar[Sequence[str]] = (TRAIN[0], TEST)
    metrics: ClassVar[Sequence[Metric]] = (
        Metric("top-1", percent=True),
        Metric("top-5", percent=True),
        Metric("loss", higher_is_better=False),
    )
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(
            options=Cifar10Options(width=8),
            train=Schedule(lr=3e-3, batch_size=50, epochs=10, decay="linear"),
            recover=Schedule(lr=1e-3, batch_size=50, epochs=3, decay="linear", stream="recover"),
            score_batch_size=100,
        ),
        # Steps, not epochs: what a training costs does not depend on how many of the five batches are there.
        "small": Preset(
            options=Cifar10Options(),
            train=Schedule(lr=3e-3, batch_size=64, steps=1_200, warmup=100, decay="linear"),
            recover=Schedule(lr=1e-3, batch_size=64, steps=400, decay="linear", stream="recover"),
            score_batch_size=100,
        ),
        "paper": Preset(
            options=Cifar10Options(model="vgg16-bn"),
            train=Schedule(
                lr=0.1,
                batch_size=128,
                epochs=160,
                optimizer="sgd",
                momentum=0.9,
                nesterov=True,
                weight_decay=1e-4,
                decay="milestones",
                milestones=(60 / 160, 120 / 160),
            ),
            recover=Schedule(
                lr=0.01,
                batch_size=128,
                epochs=40,
                optimizer="sgd",
                momentum=0.9,
                nesterov=True,
                weight_decay=1e-4,
                decay="cosine",
                stream="recover",
            ),
            score_batch_size=100,
        ),
    }
    notes: Sequence[str] = ()

    def __init__(self, files: Files, options: Cifar10Options) -> None:
        self.files = files
        self.options = options

    @staticmethod
    def sample() -> Mapping[str, bytes]:
        from tasks.cifar10.sample import sample

        return sample()

    @staticmethod
    def sources() -> Sequence[DataSet]:
        """Where the data is to be had."""
        return (CIFAR10,)

    def identity(self) -> DataIdentity:
        return identity("CIFAR-10", self._images, OFFICIAL, self.files, (*self._train, TEST), CIFAR10)

    def build(self, seed: int) -> nn.Module:
        from tasks.cifar10.models import build

        return build(self.options.model, self.options.width)

    def prunable(self, model: nn.Module) -> Sequence[str]:
        """The weights of all convolutions and linear layers, the classifier's among them."""
        from tasks.cifar10.models import weights

        return tuple(weights(model))

    def couplings(self, model: nn.Module) -> Sequence[Coupling]:
        from tasks.cifar10.models import couplings

        return couplings(model)

    @property
    def _train(self) -> Sequence[str]:
        """The training batches that are there."""
        return [name for name in TRAIN if self.files.has(name)]

    @cached_property
    def _images(self) -> Mapping[str, Images]:
        return {"train": read_batches(self.files, self._train), "test": read_batches(self.files, (TEST,))}

    @cached_property
    def _pictures(self) -> Mapping[str, Pictures]:
        from tasks.images.tensors import Augmentation, Normalisation, Pictures

        normalise = Normalisation(MEAN, STD)
        augmentation = Augmentation() if self.options.augment else None
        return {
            "train": Pictures.of(self._images["train"], normalise, augmentation),
            "test": Pictures.of(self._images["test"], normalise),
        }
