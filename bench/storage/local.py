"""A folder of this machine, or of a file system that machines share (NFS, Lustre).

A file is written beside its place, flushed to the disk and renamed; it is there whole or not at all.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.storage.processes import abandoned, half_of, scratch_name

LONG_GONE = 86_400.0
"""Seconds after which something half-written by another machine is taken for abandoned."""


class Local:
    """The storage of a results folder that is a folder."""

    shared = True

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def address(self) -> str:
        return str(self.root.absolute())

    @property
    def folder(self) -> Path:
        return self.root

    def where(self, name: str) -> str:
        return str(self.root / name)

    def prepare(self, folders: Sequence[str]) -> None:
        for name in folders:
            (self.root / name).mkdir(parents=True, exist_ok=True)
        for pattern in ("*.writing-*", "*/*.writing-*"):
            for scratch in self.root.glob(pattern):
                gone = abandoned(scratch.name)
                if gone or (gone is None and _older(scratch, LONG_GONE)):
                    _remove(scratch)

    def empty(self) -> bool:
        return not self.root.is_dir() or all(half_of(path.name, "results.json") for path in self.root.iterdir())

    def read(self, name: str) -> bytes:
        return (self.root / name).read_bytes()

    def write(self, name: str, content: bytes) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_name(scratch_name(path.name))
        try:
            with scratch.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            scratch.replace(path)
            _flush(path.parent)
        finally:
            scratch.unlink(missing_ok=True)

    def create(self, name: str, content: bytes) -> bool:
        path = self.root / name
        try:
            with path.open("xb", buffering=0) as stream:
                try:
                    stream.write(content)
                except OSError:  # a full disk: an empty file would be somebody's lease
                    path.unlink(missing_ok=True)
                    raise
        except FileExistsError:
            return False
        return True

    def remove(self, name: str) -> None:
        (self.root / name).unlink(missing_ok=True)

    def move(self, name: str, to: str) -> None:
        place = self.root / to
        place.parent.mkdir(exist_ok=True)
        (self.root / name).replace(place)

    def has(self, name: str) -> bool:
        return (self.root / name).is_file()

    def names(self, folder: str) -> list[str]:
        try:
            return sorted(path.name for path in (self.root / folder).iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def stamps(self, folder: str) -> Mapping[str, str]:
        try:
            with os.scandir(self.root / folder) as entries:
                return {entry.name: _stamp(entry) for entry in entries}
        except (FileNotFoundError, NotADirectoryError):
            return {}

    def newest_first(self, names: Sequence[str]) -> list[str]:
        return sorted(names, key=lambda name: _age(self.root / name))

    def sizes(self) -> Mapping[str, int]:
        return {path.name: _bytes(path) for path in sorted(self.root.iterdir()) if path.is_dir()}

    @contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        """Beside the place of ``name``, so that what a killed writer left in it is found again and removed."""
        folder = self.root / scratch_name(name)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            yield folder
        finally:
            _remove(folder)

    def adopt(self, path: Path, name: str) -> None:
        place = self.root / name
        _flush(path)
        path.replace(place)
        _flush(place.parent)

    def local(self, name: str) -> Path:
        path = self.root / name
        if not path.is_file():
            raise FileNotFoundError(name)
        return path


def _remove(scratch: Path) -> None:
    if scratch.is_dir():
        shutil.rmtree(scratch, ignore_errors=True)
    else:
        scratch.unlink(missing_ok=True)


def _older(path: Path, seconds: float) -> bool:
    try:
        return time.time() - path.stat().st_mtime > seconds
    except OSError:
        return False


def _age(path: Path) -> float:
    """Sorts the newest file first; one that is gone comes last."""
    try:
        return -path.stat().st_mtime_ns
    except OSError:
        return 0.0


def _stamp(entry: os.DirEntry[str]) -> str:
    """What changes with a file's content; nothing of one that went away meanwhile."""
    try:
        found = entry.stat()
    except OSError:
        return ""
    return f"{found.st_mtime_ns:x}.{found.st_size:x}"


def _bytes(folder: Path) -> int:
    """Bytes of the files at and below a folder; none of what is no file, or went away meanwhile."""
    total = 0
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):
                total += _bytes(Path(entry.path)) if entry.is_dir() else entry.stat().st_size
    return total


def _flush(path: Path) -> None:
    """Forces a file's content, or a folder's entries, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
