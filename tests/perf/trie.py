"""Docids of as many passages as MS MARCO has; run as a program, it builds their trie and tells as JSON what that took:
processor seconds of the build and of a stable sort of as many integers, peak memory beyond the docids, bytes held.

python -m tests.perf.trie naive|semantic
"""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from tasks.msmarco import WHOLE_COLLECTION
from tasks.msmarco_dsi.docids import digits, trie

K = 10
"""Clusters of a semantic level."""


def naive(count: int) -> np.ndarray:
    """Numbers of all passages, int8 (count, digits)."""
    return digits(count)


def semantic(count: int) -> np.ndarray:
    """Docids as hierarchical clustering gives them, in random order: clusters are split into ``K`` of uneven sizes
    until they hold ``K`` passages or fewer, which are then numbered. int8 (count, longest docid), filled up with -1."""
    draw = np.random.default_rng(0)
    columns = []
    starts, sizes = np.array([0]), np.array([count])
    while len(sizes):
        column = np.full(count, -1, dtype=np.int8)
        small = sizes <= K
        numbers, at = _within(starts[small], sizes[small])
        column[at] = numbers
        starts, sizes = starts[~small], sizes[~small]
        parts = draw.multinomial(sizes, draw.dirichlet(np.full(K, 4.0), size=len(sizes))).reshape(len(sizes), K)
        _, at = _within(starts, sizes)
        column[at] = np.repeat(np.tile(np.arange(K, dtype=np.int8), len(sizes)), parts.ravel())
        columns.append(column)
        starts = (starts[:, None] + parts.cumsum(axis=1) - parts).ravel()[parts.ravel() > 0]
        sizes = parts.ravel()[parts.ravel() > 0]
    return np.stack(columns, axis=1)[draw.permutation(count)]


def _within(starts: np.ndarray, sizes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of every place of these ranges: its number in its range, and the place."""
    total = sizes.cumsum()
    numbers = np.arange(total[-1] if len(total) else 0) - np.repeat(total - sizes, sizes)
    return numbers, numbers + np.repeat(starts, sizes)


def _status(name: str) -> int:
    """A figure of this process's memory in bytes, by its name in /proc."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(name))


if __name__ == "__main__":
    made = {"naive": naive, "semantic": semantic}[sys.argv[1]](WHOLE_COLLECTION)
    with suppress(OSError):  # without it the peak of making the docids counts too
        Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    start = time.process_time()
    tree = trie(made)
    build = time.process_time() - start
    peak = _status("VmHWM") - before
    numbers = np.random.default_rng(0).integers(2**62, size=len(made))
    start = time.process_time()
    np.argsort(numbers, kind="stable")
    sort = time.process_time() - start
    facts = {"build": build, "sort": sort, "peak": peak, "bytes": tree.nbytes, "input": made.nbytes}
    print(json.dumps({**facts, "depth": tree.depth, "nodes": sum(map(len, tree.tokens))}))
