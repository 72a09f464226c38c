"""Brings a data set into a data folder: all of its files or none, and never over a file that is there.

What is on its way lies below ``ROOT/.downloads/``, on the same disk: half-done downloads, then the files unpacked and
checked. A folder that did not exist gets its name in one step. Into one that did, files are linked one by one, those
that every release has last, so that a task finds its data set complete or not at all.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from bench.data import Folder, content_digest
from bench.downloads import manifest
from bench.downloads.fetch import Rules, UnreachableError, Watch, digest, fetch, mismatch
from bench.downloads.manifest import Fetched, Manifest
from bench.downloads.unpack import unpack
from bench.errors import DataError
from bench.sources import DataSet, Download, File

WORK = ".downloads"
"""Folder below the data root for what is on its way."""


@dataclass(frozen=True)
class Outcome:
    """What ``get`` did."""

    folder: Path
    new: tuple[str, ...]
    """Names of the files that were not there before."""
    unchecked: tuple[Fetched, ...] = ()
    """Downloads that nothing was known of: their digests were recorded."""
    uncompared: tuple[str, ...] = ()
    """Files that were there, and of which no digest is known, neither stated nor recorded."""


def get(dataset: DataSet, root: Path, rules: Rules, watch: Watch, fetched: Path | None = None) -> Outcome:
    """Downloads, checks, unpacks and installs what is missing of a data set below ``root``.

    ``fetched``: a folder that holds the official downloads already, fetched elsewhere; nothing is asked of a server.
    Raises ``DataError`` where something cannot be had, is not what it should be, or stands in the way.
    """
    folder = root / dataset.folder
    with _explained(root), _locked(root, dataset) as work:
        missing = _missing(dataset, folder)
        uncompared = _uncompared(dataset, folder, missing)
        if not missing:
            return Outcome(folder, (), uncompared=uncompared)
        _check_space(root, work, missing)
        files = work / "files"
        shutil.rmtree(files, ignore_errors=True)
        files.mkdir(parents=True)
        told: list[Fetched] = []
        try:
            for source in missing:
                told.append(_brought(source, work, files, rules, watch, fetched))
        except UnreachableError as error:
            raise DataError(error.what, where=error.where, mend=by_hand(dataset, root)) from error
        contents = _contents(missing, files)
        new = _install(dataset, files, folder, told, contents)
        shutil.rmtree(work, ignore_errors=True)
    return Outcome(folder, new, tuple(one for one in told if one.checked == manifest.RECORDED), uncompared)


def by_hand(dataset: DataSet, root: Path) -> str:
    """What to do where there is no network, in one sentence."""
    parts = []
    for source in dataset.downloads:
        names = ", ".join(file.name + file.suffix for file in source.files)
        parts.append(f"{names} ({'out of ' if source.archive else 'from '}{source.url})")
    return (
        f"Put into {root / dataset.folder}: {'; '.join(parts)}. Or fetch these addresses elsewhere, and give the "
        f"folder with what came: bench data get {dataset.folder} --from FOLDER."
    )


# What is there


def _missing(dataset: DataSet, folder: Path) -> list[Download]:
    """The downloads with a file that is not there. Raises ``DataError`` where one is there with other content than the
    official one, as none is ever written over."""
    there = Folder(folder)
    wanted = []
    for source in dataset.downloads:
        lacking = [file for file in source.files if not there.has(file.name)]
        for file in source.files:
            if file not in lacking and file.sha256 and content_digest(there, file.name) != file.sha256:
                raise _in_the_way(there, file)
        if any(not file.optional for file in lacking):
            wanted.append(source)
    return wanted


def _uncompared(dataset: DataSet, folder: Path, missing: Sequence[Download]) -> tuple[str, ...]:
    """Files that are there and are compared neither with a digest nor with what is to be downloaded."""
    there, told = Folder(folder), manifest.read(folder)
    files = (file for source in dataset.downloads if source not in missing for file in source.files)
    recorded = told.files if told is not None else {}
    return tuple(file.name for file in files if there.has(file.name) and not file.sha256 and file.name not in recorded)


def _in_the_way(there: Folder, file: File) -> DataError:
    return DataError(
        "is there, and is not the official file; nothing is written over it",
        where=there.where(file.name),
        mend="Move it away, or give another folder with --data.",
    )


def _check_space(root: Path, work: Path, missing: Sequence[Download]) -> None:
    there = sum((work / source.filename).stat().st_size for source in missing if (work / source.filename).is_file())
    need = sum(source.size + (source.unpacked if source.archive else 0) for source in missing) - there
    free = shutil.disk_usage(root).free
    if free < need:
        raise DataError(
            f"{free / 1e9:.1f} GB are free, and up to {need / 1e9:.1f} GB are needed",
            where=str(root),
            mend="Free some space, or give another folder with --data.",
        )


# Bringing


def _brought(source: Download, work: Path, files: Path, rules: Rules, watch: Watch, fetched: Path | None) -> Fetched:
    """The files of one download, checked, below ``files``."""
    place = work / source.filename
    if not place.is_file() or mismatch(source, place) is not None:
        place.unlink(missing_ok=True)
        if fetched is not None:
            _copied(source, fetched, place)
        else:
            fetch(source, place, rules, watch)
    told = Fetched(source.url, place.stat().st_size, digest(place), _checked_by(source))
    if source.archive:
        watch.said(f"{source.filename}: unpacking")
        unpack(source, place, files)
    else:
        (file,) = source.files
        target = files / (file.name + file.suffix)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(place, target)
    return told


def _checked_by(source: Download) -> str:
    if source.sha256 or (not source.archive and source.files[0].sha256):
        return "sha256"
    return "md5" if source.md5 else manifest.RECORDED


def _copied(source: Download, fetched: Path, place: Path) -> None:
    """Takes a download that was fetched elsewhere."""
    given = fetched / source.filename
    if not given.is_file():
        raise DataError("no such file", where=str(given), mend=f"Fetch {source.url} and put it there.")
    wrong = mismatch(source, given)
    if wrong is not None:
        raise DataError(wrong, where=str(given), mend=f"Fetch {source.url} again.")
    scratch = place.with_name(f"{place.name}.copy")
    shutil.copyfile(given, scratch)
    scratch.replace(place)


def _contents(sources: Sequence[Download], files: Path) -> dict[str, str]:
    """Digest of each file's uncompressed content. Raises ``DataError`` for one that is damaged or not the official."""
    found = {}
    there = Folder(files)
    for file in (file for source in sources for file in source.files if there.has(file.name)):
        found[file.name] = content_digest(there, file.name)
        if file.sha256 and found[file.name] != file.sha256:
            raise DataError(
                f"is not the official file: sha256 of its content {found[file.name]}, which should be {file.sha256}",
                where=file.name,
                mend="Nothing was installed. The source may have changed: look at its page.",
            )
    return found


