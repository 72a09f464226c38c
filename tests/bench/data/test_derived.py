"""Arrays derived from data, kept in the cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.data.derived import arrays


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path


class Counted:
    def __init__(self) -> None:
        self.times = 0

    def __call__(self) -> dict[str, np.ndarray]:
        self.times += 1
        return {"tokens": np.arange(10, dtype=np.int32), "offsets": np.array([0, 4, 10])}


def test_arrays_are_made_once_and_mapped_from_then_on() -> None:
    make = Counted()
    first = arrays({"data": "a"}, make)
    second = arrays({"data": "a"}, make)
    assert make.times == 1
    assert isinstance(second["tokens"], np.memmap) and second["tokens"].dtype == np.int32
    assert all(np.array_equal(first[name], second[name]) for name in ("tokens", "offsets"))


def test_other_data_are_other_arrays() -> None:
    make = Counted()
    arrays({"data": "a"}, make)
    arrays({"data": "b"}, make)
    assert make.times == 2


def test_a_damaged_file_is_made_again(cache: Path) -> None:
    make = Counted()
    arrays({"data": "a"}, make)
    (damaged,) = cache.rglob("tokens.npy")
    damaged.write_bytes(damaged.read_bytes()[:-8])
    assert np.array_equal(arrays({"data": "a"}, make)["tokens"], np.arange(10))
    assert np.array_equal(arrays({"data": "a"}, make)["tokens"], np.arange(10))
    assert make.times == 2


def test_a_cache_that_cannot_be_written_costs_time_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    make = Counted()
    for _ in range(2):
        assert np.array_equal(arrays({"data": "a"}, make)["offsets"], [0, 4, 10])
    assert make.times == 2
