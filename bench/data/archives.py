"""What ``.gz`` and ``.xz`` files hold, as streams that stop where an archive expands beyond measure."""

from __future__ import annotations

import gzip
import io
import lzma
from pathlib import Path
from typing import Any, BinaryIO

from bench.errors import DataError

EXPANDED, RATIO = 64 << 20, 250
"""An archive may expand to so many bytes, or to so many times its own size: text reaches about ten times."""
XZ_MEMORY = 256 << 20
"""Bytes that the decoder of an .xz may take; ``xz -9`` makes files that need a quarter of it."""
BLOCK = 1 << 17


def expanded(path: Path) -> BinaryIO:
    """The content of a file, uncompressed where its name ends in ``.gz`` or ``.xz``."""
    if path.suffix == ".gz":
        if path.stat().st_size == 0:
            raise EOFError("the file is empty")  # which gzip takes for empty content
        return io.BufferedReader(_Expanding(gzip.open(path), path), BLOCK)
    if path.suffix == ".xz":
        return io.BufferedReader(_Expanding(_Xz(path), path), BLOCK)
    return path.open("rb")


class _Expanding(io.RawIOBase):
    """The content of an archive; one that expands beyond measure is a ``DataError`` before it fills memory or disk."""

    def __init__(self, content: BinaryIO | io.RawIOBase | gzip.GzipFile, path: Path) -> None:
        self._content, self._path, self._read = content, path, 0
        self._most = max(EXPANDED, RATIO * path.stat().st_size)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if isinstance(self._content, gzip.GzipFile):  # one block at a time: what precedes a damaged one is not lost
            count = self._content.readinto1(buffer)
        else:
            count = self._content.readinto(buffer)  # type: ignore[union-attr, assignment]
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
                    rest = self._file.read(BLOCK)
                    if not rest:
                        return 0
                self._decoder, self._ahead = self._new(), rest
            block, self._ahead = self._ahead, b""
            if self._decoder.needs_input and not block:
                block = self._file.read(BLOCK)
                if not block:
                    raise EOFError("the file ends before its end marker")
            found = self._decoder.decompress(block, len(buffer))
            if found:
                buffer[: len(found)] = found
                return len(found)

    def close(self) -> None:
        self._file.close()
        super().close()
