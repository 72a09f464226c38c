"""What all tests share: one thread, a cache of their own, the toy plug-in on the path, the real data where it is."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# Shared machines are slow now and then; a deadline would make tests of what holds always depend on that.
settings.register_profile("shared", deadline=None, derandomize=True)
settings.load_profile("shared")

FUZZ = 100
"""Mutated inputs a format in the usual suite; ``make test-fuzz`` gives a thousand."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz", type=int, default=FUZZ, metavar="N", help="mutated inputs a format (tests/fuzz)")


@pytest.fixture(scope="session")
def fuzz(request: pytest.FixtureRequest) -> int:
    """Mutated inputs a format."""
    count: int = request.config.getoption("--fuzz")
    return count


HERE = Path(__file__).parent
PLUGIN = HERE / "plugin"
sys.path.insert(0, str(PLUGIN))


def _real_data() -> Path | None:
    named = os.environ.get("BENCH_DATA")
    found = Path(named) if named else HERE.parent.parent / "shared" / "data"
    return found if found.is_dir() else None


REAL_DATA = _real_data()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests on real data need it, and say so where it is not."""
    for item in items:
        if item.get_closest_marker("data") and REAL_DATA is None:
            item.add_marker(pytest.mark.skipif(True, reason="no real data: set BENCH_DATA or put it in ../shared/data"))
        if item.get_closest_marker("gpu") and not _has_gpu():
            item.add_marker(pytest.mark.skipif(True, reason="no CUDA device"))


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Root of the real data sets."""
    assert REAL_DATA is not None
    return REAL_DATA


@pytest.fixture(autouse=True, scope="session")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One thread, an empty data root and cache, the toy plug-in for subprocesses too."""
    import torch

    torch.set_num_threads(1)
    os.environ["XDG_CACHE_HOME"] = str(tmp_path_factory.mktemp("cache"))
    os.environ.pop("BENCH_DATA", None)
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PLUGIN), os.environ.get("PYTHONPATH", "")]))
