"""Batches of images held in memory: bytes until a batch is made, then normalised and, in training, augmented at once.

An epoch's order and its crops and flips are drawn together from (seed, epoch), so batch i is a function of (seed, i).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tasks.images.decoded import Images

if TYPE_CHECKING:
    from tasks.base import Batch

Bytes = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each channel of the training pixels, on the scale 0 to 1."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __call__(self, pixels: Bytes) -> Tensor:
        """Float32 of shape (images, channels, height, width), channels last in memory; ``pixels`` has them last."""
        values = torch.from_numpy(pixels).to(torch.float32)
        if len(self.mean) == 1:
            values.sub_(255 * self.mean[0]).mul_(1 / (255 * self.std[0]))
        else:
            values.sub_(255 * torch.tensor(self.mean)).mul_(1 / (255 * torch.tensor(self.std)))
        return values.permute(0, 3, 1, 2)


@dataclass(frozen=True)
class Augmentation:
    """Random crop of the image with a black border, then a mirror image half of the time."""

    border: int = 4


@dataclass(frozen=True)
class Pictures:
    """One split, ready to be batched."""

    pixels: Bytes
    """Shape (images, height, width, channels); with the border of the augmentation where there is one."""
    labels: npt.NDArray[np.int64]
    normalise: Normalisation
    augmentation: Augmentation | None = None

    @classmethod
    def of(cls, images: Images, normalise: Normalisation, augmentation: Augmentation | None = None) -> Pictures:
        border = augmentation.border if augmentation is not None else 0
        channels, height, width = images.shape
        pixels = np.zeros((len(images), height + 2 * border, width + 2 * border, channels), dtype=np.uint8)
        inner = pixels[:, border : border + height, border : border + width]
        start = 0
        for stretch in images.pixels:
            planes = np.frombuffer(stretch, dtype=np.uint8).reshape(-1, channels, height, width)
            inner[start : start + len(planes)] = planes.transpose(0, 2, 3, 1)
            start += len(planes)
        labels = np.frombuffer(images.labels, dtype=np.uint8).astype(np.int64)
        return cls(pixels, labels, normalise, augmentation)

    def __len__(self) -> int:
        return len(self.labels)

    def shuffled(self, *, seed: int, size: int, start: int = 0) -> Iterator[Batch]:
        """Endless batches from number ``start``; the last of an epoch is what is left over."""
        per_epoch = math.ceil(len(self) / size)
        epoch, order, draws = -1, np.arange(0), None
        for number in count(start):
            if number // per_epoch != epoch:
                epoch = number // per_epoch
                generator = np.random.default_rng([seed, epoch])
                order = generator.permutation(len(self))
                draws = self._draws(generator)
            place = number % per_epoch * size
            chosen = order[place : place + size]
            if draws is None:
                yield self._batch(self.pixels[chosen], chosen)
            else:
                yield self._batch(self._views(chosen, draws[:, place : place + size]), chosen)

    def in_order(self, size: int, start: int = 0) -> Iterator[Batch]:
        """One pass in file order, from batch number ``start``, as the files have the images."""
        for place in range(start * size, len(self), size):
            yield self.rows(place, place + size)

    def rows(self, start: int, stop: int) -> Batch:
        """The images from ``start`` to before ``stop``, without augmentation."""
        border = self.augmentation.border if self.augmentation is not None else 0
        _, height, width, _ = self.pixels.shape
        inner = self.pixels[start:stop, border : height - border, border : width - border]
        return self._batch(np.ascontiguousarray(inner), np.arange(start, min(stop, len(self))))

    def _draws(self, generator: np.random.Generator) -> Indices | None:
        """For each place of an epoch: rows and columns that the crop is moved by, and whether it is mirrored."""
        if self.augmentation is None:
            return None
        moves = generator.integers(0, 2 * self.augmentation.border + 1, (2, len(self)))
        return np.concatenate([moves, generator.integers(0, 2, (1, len(self)))])

    def _views(self, chosen: Indices, draws: Indices) -> Bytes:
        """The crops of the chosen images, by one indexing of all windows of all images (a view, not a copy)."""
        assert self.augmentation is not None
        border = self.augmentation.border
        _, height, width, _ = self.pixels.shape
        windows = np.lib.stride_tricks.sliding_window_view(
            self.pixels, (height - 2 * border, width - 2 * border), axis=(1, 2)
        ).transpose(0, 1, 2, 4, 5, 3)
        down, across, mirrored = draws
        crops: Bytes = windows[chosen, down, across]
        flipped = mirrored.astype(bool)
        crops[flipped] = crops[flipped, :, ::-1]
        return crops

    def _batch(self, pixels: Bytes, chosen: Indices) -> Batch:
        """``images``, float32 of shape (images, channels, height, width), and ``labels``, int64."""
        return {"images": self.normalise(pixels), "labels": torch.from_numpy(self.labels[chosen])}
