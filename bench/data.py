"""Finds, opens and identifies data sets. A file is read plain, ``.gz`` or ``.xz`` alike.

Where a data set is looked for, in this order: ``--data DIR``, ``$BENCH_DATA``, the cache
(``$XDG_CACHE_HOME/prunebench``), and last the task's embedded sample.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import lzma
import os
import re
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from bench.errors import DataError, UsageError

COMPRESSIONS = ("", ".gz", ".xz")
SAMPLE = "sample"
SETTLED = 2.0
"""Seconds after which a change of a file is sure to change its time stamp as well."""
LONGEST_LINE = 16 << 20
"""Bytes of a line of text at most."""
LARGEST_READ = 64 << 30
"""Bytes that are read at once at most, where the caller knows no lower limit."""
EXPANDED, RATIO = 64 << 20, 250
"""An archive may expand to so many bytes, or to so many times its own size: text reaches about ten times."""
XZ_MEMORY = 256 << 20
"""Bytes that the decoder of an .xz may take; ``xz -9`` makes files that need a quarter of it."""
_BLOCK = 1 << 17


@dataclass(frozen=True)
class DataIdentity:
    """Which data a result was measured on."""

    name: str
    kind: str
    """``sample`` (embedded, synthetic), ``subset`` or ``whole`` (of the official release)."""
    counts: Mapping[str, int]
    """What was there and used: rows, passages, queries."""
    digest: str
    """SHA-256 over names and uncompressed contents of the files used, 64 hexadecimal digits."""


class Files(Protocol):
    """The files of one data set, wherever they are."""

    @property
    def kind(self) -> str:
        """``sample`` or ``real``."""
        ...

    def has(self, name: str) -> bool:
        """Whether the file is there, plain or compressed."""
        ...

    def open(self, name: str) -> BinaryIO:
        """The uncompressed content of a file, as a stream. Raises ``DataError`` where it is missing."""
        ...

    def where(self, name: str) -> str:
        """How error messages name the file."""
        ...

    def digest(self, names: Sequence[str]) -> str:
        """SHA-256 over the names and uncompressed contents of the named files that are there."""
        ...


@dataclass(frozen=True)
class Folder:
    """A data set in a folder."""

    root: Path
    kind: str = "real"

    def _path(self, name: str) -> Path | None:
        candidates = (self.root / f"{name}{suffix}" for suffix in COMPRESSIONS)
        return next((path for path in candidates if path.is_file()), None)

    def has(self, name: str) -> bool:
        return self._path(name) is not None

    def where(self, name: str) -> str:
        return str(self._path(name) or self.root / name)

    def open(self, name: str) -> BinaryIO:
        path = self._path(name)
        if path is None:
            raise DataError(
                "no such file, plain, .gz or .xz",
                where=str(self.root / name),
                mend="Put it there, or point --data at the folder that has it.",
            )
        if path.suffix == ".gz":
            if path.stat().st_size == 0:
                raise EOFError("the file is empty")  # which gzip takes for empty content
            return io.BufferedReader(_Expanding(gzip.open(path), path), _BLOCK)
        if path.suffix == ".xz":
            return io.BufferedReader(_Expanding(_Xz(path), path), _BLOCK)
        return path.open("rb")

    def digest(self, names: Sequence[str]) -> str:
        contents = {}
        for name in sorted(names):
            path = self._path(name)
            if path is not None:
                contents[name] = content_digest(self, name)
        return _digest_of_digests(contents)


@dataclass(frozen=True)
class Memory:
    """A data set held in memory: the embedded sample."""

    name: str
    contents: Mapping[str, bytes]
    kind: str = SAMPLE

    def has(self, name: str) -> bool:
        return name in self.contents

    def where(self, name: str) -> str:
        return f"embedded sample of {self.name}, {name}"

    def open(self, name: str) -> BinaryIO:
        if name not in self.contents:
            raise DataError("no such file", where=self.where(name))
        return io.BytesIO(self.contents[name])

    def digest(self, names: Sequence[str]) -> str:
        return _digest_of_digests(
            {name: hashlib.sha256(self.contents[name]).hexdigest() for name in sorted(names) if name in self.contents}
        )


class _Expanding(io.RawIOBase):
    """The content of an archive; one that expands beyond measure is a ``DataError`` before it fills memory or disk."""

    def __init__(self, content: BinaryIO | io.RawIOBase | gzip.GzipFile, path: Path) -> None:
        self._content, self._path, self._read = content, path, 0
        self._most = max(EXPANDED, RATIO * path.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count: int = self._content.readinto(buffer)  # type: ignore[union-attr, assignment]
        self._read += count
        if self._read > self._most:
            raise DataError(
                f"expands to more than {RATIO} times its size",
                where=str(self._path),
                mend="No text or picture does: unpack it yourself if you trust it.",
            )
        return count

    def tell(self) -> int:
        return self._read

    def close(self) -> None:
        self._content.close()
        super().close()


class _Xz(io.RawIOBase):
    """Like ``lzma.open``, with a limit of the memory that a file's header can make the decoder take, and an error for
    anything but padding after the last stream."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        self._decoder = self._new()
        self._ahead = b""

    @staticmethod
    def _new() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(format=lzma.FORMAT_AUTO, memlimit=XZ_MEMORY)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            if self._decoder.eof:
                rest = self._decoder.unused_data
                while not (rest := rest.lstrip(b"\0")):
                    rest = self._file.read(_BLOCK)
                    if not rest:
                        return 0
                self._decoder, self._ahead = self._new(), rest
            block, self._ahead = self._ahead, b""
            if self._decoder.needs_input and not block:
                block = self._file.read(_BLOCK)
                if not block:
                    raise EOFError("the file ends before its end marker")
            found = self._decoder.decompress(block, len(buffer))
            if found:
                buffer[: len(found)] = found
                return len(found)

    def close(self) -> None:
        self._file.close()
        super().close()


