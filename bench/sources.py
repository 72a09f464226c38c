"""Where data sets are to be had: what a task declares of its data, for ``bench data`` to fetch and to check.

Plain data; imports nothing of ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_SHA256, _MD5 = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True)
class File:
    """One file of a data set's official layout."""

    name: str
    """As the task's reader calls it, below the data set's folder: ``qrels/test.tsv``."""
    member: str = ""
    """Its name in the archive that is downloaded; empty where the download is the file itself."""
    sha256: str = ""
    """Of its uncompressed content, where that is known."""
    suffix: str = ""
    """``.gz`` where the download is the file compressed: it is kept so."""
    optional: bool = False
    """Not every release has it."""

    def __post_init__(self) -> None:
        _check_path(self.name)
        if self.suffix not in ("", ".gz", ".xz"):
            raise ValueError(f"{self.name}: a suffix {self.suffix!r}")
        _check_digest(_SHA256, self.sha256, self.name)


@dataclass(frozen=True)
class Download:
    """One file of an official source: one of the layout, or an archive (``.tar.gz``, ``.tgz``, ``.zip``) of several."""

    url: str
    files: tuple[File, ...]
    size: int
    """Bytes."""
    exact: bool = True
    """Whether ``size`` is known to the byte; else it is about that, and no download is refused for it."""
    sha256: str = ""
    md5: str = ""
    """What the source, or others who fetched it, state of the download. Both empty: nothing is known."""
    unpacked: int = 0
    """Bytes that the archive's content may take at most."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """Request headers that the server wants."""

    def __post_init__(self) -> None:
        _check_digest(_SHA256, self.sha256, self.url)
        _check_digest(_MD5, self.md5, self.url)
        if self.size < 1 or (self.archive and self.unpacked < 1) or not self.files:
            raise ValueError(
                f"{self.url}: a download has a size, files, and as an archive a limit of what it unpacks to"
            )
        if bool(self.archive) != all(file.member for file in self.files) or (not self.archive and len(self.files) > 1):
            raise ValueError(f"{self.url}: files are members of an archive, or one file is the download")
        if not _PART.fullmatch(self.filename):
            raise ValueError(f"{self.url}: does not end in a file's name")

    @property
    def filename(self) -> str:
        """The last part of the address."""
        return self.url.split("?", 1)[0].rsplit("/", 1)[-1]

    @property
    def archive(self) -> str:
        """``tar``, ``zip``, or empty for a file by itself."""
        if self.filename.endswith((".tar.gz", ".tgz")):
            return "tar"
        return "zip" if self.filename.endswith(".zip") else ""


@dataclass(frozen=True)
class DataSet:
    """A data set in its official layout, and where its files come from."""

    folder: str
    """Below the data root, as the task looks for it: ``beir/scifact``. It is the name of the data set as well."""
    title: str
    licence: str
    """What its owners allow, in a few words. No legal advice."""
    home: str
    """Page of those who made it."""
    downloads: tuple[Download, ...]
    note: str = ""
    """What to know of the source."""
    settings: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Settings under which the declaring task stands on this data set, where it is not its usual one."""

    def __post_init__(self) -> None:
        _check_path(self.folder)
        names = [file.name for file in self.files]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"{self.folder}: no file, or one twice")

    @property
    def files(self) -> tuple[File, ...]:
        """All files, in order."""
        return tuple(file for download in self.downloads for file in download.files)

    @property
    def size(self) -> int:
        """Bytes to download."""
        return sum(download.size for download in self.downloads)


def declared(task: Any) -> Sequence[DataSet]:
    """The data sets that a task (its class) says are to be had; none for one that does not say."""
    offered = getattr(task, "sources", None)
    return tuple(offered()) if offered is not None else ()


def offers(task: Any, folder: str) -> bool:
    """Whether the task says where this data set is to be had."""
    return any(dataset.folder == folder for dataset in declared(task))


def _check_path(path: str) -> None:
    """Names of a few plain parts, and nothing that could lead out of a folder."""
    if not all(_PART.fullmatch(part) for part in path.split("/")):
        raise ValueError(f"{path!r} is no path of plain names")


def _check_digest(shape: re.Pattern[str], digest: str, of: str) -> None:
    if digest and not shape.fullmatch(digest):
        raise ValueError(f"{of}: {digest!r} is no digest")
