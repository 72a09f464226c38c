"""prunebench: one benchmark for neural-network pruning.

import bench
table = bench.run(task="ag-news", pruner=["grasp", "random"], grid=[0.5, 0.9], seeds=range(3))
print(table)
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.api import run

__all__ = ["run"]


def __getattr__(name: str) -> Any:
    """Imports what is asked for only then, so that the command line starts at once."""
    if name == "run":
        from bench.api import run

        return run
    if name == "__version__":
        return version("prunebench")
    raise AttributeError(f"module 'bench' has no attribute {name!r}")
