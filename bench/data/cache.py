"""The cache on this machine, and the digests of files that it remembers."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

SETTLED = 2.0
"""Seconds after which a change of a file is sure to change its time stamp as well."""


def cache_folder() -> Path:
    """Where downloads and derived files are kept: ``$XDG_CACHE_HOME/prunebench``."""
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "prunebench"
    except RuntimeError:  # a user without a home, as in many containers
        return Path(tempfile.gettempdir()) / f"prunebench-{os.getuid()}"


def file_digest(path: Path) -> str:
    """SHA-256 of a file as it lies there, remembered for as long as the file stays as it is."""

    def compute() -> str:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    return remembered_digest(path, compute)


def remembered_digest(path: Path, compute: Callable[[], str]) -> str:
    """``compute()``, remembered in the cache for as long as the file's size and times of change stay."""
    state = path.stat()
    stamps = (state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino)
    identity = "\0".join(map(str, (path.resolve(), *stamps)))
    memo = cache_folder() / "digests" / hashlib.sha256(identity.encode()).hexdigest()
    try:
        known = memo.read_text()
        if re.fullmatch("[0-9a-f]{64}", known):
            return known
    except (OSError, ValueError):
        pass
    digest = compute()
    # A second change in the same tick of the clock would leave the same stamps: only a settled file is remembered.
    if time.time() - max(state.st_mtime, state.st_ctime) < SETTLED:
        return digest
    scratch = memo.with_name(f"{memo.name}.{os.getpid()}")
    with suppress(OSError):  # a cache that cannot be written costs time, never a result
        try:
            memo.parent.mkdir(parents=True, exist_ok=True)
            scratch.write_text(digest)
            scratch.replace(memo)
        finally:
            scratch.unlink(missing_ok=True)
    return digest
