"""Images and labels as a reader decoded them. Imports nothing heavy, so that planning can count them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.data import DataIdentity, Files, release_kind
from bench.sources import DataSet

CLASSES = 10


@dataclass(frozen=True)
class Images:
    """One split, in file order."""

    labels: bytes
    """One byte an image: its class, 0 to 9."""
    pixels: Sequence[bytes]
    """Stretches of images, one after the other; each image is its channels' planes, each plane its rows."""
    shape: tuple[int, int, int]
    """Channels, height, width."""

    def __len__(self) -> int:
        return len(self.labels)


def identity(
    name: str,
    splits: Mapping[str, Images],
    official: Mapping[str, int],
    files: Files,
    used: Sequence[str],
    release: DataSet,
) -> DataIdentity:
    """Which data this is. ``official``: images by split of the release."""
    counts = {split: len(images) for split, images in splits.items()}
    kind = release_kind(files, used, release, complete=counts == dict(official))
    return DataIdentity(name, kind, counts, files.digest(used))
