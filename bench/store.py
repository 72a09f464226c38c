"""The results folder: content-addressed, atomic files.

    results.json                       schema of the folder
    records/KEY.json                   one record a finished cell, with a checksum inside
    timings/KEY.json                   seconds by step kind: what depends on the clock
    measurements/KEY.json              measured latency of a cell's model, where it was asked for
    files/KEY.KIND.DIGEST[.gz]         what an evaluation left: per-example values, a run file
    states/KEY.DIGEST.safetensors      weights and masks that later steps start from
    partial/KEY.DIGEST.safetensors     a training step on its way
    references/KEY.json                baselines without a network
    damaged/                           what failed its checksum, set aside
    logs/                              tracebacks of failed cells

A file is written beside its place, flushed to disk and renamed; it is there whole or not at all. DIGEST is the first
16 hexadecimal digits of the content's SHA-256, so that a damaged file is noticed when read. Imports no torch.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.errors import CellError, StoreError
from bench.record import SCHEMA, Record, check_schema, dumps, loads, seal, unseal

FOLDERS = ("records", "timings", "measurements", "files", "states", "partial", "references", "damaged", "logs")
DIGEST_LENGTH = 16

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""A key or a kind: nothing that could lead out of the folder or be mistaken for something else in it."""
_FILE = re.compile(r"[A-Za-z0-9_-]{1,64}\.[A-Za-z0-9_-]{1,64}\.[0-9a-f]{16}(\.[a-z0-9]{1,16}){0,2}")
"""The name of a file beside a record: key, kind, digest."""
LARGEST_RECORD = 256 << 20
"""Bytes of a record, a timing, a measurement or a reference at most."""
_SCRATCH = re.compile(r"\.writing-(\d+)", re.ASCII)
"""How the name of something half-written ends, with the process that writes it."""


