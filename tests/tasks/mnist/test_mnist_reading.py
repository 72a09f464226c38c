"""MNIST is read in its official format, and what is wrong with a file is said with its name and the place."""

from __future__ import annotations

import gzip
import lzma
from pathlib import Path

import pytest

from bench.cli import main
from bench.data import Folder, Memory
from bench.errors import DataError
from tasks.mnist import Mnist, MnistOptions
from tasks.mnist.reader import read_images

PIXELS = bytes(range(256)) * 3 + bytes(784 * 3 - 256 * 3)
"""Three pictures; the first begins 0, 1, 2, ..."""
NAMES = Mnist.required


def idx(*shape: int, entries: bytes) -> bytes:
    """An idx file of unsigned bytes, as its specification has it: 0, 0, type 8, dimensions, big-endian sizes."""
    return bytes((0, 0, 8, len(shape))) + b"".join(size.to_bytes(4, "big") for size in shape) + entries


IMAGES = idx(3, 28, 28, entries=PIXELS)
LABELS = idx(3, entries=b"\x07\x00\x09")


def read(images: bytes = IMAGES, labels: bytes = LABELS):
    return read_images(Memory("mnist", {"images": images, "labels": labels}), "images", "labels")


def folder_of(root: Path, contents: dict[str, bytes]) -> Folder:
    (root / "mnist").mkdir(parents=True)
    for name, content in contents.items():
        (root / "mnist" / name).write_bytes(content)
    return Folder(root / "mnist")


def whole() -> dict[str, bytes]:
    return {name: IMAGES if "idx3" in name else LABELS for name in NAMES}


def test_pixels_and_labels_are_those_of_the_files() -> None:
    found = read()
    assert (found.labels, b"".join(found.pixels), found.shape) == (b"\x07\x00\x09", PIXELS, (1, 28, 28))


@pytest.mark.parametrize(
    ("images", "labels", "where", "complaint"),
    [
        (IMAGES[:-1], LABELS, "images, byte 2367", "ends here, and its header promises 3 x 28 x 28 entries: 2,368"),
        (IMAGES + b"\0", LABELS, "images, byte 2368", "goes on here"),
        (IMAGES[:9], LABELS, "images, byte 9", "within its header of 16 bytes"),
        (b"", LABELS, "images, byte 0", "begins with nothing where the idx magic number 00000803"),
        (LABELS, LABELS, "images, byte 0", "begins with 00000801 where the idx magic number 00000803"),
        (b"\x00\x00\x0d\x03" + IMAGES[4:], LABELS, "images, byte 0", "begins with 00000d03"),  # floats
        (idx(3, 32, 32, entries=bytes(3072)), LABELS, "images, byte 8", "32 x 32 pixels where 28 x 28 belong"),
        (IMAGES, idx(2, entries=b"\x01\x02"), "labels, byte 4", "2 labels, and embedded sample of mnist, images has 3"),
        (IMAGES, idx(3, entries=b"\x01\x0a\x02"), "labels, item 2 (byte 9)", "label 10 where 0 to 9"),
        (IMAGES[:4] + b"\xff" * 4 + IMAGES[8:], LABELS, "images, byte 4", "promises 4,294,967,295 entries, more than"),
        (IMAGES, LABELS[:-1], "labels, byte 10", "ends here, and its header promises 3 entries: 11 bytes"),
        (idx(0, 28, 28, entries=b""), idx(0, entries=b""), "images", "no images"),
    ],
)
def test_a_bad_file_is_named_with_the_place(images: bytes, labels: bytes, where: str, complaint: str) -> None:
    with pytest.raises(DataError) as caught:
        read(images, labels)
    assert f"{where}:" in str(caught.value)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress)])
def test_a_compressed_file_that_was_cut_short_is_named(tmp_path: Path, suffix: str, pack) -> None:
    contents = whole()
    packed = pack(contents.pop(NAMES[0]))
    files = folder_of(tmp_path, {**contents, NAMES[0] + suffix: packed[: len(packed) // 2]})
    with pytest.raises(DataError, match="damaged or cut short") as caught:
        Mnist(files, MnistOptions()).examples()
    assert NAMES[0] + suffix in str(caught.value)


def test_a_run_on_a_bad_file_exits_with_2_and_one_line(tmp_path: Path, capsys) -> None:
    folder_of(tmp_path, {**whole(), NAMES[1]: idx(3, entries=b"\x01\x02\x0c")})
    asked = ["--task", "mnist", "--pruner", "random", "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(["run", *asked]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert f"{NAMES[1]}, item 3 (byte 10): label 12 where 0 to 9 belongs" in said


def test_plain_and_compressed_files_are_the_same_data(tmp_path: Path) -> None:
    plain = folder_of(tmp_path / "plain", whole())
    packed = folder_of(tmp_path / "packed", {f"{name}.gz": gzip.compress(content) for name, content in whole().items()})
    one, other = (Mnist(files, MnistOptions()).identity() for files in (plain, packed))
    assert one == other
    assert (one.kind, dict(one.counts)) == ("subset", {"train": 3, "test": 3})


@pytest.mark.data
def test_the_real_files_are_whole_and_have_the_published_class_counts(real_data: Path) -> None:
    task = Mnist(Folder(real_data / "mnist"), MnistOptions())
    assert (task.identity().kind, dict(task.identity().counts)) == ("whole", {"train": 60_000, "test": 10_000})
    labels = task._images["test"].labels
    # How many of each digit the test set has (LeCun et al.).
    assert [labels.count(digit) for digit in range(10)] == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    (batch,) = task.batches("test", seed=0, size=10_000)
    # Mean and standard deviation are those of the training pixels; the test pixels have nearly the same.
    assert abs(float(batch["images"].mean())) < 0.02
    assert abs(float(batch["images"].std()) - 1) < 0.02
