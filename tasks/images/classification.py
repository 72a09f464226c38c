"""What the image classification tasks have in common: a task is left its data, its networks and its presets."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

from tasks.base import Evaluation, Reference

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tasks.base import Batch
    from tasks.images.decoded import Images
    from tasks.images.tensors import Pictures


class Classification(ABC):
    """Top-1 and top-5 accuracy of a network on pictures that are held in memory."""

    evaluation_batch: ClassVar[int] = 1_000

    @property
    @abstractmethod
    def _images(self) -> Mapping[str, Images]:
        """By split, as the files have them."""

    @property
    @abstractmethod
    def _pictures(self) -> Mapping[str, Pictures]:
        """By split, ready to be batched."""

    def examples(self) -> int:
        return len(self._images["train"])

    def batches(self, split: str, *, seed: int, size: int, start: int = 0) -> Iterator[Batch]:
        """Batches of ``images``, float32 of shape (images, channels, height, width), and ``labels``, int64. The last
        batch of an epoch is what is left over."""
        pictures = self._pictures[split]
        if split == "train":
            return pictures.shuffled(seed=seed, size=size, start=start)
        return pictures.in_order(size, start)

    def forward(self, model: nn.Module, batch: Batch) -> Tensor:
        logits: Tensor = model(batch["images"])
        return logits

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        from tasks.images.accuracy import loss

        return loss(outputs, batch["labels"])

    def evaluate(self, model: nn.Module, split: str) -> Evaluation:
        from tasks.images.accuracy import evaluate

        pictures, size = self._pictures[split], self.evaluation_batch
        return evaluate(
            model, range(0, len(pictures), size), lambda first: pictures.rows(first, first + size), self.forward
        )

    def example(self) -> Batch:
        return self._pictures["test"].rows(0, 1)

    def evaluation_options(self) -> Mapping[str, str | int | float | bool | None]:
        return {}

    def references(self) -> Sequence[Reference]:
        return ()
