"""Batches of images: a function of (seed, number), every image once an epoch, crops and flips as image by image."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
import torch
from torch import Tensor

from tasks.images.decoded import Images
from tasks.images.tensors import Augmentation, Normalisation, Pictures

PLAIN = Normalisation((0.0, 0.0), (1 / 255, 1 / 255))
"""Leaves pixels at 0 to 255."""
BORDER = 2


def pictures(augmentation: Augmentation | None, count: int = 10) -> Pictures:
    """Pictures of 2 x 5 x 6 random pixels; picture i has label i % 10 and its own number in every pixel of plane 0."""
    pixels = np.random.default_rng(0).integers(1, 256, (count, 2, 5, 6), dtype=np.uint8)
    pixels[:, 0] = np.arange(count)[:, None, None] + 1
    # In two stretches, as two files give them.
    halves = (pixels[:4].tobytes(), pixels[4:].tobytes())
    return Pictures.of(Images(bytes(i % 10 for i in range(count)), halves, (2, 5, 6)), PLAIN, augmentation)


def numbers(batch: dict[str, Tensor]) -> list[int]:
    """Which pictures a batch holds."""
    return (batch["images"][:, 0].amax((1, 2)).round().int() - 1).tolist()


@pytest.mark.parametrize("augmentation", [None, Augmentation(BORDER)])
def test_each_epoch_holds_every_picture_once_with_its_label_in_an_order_of_its_own(augmentation) -> None:
    batches = list(islice(pictures(augmentation).shuffled(seed=1, size=4), 6))
    assert [len(batch["labels"]) for batch in batches] == [4, 4, 2, 4, 4, 2]
    epochs = [[number for batch in half for number in numbers(batch)] for half in (batches[:3], batches[3:])]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(10))
    assert epochs[0] != epochs[1]
    for batch in batches:
        assert numbers(batch) == batch["labels"].tolist()


@pytest.mark.parametrize("augmentation", [None, Augmentation(BORDER)])
@pytest.mark.parametrize("start", [0, 1, 2, 3, 7])
def test_starting_at_a_batch_is_skipping_those_before(augmentation, start: int) -> None:
    made = pictures(augmentation)
    skipped = islice(made.shuffled(seed=3, size=4), start, start + 4)
    for one, other in zip(skipped, islice(made.shuffled(seed=3, size=4, start=start), 4), strict=True):
        assert torch.equal(one["images"], other["images"])
        assert torch.equal(one["labels"], other["labels"])


def test_another_seed_is_another_order_with_other_crops() -> None:
    made = pictures(Augmentation(BORDER), count=60)
    one, other = (next(made.shuffled(seed=seed, size=60)) for seed in (0, 1))
    assert numbers(one) != numbers(other)
    by_number = [batch["images"][torch.tensor(numbers(batch)).argsort()] for batch in (one, other)]
    assert not torch.equal(*by_number)


def test_every_crop_is_one_of_the_windows_of_the_bordered_picture_or_its_mirror_image() -> None:
    """Each picture's windows and their mirror images are listed one by one; over many draws all of them come up."""
    made = pictures(Augmentation(BORDER))
    plain = {number: image for batch in made.in_order(10) for number, image in enumerate(batch["images"])}
    met: set[tuple[int, int, bool]] = set()
    for batch in islice(made.shuffled(seed=5, size=10), 120):
        for number, image in zip(batch["labels"].tolist(), batch["images"], strict=True):
            bordered = torch.nn.functional.pad(plain[number], (BORDER,) * 4)
            places = [
                (down, across, mirrored)
                for down in range(2 * BORDER + 1)
                for across in range(2 * BORDER + 1)
                for mirrored in (False, True)
                if torch.equal(image.flip(2) if mirrored else image, bordered[:, down : down + 5, across : across + 6])
            ]
            assert len(places) == 1
            met.update(places)
    assert len(met) == 2 * (2 * BORDER + 1) ** 2


def test_pictures_in_order_are_neither_cropped_nor_mirrored_nor_bordered() -> None:
    for one, other in zip(pictures(None).in_order(3), pictures(Augmentation(BORDER)).in_order(3), strict=True):
        assert torch.equal(one["images"], other["images"])
    assert [numbers(batch) for batch in pictures(None).in_order(4, start=1)] == [[4, 5, 6, 7], [8, 9]]


def test_pixels_are_shifted_and_scaled_channel_by_channel() -> None:
    normalise = Normalisation((0.5, 0.2), (0.25, 0.1))
    found = normalise(np.array([[[[255, 51]]]], dtype=np.uint8))
    torch.testing.assert_close(found.flatten(), torch.tensor([(1 - 0.5) / 0.25, (0.2 - 0.2) / 0.1]))


def test_images_lie_channels_last_in_memory() -> None:
    for made in (pictures(None), pictures(Augmentation(BORDER))):
        batch = next(made.shuffled(seed=0, size=4))
        assert batch["images"].shape == (4, 2, 5, 6)
        assert batch["images"].is_contiguous(memory_format=torch.channels_last)
