"""Checks the data sets of a folder: digests against the official ones, the layout by the tasks' own readers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bench import registry
from bench.data import DataIdentity, Folder, content_digest, located, source
from bench.downloads import manifest
from bench.downloads.catalogue import Entry
from bench.errors import BenchError
from bench.settings import override
from bench.sources import DataSet, File

OFFICIAL = "official"
AS_FETCHED = "as downloaded"
UNKNOWN = "no digest known"
OTHER = "not the official file"
CHANGED = "changed since it was downloaded"
MISSING = "missing"
DAMAGED = "damaged"
WHOLE = ("whole", "changed")
"""Kinds of data with as much as the release."""


@dataclass(frozen=True)
class FileCheck:
    """One file: ``state`` is one of the words above; ``said`` tells more where something is wrong."""

    name: str
    state: str
    said: str = ""


@dataclass(frozen=True)
class TaskCheck:
    """What a task's own reader said: which data it found, or why it cannot read it."""

    task: str
    identity: DataIdentity | None
    said: str = ""


@dataclass(frozen=True)
class Check:
    """One data set."""

    folder: str
    files: tuple[FileCheck, ...]
    tasks: tuple[TaskCheck, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong, a sentence each. Another content than the official one is, unless a task finds a subset: that
        can have none but other digests."""
        found = [f"{one.name}: {one.said or one.state}" for one in self.files if one.state in (CHANGED, DAMAGED)]
        found += [f"{one.task}: {one.said}" for one in self.tasks if one.identity is None]
        whole = [one.task for one in self.tasks if one.identity is not None and one.identity.kind in WHOLE]
        if whole:
            others = [one.name for one in self.files if one.state == OTHER]
            found += [f"{name}: as many rows as the official release and other content" for name in others]
        return tuple(found)


def present(dataset: DataSet, data: str | None) -> Path | None:
    """The data set's folder where a run with ``--data`` would look for it, if any of its files is there."""
    for folder in located(dataset.folder, data):
        if any(Folder(folder).has(file.name) for file in dataset.files):
            return folder
    return None


def verify(entry: Entry, folder: Path) -> Check:
    """Checks the data set in ``folder``, all of it."""
    told = manifest.read(folder)
    files = tuple(_file(Folder(folder), file, told) for file in entry.dataset.files)
    return Check(
        entry.dataset.folder,
        tuple(one for one in files if one is not None),
        tuple(_task(entry, task, folder) for task in entry.tasks),
    )


def _file(there: Folder, file: File, told: manifest.Manifest | None) -> FileCheck | None:
    """None where an optional file is not there."""
    if not there.has(file.name):
        return None if file.optional else FileCheck(file.name, MISSING)
    try:
        digest = content_digest(there, file.name)
    except BenchError as error:
        return FileCheck(file.name, DAMAGED, error.what)
    recorded = told.files.get(file.name) if told is not None else None
    if file.sha256 and digest == file.sha256:
        return FileCheck(file.name, OFFICIAL)
    if recorded is not None and digest != recorded:
        return FileCheck(file.name, CHANGED)
    if file.sha256:
        return FileCheck(file.name, OTHER)
    return FileCheck(file.name, UNKNOWN if recorded is None else AS_FETCHED)


def _task(entry: Entry, name: str, folder: Path) -> TaskCheck:
    try:
        kind = registry.task(name)
        preset = kind.presets.get("small") or next(iter(kind.presets.values()))
        options = override(preset, entry.settings[name]).options
        files = Folder(folder)
        missing = [f"{name}{files.in_place(name)}" for name in source(kind, options)[1] if not files.has(name)]
        if missing:
            return TaskCheck(name, None, f"lacks {', '.join(missing)} (plain, .gz or .xz)")
        opened = kind(files, options)
        identity = opened.identity()
        opened.examples()
    except BenchError as error:
        return TaskCheck(name, None, str(error))
    except Exception as error:  # a plug-in's own defect, which the check names and survives
        return TaskCheck(name, None, f"its reader fails: {type(error).__name__}: {error}")
    return TaskCheck(name, identity)
