"""What ``bench doctor`` says of an installed pyserini, with packages of that name that do what the real ones do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.cli import doctor

ROOT = Path(__file__).parent.parent.parent
STARTED = """
import jnius_config, os
jnius_config.vm_running = True
assert os.environ["JAVA_HOME"].endswith("jvm")
class Anything:
    ERROR = 0
    def setRootLevel(self, level): pass
def autoclass(name): return Anything()
"""
SETTINGS = """
vm_running = False
given = []
def add_classpath(path): given.append(path)
def add_options(*options): given.extend(options)
"""
PYSERINI = """
import jnius_config, os
assert jnius_config.vm_running, "Java is started with a module that this runtime lacks"
assert os.environ["OPENAI_API_KEY"]
assert any(one.endswith("anserini-9-fatjar.jar") for one in jnius_config.given)
assert not any("vector" in one for one in jnius_config.given)
"""
INDEXER = """
texts = []
class LuceneIndexer:
    def __init__(self, folder, threads): pass
    def add_batch_dict(self, documents): texts.extend(documents)
    def close(self): pass
"""
SEARCHER = """
from types import SimpleNamespace
class LuceneSearcher:
    def __init__(self, folder): pass
    def search(self, query):
        return [SimpleNamespace(docid={found!r})]
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Packages and a runtime that work; tests break what they are about."""
    site = tmp_path / "site"
    files = {
        "jnius_config.py": SETTINGS,
        "jnius.py": STARTED,
        "pyserini/__init__.py": PYSERINI,
        "pyserini/resources/jars/anserini-9-fatjar.jar": "",
        "pyserini/index/lucene.py": INDEXER,
        "pyserini/search/lucene.py": SEARCHER.format(found="0"),
        "pyserini-1.6.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: pyserini\nVersion: 1.6.0\n",
        "jvm/release": 'JAVA_VERSION="21.0.8"\nMODULES="java.base"\n',
        "jvm/lib/server/libjvm.so": "",
    }
    for name, text in files.items():
        (site / name).parent.mkdir(parents=True, exist_ok=True)
        (site / name).write_text(text)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(ROOT)]))
    monkeypatch.setenv("JAVA_HOME", str(site / "jvm"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    return site


def finding() -> doctor.Finding:
    (found,) = [one for one in doctor.extras() if one.about == "extra pyserini"]
    assert "\n" not in found.said
    return found


def test_one_that_finds_a_text_works(place: Path) -> None:
    found = finding()
    assert found.said == "present, and works: pyserini 1.6.0, Java 21.0.8 (JAVA_HOME)" and not found.problem


def test_one_that_finds_something_else_does_not(place: Path) -> None:
    (place / "pyserini/search/lucene.py").write_text(SEARCHER.format(found="1"))
    found = finding()
    assert "does not work: pyserini: found ['1']" in found.said and found.problem


def test_a_java_that_does_not_start_is_told_with_its_reason(place: Path) -> None:
    (place / "jnius.py").write_text("raise OSError('libjvm.so: invalid ELF header\\nand more')")
    found = finding()
    assert "does not start on JAVA_HOME: Java 21.0.8 (libjvm.so: invalid ELF header)" in found.said and found.problem


def test_a_java_that_takes_its_process_with_it_leaves_doctor_alive(place: Path) -> None:
    (place / "jnius.py").write_text("import os; os._exit(134)")
    found = finding()
    assert "does not work: ended with code 134" in found.said and found.problem


def test_a_pyserini_that_is_not_there_is_no_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    found = finding()
    assert found.said.startswith("absent (optional): pip install") and not found.problem
