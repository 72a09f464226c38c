"""The files of a data set, in a folder or in memory, read plain, ``.gz`` or ``.xz`` alike."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import lzma
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Protocol

from bench.data.archives import expanded
from bench.data.cache import remembered_digest
from bench.errors import DataError

COMPRESSIONS = ("", ".gz", ".xz")
SAMPLE = "sample"
LONGEST_LINE = 16 << 20
"""Bytes of a line of text at most."""
LARGEST_READ = 64 << 30
"""Bytes that are read at once at most, where the caller knows no lower limit."""


@dataclass(frozen=True)
class DataIdentity:
    """Which data a result was measured on."""

    name: str
    kind: str
    """``sample`` (embedded, synthetic), ``subset`` or ``whole`` (of the official release), or ``changed``: as much as
    the release, and other content."""
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

    def in_place(self, name: str) -> str:
        """What lies in a missing file's place, in brackets; empty where nothing does."""
        for path in (self.root / f"{name}{suffix}" for suffix in COMPRESSIONS):
            if path.is_dir():
                return f" ({path.name} is a folder)"
            if path.is_symlink():
                return f" ({path.name} is a link to nothing)"
        return ""

    def open(self, name: str) -> BinaryIO:
        path = self._path(name)
        if path is None:
            raise DataError(
                f"no such file, plain, .gz or .xz{self.in_place(name)}",
                where=str(self.root / name),
                mend="Put it there, or point --data at the folder that has it.",
            )
        return expanded(path)

    def digest(self, names: Sequence[str]) -> str:
        contents = {}
        for name in sorted(names):
            path = self._path(name)
            if path is not None:
                contents[name] = content_digest(self, name)
        return digest_of_digests(contents)


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
        return digest_of_digests(
            {name: hashlib.sha256(self.contents[name]).hexdigest() for name in sorted(names) if name in self.contents}
        )


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


def content_digest(folder: Folder, name: str) -> str:
    """SHA-256 of a file's uncompressed content, remembered for as long as the file stays as it is. Raises ``DataError``
    where it is missing or damaged."""
    path = Path(folder.where(name))
    if not path.is_file():
        folder.open(name)
    return remembered_digest(path, partial(_hash, folder, name))


def _hash(files: Files, name: str) -> str:
    digest = hashlib.sha256()
    with _opened(files, name) as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def digest_of_digests(contents: Mapping[str, str]) -> str:
    """``Files.digest`` of files by name whose SHA-256 are these."""
    return hashlib.sha256(json.dumps(contents, sort_keys=True).encode()).hexdigest()
