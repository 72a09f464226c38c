"""Arrays that are derived from data (token ids, say), computed once and kept in the cache, memory-mapped.

Every cell, run and process that needs the same arrays shares one copy. They lie under the digest of what they were
made from, so a change of data or of settings means other arrays, never stale ones.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.data import cache_folder
from bench.steps import canonical

if TYPE_CHECKING:
    import numpy as np

Arrays = Mapping[str, "np.ndarray"]


def arrays(made_from: Mapping[str, Any], make: Callable[[], Arrays]) -> Arrays:
    """The arrays of ``make()``, by name, read-only; kept for the next who asks with the same ``made_from``.

    ``made_from`` is plain JSON that says all they depend upon: data digest, settings, a version of the code. A cache
    that cannot be written, or a damaged one, costs time and never a result.
    """
    key = hashlib.sha256(canonical(made_from).encode()).hexdigest()
    folder = cache_folder() / "derived" / key
    found = _mapped(folder)
    if found is not None:
        return found
    made = make()
    with suppress(OSError):
        _keep(folder, made)
    return made


def _mapped(folder: Path) -> Arrays | None:
    import numpy as np

    try:
        names = (folder / "NAMES").read_text().split()
        return {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in names}
    except (OSError, ValueError, EOFError):
        return None


def _keep(folder: Path, made: Arrays) -> None:
    """Writes beside the place and renames: the folder is there whole or not at all."""
    import numpy as np

    scratch = folder.with_name(f"{folder.name}.{os.getpid()}")
    try:
        scratch.mkdir(parents=True)
        for name, array in made.items():
            np.save(scratch / f"{name}.npy", array, allow_pickle=False)
        (scratch / "NAMES").write_text("\n".join(made))
        if folder.exists():  # damaged, or another process was first
            shutil.rmtree(folder, ignore_errors=True)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
