"""CIFAR-10 is read in its binary version, and what is wrong with a file is said with its name and the row."""

from __future__ import annotations

import lzma
from pathlib import Path

import pytest
import torch

from bench.cli import main
from bench.data import Folder, Memory
from bench.errors import DataError
from tasks.cifar10 import Cifar10, Cifar10Options
from tasks.cifar10.task import MEAN, STD


def row(label: int, first: int = 0) -> bytes:
    """A row: its label, then 1,024 bytes each of red, green and blue, all one value a plane."""
    return bytes((label,)) + b"".join(bytes((first + plane,)) * 1024 for plane in range(3))


GOOD = row(3, 10) + row(9, 20)


def opened(**files: bytes) -> Cifar10:
    contents = {"data_batch_1": GOOD, "test_batch": GOOD} | files
    return Cifar10(Memory("cifar10", {f"{name}.bin": content for name, content in contents.items()}), Cifar10Options())


def test_planes_become_channels_and_rows_stay_with_their_labels() -> None:
    (batch,) = opened().batches("test", seed=0, size=10)
    assert batch["labels"].tolist() == [3, 9]
    for place, first in enumerate((10, 20)):
        for channel in range(3):
            wanted = ((first + channel) / 255 - MEAN[channel]) / STD[channel]
            torch.testing.assert_close(batch["images"][place, channel], torch.full((32, 32), wanted))


def test_batches_that_are_there_are_used_and_make_the_datas_identity() -> None:
    one, two = opened(), opened(data_batch_4=row(1) * 3)
    assert (one.examples(), two.examples()) == (2, 5)
    assert one.identity().digest != two.identity().digest
    assert two._images["train"].labels == bytes((3, 9, 1, 1, 1))


@pytest.mark.parametrize(
    ("content", "where", "complaint"),
    [
        (GOOD[:-1], "row 2 (byte 6145)", "ends 3072 bytes into a row of 3073"),
        (GOOD + b"\x01", "row 3 (byte 6147)", "ends 1 bytes into a row of 3073"),
        (row(0) + row(10), "row 2 (byte 3073)", "label 10 where 0 to 9 belongs"),
        (b"", "data_batch_1.bin", "the file has no rows"),
    ],
)
def test_a_bad_file_is_named_with_the_row(content: bytes, where: str, complaint: str) -> None:
    with pytest.raises(DataError) as caught:
        opened(data_batch_1=content).examples()
    assert "data_batch_1.bin" in str(caught.value)
    assert f"{where}:" in str(caught.value)
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_run_on_a_compressed_file_that_was_cut_short_exits_with_2(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    (folder / "data_batch_1.bin").write_bytes(GOOD)
    (folder / "test_batch.bin.xz").write_bytes(lzma.compress(GOOD)[:-20])
    asked = ["--task", "cifar10", "--pruner", "random", "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(["run", *asked]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert "test_batch.bin.xz: the compressed file is damaged or cut short" in said


@pytest.mark.data
def test_the_real_batch_and_test_rows_are_all_read(real_data: Path) -> None:
    task = Cifar10(Folder(real_data / "cifar-10-batches-bin"), Cifar10Options())
    assert task.examples() == 10_000
    for split in ("train", "test"):
        labels = task._images[split].labels
        assert [labels.count(kind) for kind in range(10)] == [1000] * 10
    images = next(task.batches("test", seed=0, size=2_500))["images"]
    # Mean and standard deviation are those of the training pixels; a quarter of the test pixels has nearly the same.
    torch.testing.assert_close(images.mean((0, 2, 3)), torch.zeros(3), atol=0.05, rtol=0)
    torch.testing.assert_close(images.std((0, 2, 3)), torch.ones(3), atol=0.05, rtol=0)
