"""The files that are wanted out of an archive, and nothing else.

Only members that were asked for are written, under names that are ours. An archive that holds a path that leads
outside, a link or a device, or that is larger than it may be, is refused as a whole: no official one does.
"""

from __future__ import annotations

import gzip
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from bench.errors import DataError
from bench.sources import Download

MEMBERS = 10_000
RATIO = 200
"""How many times larger than the archive its content may be; text reaches about ten."""
SMALL = 16 << 20
"""Bytes below which the ratio does not matter."""
BLOCK = 1 << 20
"""Bytes read at once. tarfile asks for more only where a header says so that no archive needs."""


def unpack(source: Download, archive: Path, folder: Path) -> None:
    """Writes the files of ``source`` out of ``archive`` into ``folder``, which has none of them.

    Raises ``DataError`` for an archive that is damaged, unsafe or too large, or lacks a file that it should hold.
    """
    wanted = {file.member: folder / file.name for file in source.files}
    most = min(source.unpacked, max(SMALL, RATIO * archive.stat().st_size))
    with _explained(source):
        found = (_tar if source.archive == "tar" else _zip)(archive, wanted, most, source)
    missing = [file.member for file in source.files if file.member not in found and not file.optional]
    if missing:
        raise _refused(source, f"holds no {', '.join(missing)}")


def _tar(archive: Path, wanted: Mapping[str, Path], most: int, source: Download) -> set[str]:
    found: set[str] = set()
    with gzip.open(archive) as content:
        guarded = _Guarded(cast(BinaryIO, content), most, source)
        with tarfile.open(fileobj=cast(BinaryIO, guarded), mode="r:") as tar:
            for number, member in enumerate(tar):
                name = _checked(member.name, number, source)
                if member.isdir():
                    continue
                if not member.isreg() or member.issparse():
                    raise _refused(source, f"holds {name!r}, which is no plain file")
                if name in wanted:
                    stream = tar.extractfile(member)
                    assert stream is not None, "a plain file has content"
                    _write(stream, wanted[name], member.size, name, found, source)
        while guarded.read(BLOCK):  # to the end, where gzip's checksum stands
            pass
    return found


def _zip(archive: Path, wanted: Mapping[str, Path], most: int, source: Download) -> set[str]:
    found: set[str] = set()
    with zipfile.ZipFile(archive) as opened:
        total = 0
        for number, member in enumerate(opened.infolist()):
            name = _checked(member.filename, number, source)
            if member.is_dir():
                continue
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG) or member.flag_bits & 0x1:
                raise _refused(source, f"holds {name!r}, which is no plain file")
            total += member.file_size
            if total > most:
                raise _refused(source, f"unpacks to more than {most:,} bytes")
            if name in wanted:
                with opened.open(member) as stream:
                    _write(cast(BinaryIO, stream), wanted[name], member.file_size, name, found, source)
    return found


def _checked(name: str, number: int, source: Download) -> str:
    """The member's name as plain parts. Raises ``DataError`` for one that leads elsewhere, or one too many."""
    if number >= MEMBERS:
        raise _refused(source, f"holds more than {MEMBERS:,} members")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or ":" in name.split("/", 1)[0]:
        raise _refused(source, f"holds {name[:80]!r}, a path that leads outside")
    return str(path)


def _write(stream: object, place: Path, size: int, name: str, found: set[str], source: Download) -> None:
    if name in found:
        raise _refused(source, f"holds {name!r} twice")
    found.add(name)
    reader = cast(BinaryIO, stream)
    place.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with place.open("xb") as out:
        while block := reader.read(min(BLOCK, size - written + 1)):
            written += len(block)
            if written > size:
                raise _refused(source, f"{name!r} is longer than the archive says")
            out.write(block)
    if written < size:
        raise _refused(source, f"{name!r} is shorter than the archive says")


class _Guarded:
    """A stream that gives no more bytes than it may, and no block that only a false header would ask for."""

    def __init__(self, stream: BinaryIO, most: int, source: Download) -> None:
        self._stream, self._most, self._source = stream, most, source

    def read(self, size: int) -> bytes:
        if size > BLOCK:
            raise _refused(self._source, f"has a header of {size:,} bytes")
        found = self._stream.read(size)
        self._check()
        return found

    def seek(self, place: int) -> int:
        if place > self._most:
            raise _refused(self._source, f"unpacks to more than {self._most:,} bytes")
        if place < self._stream.tell() - 1:  # a negative size in a header would send tarfile round in circles
            raise _refused(self._source, "has a header that cannot be")
        return self._stream.seek(place)

    def tell(self) -> int:
        return self._stream.tell()

    def _check(self) -> None:
        if self._stream.tell() > self._most:
            raise _refused(self._source, f"unpacks to more than {self._most:,} bytes")


@contextmanager
def _explained(source: Download) -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise _refused(source, f"is damaged or cut short ({error or type(error).__name__})") from error
    except gzip.BadGzipFile as error:
        raise _refused(source, f"is damaged or cut short ({error})") from error
    except (ValueError, OverflowError) as error:  # numbers in headers that tarfile and zipfile do not expect
        raise _refused(source, f"has a header that cannot be ({error})") from error


def _refused(source: Download, what: str) -> DataError:
    return DataError(
        f"the archive {what}", where=source.filename, mend="Nothing was unpacked. Fetch it again, or look at its page."
    )
