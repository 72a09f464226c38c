"""How many threads the libraries share a single operation out to: results can differ in the last bits with it.

The same everywhere, or the same cell would not be the same bits in this process and in a worker. Imports no torch until
called.
"""

from __future__ import annotations

import os

POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
"""What libraries ask for the size of their pools as they are loaded."""


def environment(threads: int) -> dict[str, str]:
    """The variables that say so to a process that begins."""
    return dict.fromkeys(POOLS, str(threads))


def limit(threads: int) -> None:
    """Limits torch, and the BLAS and OpenMP of all libraries that are loaded or will be."""
    import torch
    from threadpoolctl import threadpool_limits

    os.environ.update(environment(threads))
    threadpool_limits(threads)
    torch.set_num_threads(threads)
