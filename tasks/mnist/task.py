"""MNIST: which digit a 28 x 28 picture shows (LeCun et al. 1998, "Gradient-based learning applied to document
recognition")."""

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
from tasks.images.classification import Classification
from tasks.images.decoded import Images, identity
from tasks.mnist.reader import read_images
from tasks.mnist.source import MNIST

if TYPE_CHECKING:
    from torch import nn

    from tasks.images.tensors import Pictures

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
OFFICIAL = {"train": 60_000, "test": 10_000}
MEAN, STD = 0.1307, 0.3081
"""Of the official training pixels, on the scale 0 to 1."""
MODELS = ("lenet-300-100", "fc")


@dataclass(frozen=True)
class MnistOptions:
    """What the weights depend upon."""

    model: str = "lenet-300-100"

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise UsageError(f"mnist has no model {self.model!r}", mend=f"There is: {', '.join(MODELS)}.")


class Mnist(Classification):
    """Ten-way classification of handwritten digits; top-1 accuracy on the test split."""

    name: ClassVar[str] = "mnist"
    title: ClassVar[str] = "MNIST digit classification"
    version: ClassVar[int] = 1
    family: ClassVar[str] = "vision"
    dataset: ClassVar[str] = "mnist"
    required: ClassVar[Sequence[str]] = (*FILES["train"], *FILES["test"])
    metrics: ClassVar[Sequence[Metric]] = (
        Metric("top-1", percent=True),
        Metric("top-5", percent=True),
        Metric("loss", higher_is_better=False),
    )
    presets: ClassVar[Mapping[str, Preset]] = {
        "smoke": Preset(
            options=MnistOptions(),
            train=Schedule(lr=2e-3, batch_size=50, epochs=12, decay="linear"),
            recover=Schedule(lr=1e-3, batch_size=50, epochs=4, decay="linear", stream="recover"),
            score_batch_size=100,
        ),
        "small": Preset(
            options=MnistOptions(),
            train=Schedule(lr=2e-3, batch_size=128, epochs=4, decay="linear"),
            recover=Schedule(lr=1e-3, batch_size=128, epochs=1, decay="linear", stream="recover"),
            score_batch_size=100,
        ),
        # The source gives ten epochs and no more; the rest is what the code that it builds on (Tanaka et al. 2020)
        # does unless told otherwise: Adam at 1e-3, batches of 64, scores from ten examples a class.
        "paper": Preset(
            options=MnistOptions(model="fc"),
            train=Schedule(lr=1e-3, batch_size=64, epochs=10),
            recover=Schedule(lr=1e-3, batch_size=64, epochs=5, stream="recover"),
            score_batch_size=100,
        ),
    }
    notes: Sequence[str] = ()

    def __init__(self, files: Files, options: MnistOptions) -> None:
        self.files = files
        self.options = options

    @staticmethod
    def sample() -> Mapping[str, bytes]:
        from tasks.mnist.sample import sample

        return sample()

    @staticmethod
    def sources() -> Sequence[DataSet]:
        """Where the data is to be had."""
        return (MNIST,)

    def identity(self) -> DataIdentity:
        return identity("MNIST", self._images, OFFICIAL, self.files, self.required, MNIST)

    def build(self, seed: int) -> nn.Module:
        from tasks.mnist.model import HIDDEN, perceptron

        return perceptron(HIDDEN[self.options.model])

    def prunable(self, model: nn.Module) -> Sequence[str]:
        """The weights of all linear layers, the classifier's among them."""
        from tasks.mnist.model import linear_layers

        return tuple(f"{layer}.weight" for layer in linear_layers(model))

    def couplings(self, model: nn.Module) -> Sequence[Coupling]:
        from tasks.mnist.model import couplings

        return couplings(model)

    @cached_property
    def _images(self) -> Mapping[str, Images]:
        return {split: read_images(self.files, *names) for split, names in FILES.items()}

    @cached_property
    def _pictures(self) -> Mapping[str, Pictures]:
        from tasks.images.tensors import Normalisation, Pictures

        normalise = Normalisation((MEAN,), (STD,))
        return {split: Pictures.of(images, normalise) for split, images in self._images.items()}