# Installing


def _install(
    dataset: DataSet, files: Path, folder: Path, told: Sequence[Fetched], contents: dict[str, str]
) -> tuple[str, ...]:
    """Moves the files to their place; returns the names of those that were not there."""
    before, here = Folder(folder), Folder(files)
    new = [file for file in dataset.files if here.has(file.name) and not before.has(file.name)]
    for file in dataset.files:
        both = here.has(file.name) and before.has(file.name)
        if both and content_digest(before, file.name) != contents[file.name]:
            raise _in_the_way(before, file)
    known = manifest.read(folder)
    for path in files.rglob("*"):
        if path.is_file():
            _flush(path)
    earlier = [one for one in (known.downloads if known else ()) if one.url not in {now.url for now in told}]
    whole = Manifest((*earlier, *told), {**(known.files if known else {}), **contents})
    (files / manifest.NAME).write_text(manifest.dumps(whole), encoding="utf-8")
    _flush(files / manifest.NAME)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if not folder.exists():
        files.rename(folder)
    else:
        for file in sorted(new, key=lambda file: not file.optional):
            source = Path(here.where(file.name))
            _linked(source, folder / source.relative_to(files))
        (files / manifest.NAME).replace(folder / manifest.NAME)
    _flush(folder)
    _flush(folder.parent)
    return tuple(file.name for file in new)


def _linked(source: Path, place: Path) -> None:
    """Gives a file its place, where there must be none: unlike a rename, a link never takes another's."""
    place.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, place)
    except FileExistsError as error:
        raise DataError("came there meanwhile", where=str(place), mend="Run the command again.") from error
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
            raise
        with place.open("xb") as out, source.open("rb") as content:  # a file system without hard links
            shutil.copyfileobj(content, out)
    source.unlink()


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _locked(root: Path, dataset: DataSet) -> Iterator[Path]:
    """The folder for what is on its way, for one process at a time."""
    below = root / WORK
    name = dataset.folder.replace("/", "_")
    below.mkdir(parents=True, exist_ok=True)
    lock = FileLock(below / f"{name}.lock")
    try:
        with lock.acquire(timeout=0):
            work = below / name
            work.mkdir(exist_ok=True)
            yield work
    except Timeout as error:
        raise DataError(
            "another process is fetching it", where=f"{root}: {dataset.folder}", mend="Wait for it to end."
        ) from error


@contextmanager
def _explained(root: Path) -> Iterator[None]:
    """What the file system refuses, as one line; what has come stays."""
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise DataError(
            "no space left on the disk" if full else f"cannot be written ({error.strerror or error})",
            where=str(root),
            mend="Free some space and run again: what has come is kept."
            if full
            else "Give another folder with --data.",
        ) from error