def read(files: Files, name: str, most: int | None = None) -> bytes:
    """The whole uncompressed content of a file. A damaged or truncated archive is a ``DataError``.

    Of a file with more than ``most`` bytes, so many and one more: enough to see that it goes on.
    """
    limit = LARGEST_READ if most is None else most + 1
    found: list[bytes] = []
    with _opened(files, name) as stream:
        while limit > 0 and (block := stream.read(min(limit, 1 << 24))):
            found.append(block)
            limit -= len(block)
    return b"".join(found)


def lines(files: Files, name: str) -> Iterator[tuple[int, str]]:
    """Line number (from 1) and text of each line, without its line end and a byte-order mark at the file's start;
    invalid UTF-8, or a line without an end in sight, is a ``DataError``."""
    with _opened(files, name) as stream:
        for number, raw in enumerate(iter(partial(stream.readline, LONGEST_LINE + 1), b""), start=1):
            if len(raw) > LONGEST_LINE:
                raise DataError(
                    f"longer than {LONGEST_LINE:,} bytes",
                    where=f"{files.where(name)}, line {number}",
                    mend="No line of this format is: fetch the file again.",
                )
            try:
                text = raw.decode("utf-8")
            except UnicodeDecodeError as error:
                raise DataError(
                    f"invalid UTF-8 at byte {error.start} of the line",
                    where=f"{files.where(name)}, line {number}",
                    mend="Save the file as UTF-8.",
                ) from error
            yield number, (text.removeprefix("\ufeff") if number == 1 else text).rstrip("\r\n")


@contextmanager
def _opened(files: Files, name: str) -> Iterator[BinaryIO]:
    """The file as a stream; whatever keeps it from being read is a ``DataError``."""
    read = 0
    try:
        with files.open(name) as stream:
            try:
                yield stream
            finally:
                read = stream.tell()
    except (EOFError, lzma.LZMAError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"the compressed file is damaged or cut short after byte {read} of its content ({error})",
            where=files.where(name),
            mend="Fetch it again.",
        ) from error
    except OSError as error:
        raise DataError(
            f"cannot be read ({error.strerror or error})", where=files.where(name), mend="Mend its permissions."
        ) from error


def columns(files: Files, name: str, count: int, *, what: str, separator: str | None = "\t") -> Iterator[list[str]]:
    """The ``count`` columns of each line; ``separator`` None splits at white space. ``what`` names them for errors."""
    for number, text in lines(files, name):
        parts = text.split(separator) if separator is None else text.split(separator, count - 1)
        if len(parts) != count:
            raise DataError(
                f"{len(parts)} columns where {count} belong ({what})",
                where=f"{files.where(name)}, line {number}",
                mend="Mend or delete the line.",
            )
        yield parts


def source(task: Any, options: Any) -> tuple[str, Sequence[str]]:
    """Folder and required files of the data that a task (its class) stands on under these options."""
    chosen: Callable[[Any], tuple[str, Sequence[str]]] | None = getattr(task, "source", None)
    return chosen(options) if chosen is not None else (task.dataset, task.required)


