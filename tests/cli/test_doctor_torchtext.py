"""``bench doctor`` on torchtext, which installs anywhere and imports beside one torch alone."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from bench.cli import doctor


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "torchtext", raising=False)
    return tmp_path


def said() -> str:
    (line,) = [finding.said for finding in doctor.extras() if finding.about == "extra torchtext"]
    return line


def test_one_that_does_not_import_is_explained_and_is_no_problem(folder: Path) -> None:
    (folder / "torchtext.py").write_text("raise OSError('undefined symbol: _ZN3c10\\nmore')")
    assert said() == (
        f"present, but it does not import beside torch {version('torch')} (undefined symbol: _ZN3c10): it was built "
        "for torch 2.3 and is archived. Our own tokens and ids, the same, are used"
    )
    assert not any(finding.problem for finding in doctor.extras())


def test_one_that_imports_is_used(folder: Path) -> None:
    (folder / "torchtext.py").write_text("__version__ = '0.18.0'")
    assert said() == "present: 0.18.0, its tokens and vocabulary are used"
    del sys.modules["torchtext"]


def test_without_it_nothing_is_missing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert said().startswith("absent (optional): not needed, our own ids are the same. pip install --no-deps torchtext")
