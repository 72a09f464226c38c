"""Ready vectors beside the data: those of this encoder are used, any others are an error and stay as they are."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save

from bench.data import Folder
from bench.errors import DataError
from tasks.dense_retrieval import DenseRetrieval, ready
from tests.tasks.dense_retrieval.dense_opening import TINY, checkpoint

SETTINGS = {"dataset": "toys", "train": "query", "passage_length": "24", "query_length": "8"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name, content in DenseRetrieval.sample().items():
        (tmp_path / "data/beir/toys" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data/beir/toys" / name).write_bytes(content)
    return tmp_path / "data"


def made(data: Path, model: Path, **changes: str) -> int:
    settings = {**SETTINGS, "model": str(model), **changes}
    return ready.main(["mine", "--data", str(data), *(f"--set={name}={value}" for name, value in settings.items())])


def task(data: Path, model: Path) -> DenseRetrieval:
    from dataclasses import replace

    options = replace(TINY, model=str(model), train="query", vectors="mine", pooling="mean", ivf_subvectors=16)
    return DenseRetrieval(Folder(data / "beir/toys"), options)


def test_they_are_read_in_the_place_of_encoding(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = checkpoint(tmp_path / "bert")
    assert made(data, folder) == 0
    monkeypatch.setattr("tasks.dense_retrieval.building.kept", lambda *_: pytest.fail("encoded anew"))
    opened = task(data, folder)
    with torch.no_grad():
        assert opened.evaluate(opened.build(0).eval(), "test").n == 200


def test_those_of_another_encoder_are_one_line_and_stay(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = checkpoint(tmp_path / "one"), checkpoint(tmp_path / "other", seed=1)
    assert made(data, one) == 0
    before = (data / "beir/toys/mine.safetensors").read_bytes()
    opened = task(data, other)
    with pytest.raises(DataError, match=r"mine.safetensors: holds vectors of another encoder \(encoder [0-9a-f]{12}"):
        opened.evaluate(opened.build(0).eval(), "test")
    capsys.readouterr()
    assert made(data, other) == 2
    said = capsys.readouterr().err
    assert "another encoder" in said and "nothing was overwritten" in said and said.count("\n") == 1
    assert (data / "beir/toys/mine.safetensors").read_bytes() == before
    assert made(data, one) == 0, "the same again is no matter"


@pytest.mark.parametrize(
    ("change", "said"), [({"pooling": "cls"}, "another pooling"), ({"passage_length": "20"}, "another length")]
)
def test_other_settings_are_other_vectors(
    data: Path, tmp_path: Path, change: dict[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = checkpoint(tmp_path / "bert")
    assert made(data, folder) == 0 and made(data, folder, **change) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"", b"no such thing", b"\xff" * 64])
def test_a_damaged_file_is_one_line(data: Path, tmp_path: Path, content: bytes) -> None:
    (data / "beir/toys/mine.safetensors").write_bytes(content)
    opened = task(data, checkpoint(tmp_path / "bert"))
    with pytest.raises(DataError, match="is no file of ready vectors") as caught:
        opened.evaluate(opened.build(0).eval(), "test")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_line(data: Path, tmp_path: Path) -> None:
    opened = task(data, checkpoint(tmp_path / "bert"))
    with pytest.raises(DataError, match=r"mine.safetensors: no such file"):
        opened.evaluate(opened.build(0).eval(), "test")


def test_vectors_come_back_as_they_were(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32)
    about = {"encoder": "e", "texts": "t"}
    ready.write(tmp_path / "x.safetensors", vectors, about)
    assert np.array_equal(ready.vectors(Folder(tmp_path), "x", about), vectors)


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"vectors": np.zeros((3, 16), dtype=np.float32)}, "3 vectors of"),
        ({"vectors": np.full((20, 16), np.nan, dtype=np.float32)}, "not finite float32"),
        ({"vectors": np.zeros((20, 16), dtype=np.float64)}, "not finite float32"),
        ({"vectors": np.zeros(20, dtype=np.float32)}, "not finite float32"),
        ({"others": np.zeros((20, 16), dtype=np.float32)}, "vectors are not there"),
    ],
)
def test_a_file_that_says_what_it_should_and_holds_something_else_is_one_line(
    data: Path, tmp_path: Path, tensors: dict[str, np.ndarray], said: str
) -> None:
    folder = checkpoint(tmp_path / "bert")
    assert made(data, folder) == 0
    path = data / "beir/toys/mine.safetensors"
    length = int.from_bytes(path.read_bytes()[:8], "little")
    about = json.loads(path.read_bytes()[8 : 8 + length])["__metadata__"]
    path.write_bytes(save(tensors, metadata=about))
    opened = task(data, folder)
    with pytest.raises(DataError, match=f"is no file of ready vectors .*{said}") as caught:
        opened.evaluate(opened.build(0).eval(), "test")
    assert "\n" not in str(caught.value)
