"""Where a results folder lies: a folder of this machine or of a shared file system, or any URL that fsspec reaches.

The store needs little: files by name (``records/KEY.json``) that are there whole or not at all, and for leases one
operation of which exactly one of several processes is told that it made the file. Imports no torch, and no fsspec
unless a URL asks for it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from bench.errors import UsageError

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*(://|::)", re.ASCII)
_NEARLY = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+:(/|$)", re.ASCII)
"""What is meant as a URL, and would be a folder called ``s3:``."""
FILE = "file://"


class Storage(Protocol):
    """Files by name, ``FOLDER/FILE`` with '/' on every system. What the file system refuses is an ``OSError``."""

    @property
    def address(self) -> str:
        """What another process opens the same storage by."""
        ...

    @property
    def folder(self) -> Path | None:
        """The folder on this machine, or None where it is none."""
        ...

    @property
    def shared(self) -> bool:
        """Whether another process that opens ``address`` sees the same files."""
        ...

    def where(self, name: str) -> str:
        """How errors name a file."""
        ...

    def prepare(self, folders: Sequence[str]) -> None:
        """Makes the folders, and removes what processes that are gone left half-written."""
        ...

    def empty(self) -> bool:
        """Whether nothing is there, but for a first file that was never finished."""
        ...

    def read(self, name: str) -> bytes:
        """The file's content. Raises ``FileNotFoundError``."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Writes the file, or replaces it, as a whole."""
        ...

    def create(self, name: str, content: bytes) -> bool:
        """Writes the file unless it is there: True for one of any number of processes that try at the same time.

        Raises ``NotImplementedError`` where the file system cannot promise that.
        """
        ...

    def remove(self, name: str) -> None:
        """Removes the file; one that is not there is as well."""
        ...

    def move(self, name: str, to: str) -> None:
        """Gives the file another name, replacing what has it."""
        ...

    def has(self, name: str) -> bool:
        """Whether the file is there."""
        ...

    def names(self, folder: str) -> list[str]:
        """Names of the files in a folder, sorted and without the folder's; none where there is no such folder."""
        ...

    def stamps(self, folder: str) -> Mapping[str, str] | None:
        """Size and time of change of a folder's files, by name; None where each would cost a round trip."""
        ...

    def newest_first(self, names: Sequence[str]) -> list[str]:
        """The files, the one written last first."""
        ...

    def sizes(self) -> Mapping[str, int]:
        """Bytes of the files below each folder."""
        ...

    def scratch(self, name: str) -> AbstractContextManager[Path]:
        """A folder on this machine to write a large file in, before it is ``adopt``-ed as ``name``."""
        ...

    def adopt(self, path: Path, name: str) -> None:
        """Makes the file at ``path``, written in a ``scratch``, the one called ``name``, as a whole."""
        ...

    def local(self, name: str) -> Path:
        """A file on this machine with the content of ``name``, to be read at once. Raises ``FileNotFoundError``."""
        ...


def is_url(address: str | Path) -> bool:
    """Whether ``address`` is a URL (``s3://...``, ``dir::file://...``) and no path."""
    return isinstance(address, str) and _URL.match(address) is not None


def _place(url: str) -> str:
    """What stands behind the last protocol of a URL."""
    return re.split(r"://|::", url)[-1].strip("/")


def storage_of(address: str | Path) -> Storage:
    """The storage at a path or URL. Raises ``UsageError`` for a URL of no place, or that nothing here can open."""
    if isinstance(address, str) and (_NEARLY.match(address) if not is_url(address) else not _place(address)):
        raise UsageError("is no URL of a folder", where=address, mend="Write s3://BUCKET/FOLDER, say, or a path.")
    if is_url(address) and not str(address).startswith(FILE):
        from bench.storage.remote import Remote

        return Remote(str(address))
    from bench.storage.local import Local

    return Local(Path(str(address).removeprefix(FILE)) if is_url(address) else Path(address))
