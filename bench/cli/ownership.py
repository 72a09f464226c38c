"""Whether the packages with common names are prunebench's own, and not folders that a user happens to have."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import bench
from bench.cli.output import homely
from bench.errors import UsageError

OWN = ("tasks", "pruners", "reports")


def check_packages() -> None:
    """Raises ``UsageError`` where ``tasks``, ``pruners`` or ``reports`` would be imported from elsewhere."""
    home = Path(str(bench.__file__)).resolve().parent.parent
    for name in OWN:
        found = _origin(name)
        if found is None:
            raise UsageError(f"prunebench's package {name!r} is missing", mend="Install prunebench again.")
        if found.parent != home:
            raise UsageError(
                f"a folder or module {name!r} of yours hides prunebench's",
                where=homely(found),
                mend="Rename it, or take its folder off PYTHONPATH, or start bench from another folder.",
            )


def _origin(name: str) -> Path | None:
    """The folder or file that ``import name`` finds."""
    loaded = sys.modules.get(name)
    spec = loaded.__spec__ if loaded is not None else importlib.util.find_spec(name)
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).resolve()
    return Path(spec.origin).resolve() if spec.origin else None
