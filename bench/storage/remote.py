"""Anything that fsspec reaches by a URL: object stores (``s3://``, ``gs://``, ``az://``), ``memory://``, ``sftp://``.

An object store shows an object once it was uploaded as a whole; elsewhere a file is uploaded under another name and
then renamed. Everything read is checked against a checksum or a digest anyway.
"""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.errors import UsageError
from bench.storage.processes import abandoned, half_of, scratch_name

WHOLE = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "oci", "oss", "tos", "memory"}
"""Protocols under which a file that is written appears at once and as a whole."""
ALONE = {"memory"}
"""Protocols whose files no other process sees."""


class Remote:
    """The storage of a results folder at a URL."""

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        try:
            from fsspec.core import url_to_fs

            # Listings are asked for anew each time: other processes write here as well.
            self._fs, root = url_to_fs(self._url, use_listings_cache=False)
        except ImportError as error:
            raise UsageError(
                f"cannot be reached: {error}", where=self._url, mend="Install it beside 'prunebench[fsspec]'."
            ) from error
        except Exception as error:
            raise UsageError(
                f"cannot be reached ({_said(error)})",
                where=self._url,
                mend="Give a folder, or a URL that fsspec knows: s3://BUCKET/FOLDER, say.",
            ) from error
        self._root = root.rstrip("/")
        names = self._fs.protocol
        self._protocols = {names} if isinstance(names, str) else set(names)
        self._copies: list[Path] = []

    @property
    def address(self) -> str:
        return self._url

    @property
    def folder(self) -> None:
        return None

    @property
    def shared(self) -> bool:
        return not self._protocols & ALONE

    def where(self, name: str) -> str:
        return f"{self._url}/{name}" if name else self._url

    def prepare(self, folders: Sequence[str]) -> None:
        with _system_errors():
            if not self._whole:
                for name in folders:
                    self._fs.makedirs(self._path(name), exist_ok=True)
        for folder in ("", *folders):
            for name in self.names(folder):
                if abandoned(name):
                    self.remove(f"{folder}/{name}" if folder else name)

    def empty(self) -> bool:
        with _system_errors():
            return all(half_of(name, "results.json") for name in self._listed(""))

    def read(self, name: str) -> bytes:
        with _system_errors():
            content: bytes = self._fs.cat_file(self._path(name))
            return content

    def write(self, name: str, content: bytes) -> None:
        with _system_errors():
            if self._whole:
                self._fs.pipe_file(self._path(name), content)
                return
            with self._renamed(name) as scratch:
                self._fs.pipe_file(scratch, content)

    def create(self, name: str, content: bytes) -> bool:
        self._check_exclusive()
        return self._create(name, content)

    def remove(self, name: str) -> None:
        with _system_errors(), suppress(FileNotFoundError):
            self._fs.rm_file(self._path(name))

    def move(self, name: str, to: str) -> None:
        with _system_errors():
            self._fs.mv(self._path(name), self._path(to))

    def has(self, name: str) -> bool:
        with _system_errors():
            self._fs.invalidate_cache()
            return bool(self._fs.isfile(self._path(name)))

    def names(self, folder: str) -> list[str]:
        with _system_errors():
            return self._listed(folder)

    def stamps(self, folder: str) -> None:
        return None

    def newest_first(self, names: Sequence[str]) -> list[str]:
        return sorted(names, key=self._age) if len(names) > 1 else [*names]

    def sizes(self) -> Mapping[str, int]:
        with _system_errors():
            self._fs.invalidate_cache()
            found = self._fs.find(self._root or "/", detail=True)
        sizes: Counter[str] = Counter()
        for path, facts in found.items():
            folder, slash, _ = path.removeprefix(self._root).strip("/").partition("/")
            if slash:
                sizes[folder] += int(facts.get("size") or 0)
        return dict(sorted(sizes.items()))

    @contextmanager
    def scratch(self, name: str) -> Iterator[Path]:
        with tempfile.TemporaryDirectory(prefix="prunebench-") as folder:
            yield Path(folder)

    def adopt(self, path: Path, name: str) -> None:
        with _system_errors():
            if self._whole:
                self._fs.put_file(str(path), self._path(name))
                return
            with self._renamed(name) as scratch:
                self._fs.put_file(str(path), scratch)

    def local(self, name: str) -> Path:
        """A copy; the one before it is removed."""
        for older in self._copies:
            older.unlink(missing_ok=True)
        self._copies = [Path(self._folder.name) / name.replace("/", ".")]
        with _system_errors():
            self._fs.get_file(self._path(name), str(self._copies[0]))
        if not self._copies[0].is_file():
            raise FileNotFoundError(name)
        return self._copies[0]

    @cached_property
    def _folder(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory(prefix="prunebench-", ignore_cleanup_errors=True)

    @property
    def _whole(self) -> bool:
        return bool(self._protocols & WHOLE)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if self._root and name else self._root or name

    def _listed(self, folder: str) -> list[str]:
        place = self._path(folder)
        self._fs.invalidate_cache()
        try:
            found = self._fs.ls(place, detail=False)
        except (FileNotFoundError, NotADirectoryError):
            return []
        inside = {path.rstrip("/").rpartition("/")[2] for path in found if path.rstrip("/") != place}
        return sorted(inside)

    @contextmanager
    def _renamed(self, name: str) -> Iterator[str]:
        """The name that a file is written under before it becomes ``name``."""
        scratch = self._path(scratch_name(name))
        try:
            yield scratch
            self._fs.mv(scratch, self._path(name))
        except BaseException:
            with suppress(Exception):
                self._fs.rm_file(scratch)
            raise

    def _create(self, name: str, content: bytes) -> bool:
        with _system_errors():
            try:
                with self._fs.open(self._path(name), "xb") as stream:
                    stream.write(content)
            except FileExistsError:
                return False
            except (ValueError, NotImplementedError) as error:
                raise NotImplementedError(_said(error)) from error
            return True

    def _check_exclusive(self) -> None:
        """Raises ``NotImplementedError`` where a file can be created twice."""
        if self._exclusive is False:
            raise NotImplementedError("a file can be created twice")

    @cached_property
    def _exclusive(self) -> bool:
        """Whether of two that create a file the second is refused: not every server heeds the condition."""
        probe = scratch_name(f"leases/{uuid.uuid4().hex}")
        try:
            return self._create(probe, b"probe") and not self._create(probe, b"probe")
        except NotImplementedError:
            return False
        finally:
            self.remove(probe)

    def _age(self, name: str) -> float:
        with suppress(OSError), _system_errors():
            facts = self._fs.info(self._path(name))
            stamp: Any = facts.get("mtime") or facts.get("LastModified") or facts.get("created") or 0.0
            return -float(stamp.timestamp() if hasattr(stamp, "timestamp") else stamp)
        return 0.0

    def __del__(self) -> None:
        folder = self.__dict__.get("_folder")
        if folder is not None:
            shutil.rmtree(folder.name, ignore_errors=True)


@contextmanager
def _system_errors() -> Iterator[None]:
    """Clients raise errors of their own (no credentials, no route): all become ``OSError``."""
    try:
        yield
    except (OSError, NotImplementedError):
        raise
    except Exception as error:
        raise OSError(_said(error)) from error


def _said(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")