class Store:
    """One results folder."""

    def __init__(self, root: Path | str, *, create: bool = False) -> None:
        self.root = Path(root)
        self._open(create)

    def _open(self, create: bool) -> None:
        marker = self.root / "results.json"
        if marker.is_file():
            try:
                check_schema(json.loads(marker.read_bytes()).get("schema"), "the results folder")
            except StoreError as error:
                raise StoreError(error.what, where=str(self.root), mend=error.mend) from None
            except OSError as error:
                raise _unreadable(marker, error) from error
            except (ValueError, AttributeError, RecursionError) as error:
                raise StoreError(
                    f"results.json is damaged ({error})",
                    where=str(self.root),
                    mend=f'Write {{"schema": {SCHEMA}}} into it, or give another folder with --out.',
                ) from error
        elif not create:
            raise StoreError("is not a results folder", where=str(self.root), mend="Give the --out of a 'bench run'.")
        elif self.root.is_dir() and any(not _scratch_of(path, marker.name) for path in self.root.iterdir()):
            raise StoreError("is not empty and not a results folder", where=str(self.root), mend="Give another --out.")
        else:
            with self._explained(marker):
                self.root.mkdir(parents=True, exist_ok=True)
                self._write(marker, json.dumps({"schema": SCHEMA}).encode())
        if create:
            with self._explained(self.root):
                for name in FOLDERS:
                    (self.root / name).mkdir(exist_ok=True)
                for pattern in ("*.writing-*", "*/*.writing-*"):
                    for scratch in self.root.glob(pattern):
                        _remove_abandoned(scratch)

    # Records

    def record(self, key: str) -> Record | None:
        """The record of a cell, or None where there is none; a damaged one is set aside.

        Raises ``StoreError`` where it is of a newer schema or cannot be read.
        """
        path = self.root / "records" / f"{key}.json"
        text = self._text(path, key)
        if text is None:
            return None
        try:
            record = loads(text)
        except StoreError as error:
            raise StoreError(error.what, where=str(path), mend=error.mend) from None
        except ValueError:
            self.set_aside(path)
            return None
        if record.key != key or not all(self._has(name) for name in record.files.values()):
            self.set_aside(path)
            return None
        return record

    def records(self) -> Iterator[Record]:
        """All records, in the order of their keys."""
        for path in sorted((self.root / "records").glob("*.json")):
            record = self.record(path.stem)
            if record is not None:
                yield record

    def put_record(self, record: Record, timing: Mapping[str, float]) -> None:
        """Writes a cell's timing, then its record: a cell is done once its record is there.

        Raises ``CellError`` where the record holds what is no plain JSON.
        """
        content = dumps(record).encode()
        self._put(self.root / "timings" / f"{record.key}.json", json.dumps(timing, sort_keys=True).encode())
        self._put(self.root / "records" / f"{record.key}.json", content)

    def timing(self, key: str) -> dict[str, float]:
        """Seconds by step kind on the path of a cell; empty where it is not known."""
        try:
            path = self.root / "timings" / f"{key}.json"
            timing = json.loads(path.read_bytes()) if path.stat().st_size <= LARGEST_RECORD else {}
            found = {kind: float(seconds) for kind, seconds in timing.items() if type(seconds) in (int, float)}
            return {kind: seconds for kind, seconds in found.items() if 0 <= seconds < float("inf")}
        except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
            return {}

    def put_measurement(self, key: str, measurement: Mapping[str, Any]) -> None:
        """Keeps what was measured of a cell's model by the clock: plain data by kind (``latency``)."""
        self._put(self.root / "measurements" / f"{key}.json", seal(measurement).encode())

    def measurement(self, key: str) -> dict[str, Any]:
        """What was measured of a cell's model, by kind; empty where nothing was. A damaged one is set aside."""
        path = self.root / "measurements" / f"{key}.json"
        text = self._text(path, key)
        if text is None:
            return {}
        try:
            return unseal(text, "the measurement")
        except ValueError:
            self.set_aside(path)
            return {}

    # Files beside a record

    def put_file(self, key: str, kind: str, content: bytes, suffix: str = "") -> str:
        """Writes a file that belongs to a record; returns its name under ``files/``.

        Raises ``CellError`` for a ``kind`` that could be no plain part of a file name: kinds come from tasks.
        """
        if not _NAME.fullmatch(kind):
            raise CellError(
                f"an evaluation left a file of the kind {kind!r}",
                mend="Name kinds with up to 64 letters, digits, '-' and '_' in the task's Evaluation.files.",
            )
        name = f"{key}.{kind}.{_digest(content)}{suffix}"
        self._put(self.root / "files" / name, content)
        return name

    def file(self, name: str) -> bytes:
        """Content of a file under ``files/``. Raises ``StoreError`` where it is missing or damaged, or no such name."""
        path = self.root / "files" / name
        if not _FILE.fullmatch(name):
            raise StoreError(f"{name[:80]!r} is no name of a file beside a record", where=str(self.root))
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            content = b""
        except OSError as error:
            raise _unreadable(path, error) from error
        if _digest(content) not in path.name.split("."):
            raise StoreError("is missing or damaged", where=str(path), mend="Run the grid again to recompute it.")
        return content

    # States

    def put_state(self, key: str, write: Callable[[Path], None], *, partial: bool = False) -> None:
        """Keeps the state of a node, written by ``write(path)``; a partial one replaces the one before.

        ``path`` is in a folder of its own, so that what a killed writer left beside it is found again and removed.
        """
        folder = self.root / ("partial" if partial else "states")
        scratch = folder / f"{key}.writing-{os.getpid()}"
        with self._explained(folder):
            try:
                scratch.mkdir(parents=True, exist_ok=True)
                written = scratch / "state.safetensors"
                write(written)
                place = folder / f"{key}.{_digest_file(written)}.safetensors"
                _flush(written)
                written.replace(place)
                _flush(folder)
            finally:
                _remove(scratch)
            for older in folder.glob(f"{key}.*.safetensors"):
                if older != place:
                    older.unlink(missing_ok=True)

    def state(self, key: str, *, partial: bool = False) -> Path | None:
        """The file with a node's state, verified, or None; a damaged one is set aside.

        Of two, left by a crash between writing the new and removing the old, the later one.
        """
        found = (self.root / ("partial" if partial else "states")).glob(f"{key}.*.safetensors")
        for path in sorted(found, key=_age):
            if self._whole(path):
                return path
            self.set_aside(path)
        return None

    def drop_state(self, key: str, *, partial: bool = False) -> None:
        """Forgets the state of a node."""
        folder = self.root / ("partial" if partial else "states")
        with self._explained(folder):
            for path in folder.glob(f"{key}.*.safetensors"):
                path.unlink(missing_ok=True)

    # References and logs

    def put_reference(self, key: str, content: Mapping[str, Any]) -> None:
        """Keeps the baselines of a task on one data set."""
        self._put(self.root / "references" / f"{key}.json", seal(content).encode())

    def reference(self, key: str) -> dict[str, Any] | None:
        """The baselines kept under ``key``, or None; damaged ones are set aside."""
        path = self.root / "references" / f"{key}.json"
        text = self._text(path, key)
        if text is None:
            return None
        try:
            return unseal(text, "the reference")
        except ValueError:
            self.set_aside(path)
            return None

    def references(self) -> list[dict[str, Any]]:
        """All baselines, in the order of their keys."""
        keys = sorted(path.stem for path in (self.root / "references").glob("*.json"))
        return [found for key in keys if (found := self.reference(key)) is not None]

    def put_log(self, key: str, text: str) -> str:
        """Keeps a traceback; returns its place relative to the folder."""
        self._put(self.root / "logs" / f"{key}.txt", text.encode(errors="backslashreplace"))
        return f"logs/{key}.txt"

    def set_aside(self, path: Path) -> None:
        """Moves a damaged file where nothing reads it.

        Where it cannot be moved (a folder that is read-only, another process that was faster) it stays and counts for
        nothing all the same.
        """
        place = self.root / "damaged" / f"{path.parent.name}.{path.name}"
        with suppress(OSError):
            place.parent.mkdir(exist_ok=True)
            path.replace(place)

    def damaged(self) -> list[str]:
        """Names of the files set aside."""
        return sorted(path.name for path in (self.root / "damaged").glob("*"))

    # Writing and checking

    def _has(self, name: str) -> bool:
        """Whether a file that a record names lies under ``files/``, whole."""
        return _FILE.fullmatch(name) is not None and self._whole(self.root / "files" / name)

    def _whole(self, path: Path) -> bool:
        """Whether a file with a digest in its name has that content."""
        try:
            return _digest_file(path) in path.name.split(".")
        except OSError:
            return False

    def _text(self, path: Path, key: str) -> str | None:
        """Text of the file of a key, or None; what is no text is set aside."""
        if not _NAME.fullmatch(key):
            return None
        try:
            if path.stat().st_size > LARGEST_RECORD:
                self.set_aside(path)
                return None
            return path.read_bytes().decode()
        except FileNotFoundError:
            return None
        except (UnicodeDecodeError, IsADirectoryError):
            self.set_aside(path)
            return None
        except OSError as error:
            raise _unreadable(path, error) from error

    def _put(self, path: Path, content: bytes) -> None:
        with self._explained(path):
            path.parent.mkdir(exist_ok=True)
            self._write(path, content)

    def _write(self, path: Path, content: bytes) -> None:
        scratch = path.with_name(f"{path.name}.writing-{os.getpid()}")
        try:
            with scratch.open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            scratch.replace(path)
            _flush(path.parent)
        finally:
            scratch.unlink(missing_ok=True)

    @contextmanager
    def _explained(self, path: Path) -> Iterator[None]:
        """Turns what the file system refuses into one line; what was done stays."""
        try:
            yield
        except OSError as error:
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            raise StoreError(
                "no space left on the disk" if full else f"cannot be written ({error.strerror or error})",
                where=str(path),
                mend="Free some space and run again: finished cells stay."
                if full
                else "Give a folder that can be written with --out.",
            ) from error


