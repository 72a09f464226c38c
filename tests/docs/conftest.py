"""What a reader of the pages would have: some results, an exported model, a baseline, the plug-ins that they print."""

from __future__ import annotations

import os
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench import registry
from bench.cli import main
from bench.store import Store
from tests.conftest import REAL_DATA
from tests.docs.pages import ROOT, blocks
from tests.packaging.installing import pip_install

QUICK = ("--set", "train.steps=2", "--set", "recover.steps=2", "--threads", "1", "--device", "cpu")
"""Makes any grid on a sample a matter of seconds, its flags all read and planned as they stand."""


@dataclass(frozen=True)
class Desk:
    """Where commands are run."""

    root: Path
    key: str
    """Of a finished cell in ``results``."""


@pytest.fixture(scope="session")
def plug_ins(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The plug-ins that the pages print, on the path: a distribution that pip builds from docs/extending.md, and the
    criterion of the README, whose entry points alone are printed."""
    made = tmp_path_factory.mktemp("plug-ins")
    (made / "source").mkdir()
    for block in blocks(ROOT / "docs" / "extending.md"):
        if block.title:
            (made / "source" / block.title).write_text(block.text)
    site = made / "site"
    pip_install(made / "source", site)
    metadata = site / "squared-0.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: squared\nVersion: 0.1\n")
    for block in blocks(ROOT / "README.md"):
        if block.title == "my_pruner.py":
            (site / block.title).write_text(block.text)
        if "entry-points" in block.text:
            points = tomllib.loads(block.text)["project"]["entry-points"]["prunebench.pruners"]
            lines = (f"{name} = {value}" for name, value in points.items())
            (metadata / "entry_points.txt").write_text("\n".join(("[prunebench.pruners]", *lines, "")))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        patch.setenv("PYTHONPATH", os.pathsep.join((str(site), os.environ["PYTHONPATH"])))
        registry._entries.cache_clear()
        yield site
    registry._entries.cache_clear()


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, plug_ins: Path) -> Desk:
    """A desk to copy."""
    root = tmp_path_factory.mktemp("prepared")
    grid = ("--task", "ag-news", "--pruner", "random,magnitude", "--grid", "0.5", "--seeds", "0-1", "--data", "sample")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert main(["run", *grid, *QUICK, "--prune-embeddings", "--out", "results"]) == 0
        key = next(record.key for record in Store("results").records() if record.pruner == "magnitude")
        assert main(["export", key, "--out", "results", "--to", "exported"]) == 0
        shutil.copytree("results", "results/gate")
        (root / "tests" / "baseline").mkdir(parents=True)
        baseline = "tests/baseline/ag-news.jsonl"
        assert main(["compare", baseline, "results/gate", "--update-baseline"]) == 0
    if REAL_DATA is not None:
        (root / "data").symlink_to(REAL_DATA)
    return Desk(root, key)


@pytest.fixture
def desk(prepared: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk of its own for each command, and the working folder."""
    copied = Desk(tmp_path / "desk", prepared.key)
    shutil.copytree(prepared.root, copied.root, symlinks=True)
    monkeypatch.chdir(copied.root)
    return copied
