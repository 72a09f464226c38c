"""Where a data set is looked for, in this order: ``--data DIR``, ``$BENCH_DATA``, the cache
(``$XDG_CACHE_HOME/prunebench``), and last the task's embedded sample."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from bench.data.cache import cache_folder
from bench.data.files import SAMPLE, Files, Folder
from bench.errors import DataError, UsageError


def source(task: Any, options: Any) -> tuple[str, Sequence[str]]:
    """Folder and required files of the data that a task (its class) stands on under these options."""
    chosen: Callable[[Any], tuple[str, Sequence[str]]] | None = getattr(task, "source", None)
    return chosen(options) if chosen is not None else (task.dataset, task.required)


def find(dataset: str, required: Sequence[str], data: str | None, *, offered: bool = False) -> Files | None:
    """The data set's files, or None for the embedded sample. ``offered``: ``bench data get`` can fetch it.

    Raises ``DataError`` where ``data`` (the ``--data`` flag) is given and lacks the data set, ``UsageError`` where it
    is no folder. ``--data sample`` asks for the embedded sample.
    """
    if data == SAMPLE:
        return None
    if data is not None:
        root = _named_root(data)
        found = _below(root, dataset, required)
        if found is None:
            own = _holds(root, dataset) and not (root / dataset).is_dir()
            folder = Folder(root if own else root / dataset)
            missing = [name for name in required if not folder.has(name)]
            told = [f"{'' if own else f'{dataset}/'}{name}{folder.in_place(name)}" for name in missing]
            whole = own and root.absolute().as_posix().endswith(f"/{dataset}")
            place = root.absolute().parents[dataset.count("/")] if whole else data
            fetch = f"'bench data get {dataset} --data {place}' fetches them. Or put" if offered else "Put"
            raise DataError(
                f"lacks {', '.join(told)} (plain, .gz or .xz)",
                where=f"--data {data}",
                mend=f"{fetch} the official files of {dataset} there, or leave --data out to use the embedded sample.",
            )
        return found
    _check_root(dataset, required, offered)
    return next(filter(None, (_below(root, dataset, required) for root in _roots())), None)


def located(dataset: str, data: str | None) -> list[Path]:
    """The folders in which ``find`` looks for a data set, whether they are there or not, in its order."""
    if data == SAMPLE:
        return []
    roots = _roots() if data is None else [_named_root(data)]
    return [folder for root in roots for folder in (root / dataset, *([root] if _holds(root, dataset) else []))]


def _roots() -> list[Path]:
    """Where data sets are looked for without ``--data``."""
    named = os.environ.get("BENCH_DATA")
    return [*([Path(named)] if named else []), cache_folder() / "data"]


def _named_root(data: str) -> Path:
    if not Path(data).is_dir():
        raise UsageError(
            "no such folder", where=f"--data {data}", mend="Give the folder that holds the data sets, or 'sample'."
        )
    return Path(data)


def _check_root(dataset: str, required: Sequence[str], offered: bool) -> None:
    """Raises ``UsageError`` where ``$BENCH_DATA`` is set and is no folder, or lacks the data set: a misspelt name must
    not mean a night on the sample."""
    named = os.environ.get("BENCH_DATA")
    if named and _below(Path(named), dataset, required) is None:
        there = Path(named).is_dir()
        wrong = f"lacks {dataset}" if there else "is no folder"
        fetch = f"'bench data get {dataset}' fetches it. Or mend" if offered and there else "Mend"
        raise UsageError(
            wrong, where=f"BENCH_DATA={named}", mend=f"{fetch} it, or give --data (a folder, or 'sample')."
        )


def _below(root: Path, dataset: str, required: Sequence[str]) -> Folder | None:
    """The data set in ``root``, or ``root`` itself where it is the data set's own folder."""
    folders = [Folder(root / dataset), *([Folder(root)] if _holds(root, dataset) else [])]
    return next((folder for folder in folders if all(folder.has(name) for name in required)), None)


def _holds(root: Path, dataset: str) -> bool:
    return root.absolute().name == dataset.rsplit("/", 1)[-1]