def _unreadable(path: Path, error: OSError) -> StoreError:
    return StoreError(
        f"cannot be read ({error.strerror or error})", where=str(path), mend="Mend its permissions, or the disk."
    )


def _scratch_of(path: Path, name: str) -> bool:
    """Whether ``path`` is something half-written that was to become ``name``."""
    return path.name.startswith(name) and _SCRATCH.fullmatch(path.name.removeprefix(name)) is not None


def _remove_abandoned(scratch: Path) -> None:
    """Removes something half-written unless another process that writes it still runs."""
    process = _SCRATCH.fullmatch(scratch.suffix)
    if process is not None and not _runs(int(process[1])):
        _remove(scratch)


def _runs(process: int) -> bool:
    """Whether another process of this number is alive."""
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _remove(scratch: Path) -> None:
    if scratch.is_dir():
        shutil.rmtree(scratch, ignore_errors=True)
    else:
        scratch.unlink(missing_ok=True)


def _age(path: Path) -> float:
    """Sorts the newest file first; one that is gone comes last."""
    try:
        return -path.stat().st_mtime_ns
    except OSError:
        return 0.0


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGEST_LENGTH]


def _digest_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:DIGEST_LENGTH]


def _flush(path: Path) -> None:
    """Forces a file's content, or a folder's entries, to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
