"""The usual way of feeding and pruning an image classifier, for comparison: a transform an image, a loader, masks.

The data set and the transforms do what torchvision's own do (its data sets, ToTensor, RandomCrop, RandomHorizontalFlip
and Normalize), in their order: a picture is made of the bytes in memory, and a tensor of the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL.Image import Image, fromarray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import prune
from torch.utils.data import DataLoader, Dataset

Bytes = npt.NDArray[np.uint8]
Transform = Callable[[Image], Tensor]


class ToTensor(nn.Module):
    """Channels first, float32, 0 to 1."""

    def forward(self, picture: Image) -> Tensor:
        pixels = torch.from_numpy(np.array(picture, dtype=np.uint8, copy=True))
        planes = pixels.view(picture.size[1], picture.size[0], -1).permute((2, 0, 1)).contiguous()
        return planes.to(dtype=torch.get_default_dtype()).div(255)


class Normalize(nn.Module):
    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, image: Tensor) -> Tensor:
        mean, std = (torch.as_tensor(values, dtype=image.dtype).view(-1, 1, 1) for values in (self.mean, self.std))
        if bool((std == 0).any()):
            raise ValueError("a standard deviation of 0")
        return image.clone().sub_(mean).div_(std)


class RandomCrop(nn.Module):
    def __init__(self, border: int) -> None:
        super().__init__()
        self.border = border

    def forward(self, image: Tensor) -> Tensor:
        padded = functional.pad(image, (self.border,) * 4)
        down, across = (int(torch.randint(0, 2 * self.border + 1, (1,)).item()) for _ in range(2))
        return padded[:, down : down + image.shape[1], across : across + image.shape[2]]


class RandomHorizontalFlip(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image.flip(-1) if torch.rand(1) < 0.5 else image


class ImagesInMemory(Dataset[tuple[Tensor, int]]):
    """Images one by one, of shape (height, width, channels), uint8 in memory."""

    def __init__(self, pixels: Bytes, labels: Tensor, transform: Transform) -> None:
        self.pixels, self.labels, self.transform = pixels, labels, transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        return self.transform(fromarray(self.pixels[place].squeeze())), int(self.labels[place])


def loaded(pixels: Bytes, labels: Tensor, transform: Transform, size: int) -> Iterator[list[Tensor]]:
    """Shuffled batches, epoch after epoch, of a loader in this process."""
    loader = DataLoader(ImagesInMemory(pixels, labels, transform), batch_size=size, shuffle=True)
    while True:
        yield from loader


def masked_training(
    model: nn.Module, masks: Mapping[str, Tensor], batches: Iterator[list[Tensor]], lr: float
) -> Iterator[None]:
    """The plain loop, with torch's own pruning and Adam as they come; a step each time it is asked."""
    for name, mask in masks.items():
        owner, _, attribute = name.rpartition(".")
        prune.custom_from_mask(model.get_submodule(owner), attribute, mask)
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    model.train()
    for images, labels in batches:
        optimizer.zero_grad()
        functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
        yield


def accuracy(model: nn.Module, pixels: Bytes, labels: Tensor, transform: Transform, size: int) -> float:
    """Top-1 accuracy over all images, through a loader as well."""
    right = 0
    with torch.no_grad():
        for images, classes in DataLoader(ImagesInMemory(pixels, labels, transform), batch_size=size):
            right += int((model(images).argmax(1) == classes).sum())
    return right / len(labels)
