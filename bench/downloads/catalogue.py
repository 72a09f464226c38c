"""The data sets that tasks declare, by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench import registry
from bench.errors import UsageError
from bench.sources import DataSet, declared


@dataclass(frozen=True)
class Entry:
    """A data set and the tasks that stand on it."""

    dataset: DataSet
    settings: Mapping[str, Mapping[str, str]]
    """Task to the settings under which it stands on this data set."""

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(self.settings)


def catalogue() -> dict[str, Entry]:
    """All data sets, by folder, in the order of the tasks. A task that does not load declares none: ``bench doctor``
    says why. Raises ``UsageError`` where two tasks declare different sources of one folder."""
    found: dict[str, Entry] = {}
    for name in registry.names("tasks"):
        for dataset in _declared(name):
            known = found.get(dataset.folder)
            if known is not None and known.dataset != dataset:
                raise UsageError(
                    f"the tasks {known.tasks[0]!r} and {name!r} declare different sources of {dataset.folder}",
                    mend="Uninstall one of them.",
                )
            before = known.settings if known is not None else {}
            found[dataset.folder] = Entry(dataset, {**before, name: dataset.settings})
    return found


def _declared(name: str) -> Sequence[DataSet]:
    try:
        return declared(registry.task(name))
    except UsageError:
        return ()
    except (TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"the task {name!r} of {registry.distribution('tasks', name)} declares sources that cannot be: {error}",
            mend="bench/sources.py says what they are.",
        ) from error


def resolve(name: str, known: Mapping[str, Entry]) -> Entry:
    """The entry of a data set's folder (``beir/scifact``), of a folder's last part, or of a task's usual data set.
    Raises ``UsageError`` where there is none."""
    if name in known:
        return known[name]
    last = [folder for folder in known if folder.rsplit("/", 1)[-1] == name]
    if len(last) == 1:
        return known[last[0]]
    if name in registry.names("tasks"):
        folder = registry.task(name).dataset
        if folder in known:
            return known[folder]
        raise UsageError(
            f"the task {name!r} does not say where its data is to be had",
            mend=f"Put its files into {folder}/ of the folder that --data names.",
        )
    raise UsageError(f"no data set {name!r}", mend=registry.suggestion(name, [*known]))
