"""The results folder: content-addressed, atomic files, on this machine or wherever ``bench.storage`` reaches.

    results.json                       schema of the folder
    records/KEY.json                   one record a finished cell, with a checksum inside
    timings/KEY.json                   seconds by step kind: what depends on the clock
    measurements/KEY.json              measured latency of a cell's model, where it was asked for
    files/KEY.KIND.DIGEST[.gz]         what an evaluation left: per-example values, a run file
    states/KEY.DIGEST.safetensors      weights and masks that later steps start from
    partial/KEY.DIGEST.safetensors     a training step on its way
    references/KEY.json                baselines without a network
    leases/KEY.N.json                  which process is computing what (``bench.leases``)
    runs/ID.json                       how far a run has come (``bench.foresight.runs``)
    damaged/                           what failed its checksum, set aside
    logs/                              tracebacks of failed cells, and what worker processes said

A file is there whole or not at all. DIGEST is the first 16 hexadecimal digits of the content's SHA-256, so that a
damaged file is noticed when read. Imports no torch.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bench.errors import CellError, StoreError
from bench.ledger import LEAST, Ledger
from bench.record import SCHEMA, Record, check_schema, dumps, loads, seal, unseal
from bench.storage import storage_of

FOLDERS = (
    "records", "timings", "measurements", "files", "states", "partial", "references", "leases", "runs", "damaged",
    "logs",
)  # fmt: skip
DIGEST_LENGTH = 16
MARKER = "results.json"
AT_ONCE = 16
"""Records asked for at a time where each takes a round trip to a server."""

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""A key or a kind: nothing that could lead out of the folder or be mistaken for something else in it."""
_FILE = re.compile(r"[A-Za-z0-9_-]{1,64}\.[A-Za-z0-9_-]{1,64}\.[0-9a-f]{16}(\.[a-z0-9]{1,16}){0,2}")
"""The name of a file beside a record: key, kind, digest."""
BLOCK = 1 << 20
LARGEST_RECORD = 256 << 20
"""Bytes of a record, a timing, a measurement or a reference at most."""