def find(dataset: str, required: Sequence[str], data: str | None, *, offered: bool = False) -> Files | None:
    """The data set's files, or None for the embedded sample. ``offered``: ``bench data get`` can fetch it.

    Raises ``DataError`` where ``data`` (the ``--data`` flag) is given and lacks the data set, ``UsageError`` where it
    is no folder. ``--data sample`` asks for the embedded sample.
    """
    if data == SAMPLE:
        return None
    if data is not None:
        root = _named_root(data)
        found = _below(root, dataset, required)
        if found is None:
            folder = Folder(root if _holds(root, dataset) and not (root / dataset).is_dir() else root / dataset)
            missing = [name for name in required if not folder.has(name)]
            fetch = f"'bench data get {dataset} --data {data}' fetches them. Or put" if offered else "Put"
            raise DataError(
                f"lacks {', '.join(f'{dataset}/{name}' for name in missing)} (plain, .gz or .xz)",
                where=f"--data {data}",
                mend=f"{fetch} the official files of {dataset} there, or leave --data out to use the embedded sample.",
            )
        return found
    _check_root(dataset, required, offered)
    return next(filter(None, (_below(root, dataset, required) for root in _roots())), None)


def located(dataset: str, data: str | None) -> list[Path]:
    """The folders in which ``find`` looks for a data set, whether they are there or not, in its order."""
    if data == SAMPLE:
        return []
    roots = _roots() if data is None else [_named_root(data)]
    return [folder for root in roots for folder in (root / dataset, *([root] if _holds(root, dataset) else []))]


def _roots() -> list[Path]:
    """Where data sets are looked for without ``--data``."""
    named = os.environ.get("BENCH_DATA")
    return [*([Path(named)] if named else []), cache_folder() / "data"]


def _named_root(data: str) -> Path:
    if not Path(data).is_dir():
        raise UsageError(
            "no such folder", where=f"--data {data}", mend="Give the folder that holds the data sets, or 'sample'."
        )
    return Path(data)


def _check_root(dataset: str, required: Sequence[str], offered: bool) -> None:
    """Raises ``UsageError`` where ``$BENCH_DATA`` is set and is no folder, or lacks the data set: a misspelt name must
    not mean a night on the sample."""
    named = os.environ.get("BENCH_DATA")
    if named and _below(Path(named), dataset, required) is None:
        there = Path(named).is_dir()
        wrong = f"lacks {dataset}" if there else "is no folder"
        fetch = f"'bench data get {dataset}' fetches it. Or mend" if offered and there else "Mend"
        raise UsageError(
            wrong, where=f"BENCH_DATA={named}", mend=f"{fetch} it, or give --data (a folder, or 'sample')."
        )


def _below(root: Path, dataset: str, required: Sequence[str]) -> Folder | None:
    """The data set in ``root``, or ``root`` itself where it is the data set's own folder."""
    folders = [Folder(root / dataset), *([Folder(root)] if _holds(root, dataset) else [])]
    return next((folder for folder in folders if all(folder.has(name) for name in required)), None)


def _holds(root: Path, dataset: str) -> bool:
    return root.absolute().name == dataset.rsplit("/", 1)[-1]


def content_digest(folder: Folder, name: str) -> str:
    """SHA-256 of a file's uncompressed content, remembered for as long as the file stays as it is. Raises ``DataError``
    where it is missing or damaged."""
    path = Path(folder.where(name))
    if not path.is_file():
        folder.open(name)
    return _remembered_digest(path, partial(_hash, folder, name))


def file_digest(path: Path) -> str:
    """SHA-256 of a file as it lies there, remembered for as long as the file stays as it is."""

    def compute() -> str:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    return _remembered_digest(path, compute)


def cache_folder() -> Path:
    """Where downloads and derived files are kept: ``$XDG_CACHE_HOME/prunebench``."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "prunebench"
    except RuntimeError:  # a user without a home, as in many containers
        return Path(tempfile.gettempdir()) / f"prunebench-{os.getuid()}"


def _hash(files: Files, name: str) -> str:
    digest = hashlib.sha256()
    with _opened(files, name) as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _digest_of_digests(contents: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()


def _remembered_digest(path: Path, compute: Callable[[], str]) -> str:
    """``compute()``, remembered in the cache for as long as the file's size and times of change stay."""
    state = path.stat()
    stamps = (state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)
    identity = "\0".join(map(str, (path.resolve(), *stamps)))
    memo = cache_folder() / "digests" / hashlib.sha256(identity.encode()).hexdigest()
    try:
        known = memo.read_text()
        if re.fullmatch("[0-9a-f]{64}", known):
            return known
    except (OSError, ValueError):
        pass
    digest = compute()
    # A second change in the same tick of the clock would leave the same stamps: only a settled file is remembered.
    if time.time() - max(state.st_mtime, state.st_ctime) < SETTLED:
        return digest
    scratch = memo.with_name(f"{memo.name}.{os.getpid()}")
    with suppress(OSError):  # a cache that cannot be written costs time, never a result
        try:
            memo.parent.mkdir(parents=True, exist_ok=True)
            scratch.write_text(digest)
            scratch.replace(memo)
        finally:
            scratch.unlink(missing_ok=True)
    return digest