class Store:
    """One results folder, at a path or a URL.

    What is damaged counts for nothing. Who computes moves it to ``damaged/`` and makes it anew (``mends``, unless told
    otherwise who may create the folder); who only reads leaves it where it is and finds it in ``left_out``.
    """

    def __init__(self, address: Path | str, *, create: bool = False, mends: bool | None = None) -> None:
        self.storage = storage_of(address)
        self.mends = create if mends is None else mends
        self.left_out: dict[str, str] = {}
        """Files that count for nothing and stay where they are, each with what is wrong."""
        self._open(create)

    @staticmethod
    def at(address: Path | str) -> bool:
        """Whether there is a results folder at ``address``."""
        storage = storage_of(address)
        try:
            return storage.has(MARKER)
        except OSError as error:
            raise _unreadable(storage.where(MARKER), error) from error

    @property
    def root(self) -> Path:
        """The folder on this machine. Raises ``StoreError`` where the results lie elsewhere."""
        if self.storage.folder is None:
            raise StoreError("is no folder of this machine", where=self.where(), mend="Copy it to one first.")
        return self.storage.folder

    def where(self, name: str = "") -> str:
        """How errors name the folder, or a file in it."""
        return self.storage.where(name)

    def _open(self, create: bool) -> None:
        try:
            marker: bytes | None = self.storage.read(MARKER)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            marker = None
        except OSError as error:
            raise _unreadable(self.where(MARKER), error) from error
        if marker is not None:
            self._check(marker)
        elif not create:
            raise StoreError("is not a results folder", where=self.where(), mend="Give the --out of a 'bench run'.")
        else:
            with self._explained(MARKER):
                empty = self.storage.empty()
            if not empty:
                raise StoreError(
                    "is not empty and not a results folder", where=self.where(), mend="Give another --out."
                )
            with self._explained(MARKER):
                self.storage.prepare([""])
                self.storage.write(MARKER, json.dumps({"schema": SCHEMA}).encode())
        if create:
            with self._explained():
                self.storage.prepare(FOLDERS)

    def _check(self, marker: bytes) -> None:
        try:
            check_schema(json.loads(marker).get("schema"), "the results folder")
        except StoreError as error:
            raise StoreError(error.what, where=self.where(), mend=error.mend) from None
        except (ValueError, AttributeError, RecursionError) as error:
            raise StoreError(
                f"results.json is damaged ({error})",
                where=self.where(),
                mend=f'Write {{"schema": {SCHEMA}}} into it, or give another folder with --out.',
            ) from error

    # Records

    def record(self, key: str) -> Record | None:
        """The record of a cell, or None where there is none; a damaged one counts for nothing, and one whose files are
        not whole.

        Raises ``StoreError`` where it is of a newer schema, or it or a file cannot be read.
        """
        name = f"records/{key}.json"
        text = self._text(name, key)
        if text is None:
            return None
        try:
            record = loads(text)
        except StoreError as error:
            raise StoreError(error.what, where=self.where(name), mend=error.mend) from None
        except ValueError:
            self.set_aside(name)
            return None
        if record.key != key:
            self.set_aside(name)
            return None
        missing = next((file for file in record.files.values() if not self._beside(file)), None)
        if missing is not None:
            self.set_aside(name, f"is without its file files/{missing[:200]}, which is missing or damaged")
            return None
        return record

    def records(self, keys: Collection[str] | None = None, *, layers: bool = True) -> Iterator[Record]:
        """All records, or those of ``keys``, in the order of their keys.

        What was read before and has not changed since is not read again (``bench.ledger``). Who does not look at
        ``layers`` says so: to make them takes longer than all the rest of many records.
        """
        known = self._ledger(keys)
        if known is not None:
            ledger, stamps = known
            return ledger.records(stamps, self.record, layers=layers)
        return self._read(self.keys() if keys is None else sorted(keys))

    def _read(self, keys: Sequence[str]) -> Iterator[Record]:
        if self.storage.folder is not None:
            yield from filter(None, map(self.record, keys))
            return
        with ThreadPoolExecutor(AT_ONCE) as pool:
            yield from filter(None, pool.map(self.record, keys))

    def statuses(self, keys: Collection[str]) -> dict[str, str]:
        """``done`` or ``failed`` by key, for those of ``keys`` that have a record."""
        known = self._ledger(keys)
        if known is not None:
            ledger, stamps = known
            return ledger.statuses(stamps, self.record)
        return {record.key: record.status for record in self._read(sorted(keys))}

    def _ledger(self, keys: Collection[str] | None) -> tuple[Ledger, dict[str, str]] | None:
        """The ledger of what was read before, and the stamps of the keys that have a record; None where there are too
        few for that, or the storage gives no stamps."""
        if keys is not None and len(keys) < LEAST:
            return None
        records = self.storage.stamps("records")
        if records is None or len(records) < LEAST:
            return None
        stamps = {name[:-5]: stamp for name, stamp in records.items() if name.endswith(".json")}
        if keys is not None:
            stamps = {key: stamps[key] for key in keys if key in stamps}
        for name, stamp in sorted((self.storage.stamps("files") or {}).items()):
            key = name.partition(".")[0]
            if key in stamps:
                stamps[key] += f" {name[len(key) :]} {stamp}"
        return Ledger(self.root), stamps

    def keys(self, prefix: str = "") -> list[str]:
        """Keys of the cells that have a record and begin with ``prefix``, sorted; the records are not read."""
        return [key for key in self._keys("records") if key.startswith(prefix)]

    def has_record(self, key: str) -> bool:
        """Whether a cell has a record, which is not read."""
        return self.storage.has(f"records/{key}.json")

    def put_record(self, record: Record, timing: Mapping[str, float]) -> None:
        """Writes a cell's timing, then its record: a cell is done once its record is there.

        Raises ``CellError`` where the record holds what is no plain JSON.
        """
        content = dumps(record).encode()
        self._put(f"timings/{record.key}.json", json.dumps(timing, sort_keys=True).encode())
        self._put(f"records/{record.key}.json", content)

    def timing(self, key: str) -> dict[str, float]:
        """Seconds by step kind on the path of a cell; empty where it is not known."""
        try:
            timing = json.loads(self.storage.read(f"timings/{key}.json"))
            found = {kind: float(seconds) for kind, seconds in timing.items() if type(seconds) in (int, float)}
            return {kind: seconds for kind, seconds in found.items() if 0 <= seconds < float("inf")}
        except (OSError, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
            return {}

    def timings(self, keys: Collection[str]) -> dict[str, dict[str, float]]:
        """``timing`` of many keys, by key."""
        there = self.storage.stamps("timings") if len(keys) >= LEAST else None
        if there is None:
            return {key: self.timing(key) for key in keys}
        stamps = {key: there.get(f"{key}.json", "") for key in keys}
        return Ledger(self.root).timings(stamps, self.timing)

    def measured(self) -> frozenset[str]:
        """Keys of the cells that something was measured of."""
        return frozenset(self._keys("measurements"))

    def written(self, key: str) -> float | None:
        """When the file of a cell's record was written, in seconds since the epoch; None where that cannot be said."""
        try:
            return self.storage.local(f"records/{key}.json").stat().st_mtime if self.storage.folder else None
        except OSError:
            return None

    def put_measurement(self, key: str, measurement: Mapping[str, Any]) -> None:
        """Keeps what was measured of a cell's model by the clock: plain data by kind (``latency``)."""
        self._put(f"measurements/{key}.json", seal(measurement).encode())

    def measurement(self, key: str) -> dict[str, Any]:
        """What was measured of a cell's model, by kind; empty where nothing was. A damaged one is set aside."""
        return self._sealed(f"measurements/{key}.json", key, "the measurement") or {}

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
        self._put(f"files/{name}", content)
        return name

    def file(self, name: str) -> bytes:
        """Content of a file under ``files/``. Raises ``StoreError`` where it is missing or damaged, or no such name."""
        path = f"files/{name}"
        if not _FILE.fullmatch(name):
            raise StoreError(f"{name[:80]!r} is no name of a file beside a record", where=self.where())
        try:
            content = self.storage.read(path)
        except FileNotFoundError:
            content = b""
        except OSError as error:
            raise _unreadable(self.where(path), error) from error
        if _digest(content) not in name.split("."):
            raise StoreError(
                "is missing or damaged", where=self.where(path), mend="Run the grid again to recompute it."
            )
        return content

    def local(self, name: str) -> Path:
        """A file under ``files/`` on this machine, to be read at once and not checked. Raises ``OSError``."""
        return self.storage.local(f"files/{name}")

    # States

    def put_state(self, key: str, write: Callable[[Path], None], *, partial: bool = False) -> None:
        """Keeps the state of a node, written by ``write(path)``; a partial one replaces the one before.

        ``path`` is in a folder of its own, so that what a killed writer left beside it is found again and removed.
        """
        folder = _states(partial)
        with self._explained(folder):
            with self.storage.scratch(f"{folder}/{key}") as scratch:
                written = scratch / "state.safetensors"
                write(written)
                place = f"{key}.{_digest_file(written)}.safetensors"
                self.storage.adopt(written, f"{folder}/{place}")
            for older in self._of_state(key, folder):
                if older != f"{folder}/{place}":
                    self.storage.remove(older)

    def state(self, key: str, *, partial: bool = False) -> Path | None:
        """The file with a node's state, verified, or None; a damaged one is set aside.

        Of two, left by a crash between writing the new and removing the old, the later one. Where the results lie
        elsewhere it is a copy, which the next one takes the place of.
        """
        for name in self.storage.newest_first(self._of_state(key, _states(partial))):
            try:
                path = self.storage.local(name)
                if _digest_file(path) in name.split("."):
                    return path
            except FileNotFoundError:  # another process had done with it
                continue
            except OSError:
                pass
            self.set_aside(name)
        return None

    def drop_state(self, key: str, *, partial: bool = False) -> None:
        """Forgets the state of a node."""
        folder = _states(partial)
        with self._explained(folder):
            for name in self._of_state(key, folder):
                self.storage.remove(name)

    def state_keys(self) -> frozenset[str]:
        """Keys of the nodes whose state is kept; no state is read."""
        return frozenset(self._keys("states"))

    def partial(self, key: str) -> str | None:
        """What tells how far the training of a node was saved on its way; None where it was not."""
        return next(iter(self._of_state(key, _states(True))), None)

    def partials(self) -> list[str]:
        """Keys of the trainings that were saved on their way."""
        return self._keys("partial")

    def _of_state(self, key: str, folder: str) -> list[str]:
        found = self.storage.names(folder)
        return [f"{folder}/{name}" for name in found if name.startswith(f"{key}.") and name.endswith(".safetensors")]

    # References and logs

    def put_reference(self, key: str, content: Mapping[str, Any]) -> None:
        """Keeps the baselines of a task on one data set."""
        self._put(f"references/{key}.json", seal(content).encode())

    def reference(self, key: str) -> dict[str, Any] | None:
        """The baselines kept under ``key``, or None; damaged ones are set aside."""
        return self._sealed(f"references/{key}.json", key, "the reference")

    def references(self) -> list[dict[str, Any]]:
        """All baselines, in the order of their keys."""
        return [found for key in self._keys("references") if (found := self.reference(key)) is not None]

    def put_log(self, key: str, text: str) -> str:
        """Keeps a traceback, or what a worker process said; returns its place relative to the folder."""
        self._put(f"logs/{key}.txt", text.encode(errors="backslashreplace"))
        return f"logs/{key}.txt"

    def set_aside(self, name: str, why: str = "is damaged") -> None:
        """Moves a damaged file where nothing reads it; who only reads notes it in ``left_out``.

        Where it cannot be moved (another process was faster) it stays and counts for nothing all the same.
        """
        if not self.mends:
            self.left_out[name] = why
            return
        with suppress(OSError):
            self.storage.move(name, f"damaged/{name.replace('/', '.')}")

    def damaged(self) -> list[str]:
        """Names of the files set aside."""
        return self.storage.names("damaged")

    # Writing and checking

    def _keys(self, folder: str) -> list[str]:
        """Keys that files of a folder belong to, sorted, each once."""
        suffixes = (".json", ".safetensors")
        return sorted({name.partition(".")[0] for name in self.storage.names(folder) if name.endswith(suffixes)})

    def _beside(self, name: str) -> bool:
        """Whether a file that a record names lies under ``files/``, whole."""
        return _FILE.fullmatch(name) is not None and self._whole(f"files/{name}")

    def _whole(self, name: str) -> bool:
        """Whether a file with a digest in its name has that content. Elsewhere than on this machine, whether it is
        there: to fetch every file for every table would take too long, and what is read is checked then.

        Raises ``StoreError`` where it cannot be read.
        """
        try:
            if self.storage.folder is None:
                return self.storage.has(name)
            return _digest_file(self.storage.local(name)) in name.split(".")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return False
        except OSError as error:
            raise _unreadable(self.where(name), error) from error

    def _text(self, name: str, key: str) -> str | None:
        """Text of the file of a key, or None; what is no text is set aside."""
        if not _NAME.fullmatch(key):
            return None
        try:
            folder = self.storage.folder
            if folder is not None and (folder / name).stat().st_size > LARGEST_RECORD:
                self.set_aside(name)
                return None
            return self.storage.read(name).decode()
        except FileNotFoundError:
            return None
        except (UnicodeDecodeError, IsADirectoryError):
            self.set_aside(name)
            return None
        except OSError as error:
            raise _unreadable(self.where(name), error) from error

    def _sealed(self, name: str, key: str, what: str) -> dict[str, Any] | None:
        """What ``seal`` wrote into a file, or None; a damaged one is set aside."""
        text = self._text(name, key)
        if text is None:
            return None
        try:
            return unseal(text, what)
        except ValueError:
            self.set_aside(name)
            return None

    def _put(self, name: str, content: bytes) -> None:
        with self._explained(name):
            self.storage.write(name, content)

    @contextmanager
    def _explained(self, name: str = "") -> Iterator[None]:
        """Turns what the file system refuses into one line; what was done stays."""
        try:
            yield
        except OSError as error:
            raise unwritable(self.where(name), error) from error


def unwritable(where: str, error: OSError) -> StoreError:
    """One line for what the file system refuses."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return StoreError(
        "no space left on the disk" if full else f"cannot be written ({error.strerror or error})",
        where=where,
        mend="Free some space and run again: finished cells stay."
        if full
        else "Give a folder that can be written with --out.",
    )


def _unreadable(where: str, error: OSError) -> StoreError:
    return StoreError(
        f"cannot be read ({error.strerror or error})", where=where, mend="Mend its permissions, or the disk."
    )


def _states(partial: bool) -> str:
    return "partial" if partial else "states"


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGEST_LENGTH]


def _digest_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb", buffering=0) as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()[:DIGEST_LENGTH]
