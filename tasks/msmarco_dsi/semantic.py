"""Semantic docids: a passage's way down a hierarchy of clusters of passage embeddings (Tay et al. 2022, section 3.2).

All passages are clustered into k by k-means, and each cluster again until it holds k passages or fewer, which are then
numbered in index order. The docid is the numbers on the way, each as decimal digits of one width. So passages with a
common prefix are near each other, no docid begins another, and decoding is a walk down the hierarchy.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from scipy.cluster.vq import kmeans2, vq

from bench.checkpoints import Checkpoint
from bench.data.derived import arrays
from tasks.msmarco_dsi import embeddings

VERSION = 1
"""Raised when the same embeddings would give other docids: docids lie in a cache."""
SEED = 20_220_214
ITERATIONS = 20
FITTED = 1_000
"""Passages a centroid that k-means looks at, at most; the others go to the nearest centroid."""
CHUNK = 100_000
"""Passages assigned at a time."""
MOST = 0.9
"""A cluster that would keep more than this share of its passages is cut into equal parts instead, so that passages with
one and the same embedding, or a few outliers at a time, do not make docids without end."""


def docids(texts: Sequence[str], k: int, checkpoint: Checkpoint | None, *, digest: str) -> np.ndarray:
    """Semantic docids of passages, which ``digest`` identifies, as ``semantic`` gives them; kept in the cache.

    The embeddings are the checkpoint's, or those of latent semantic analysis.
    """
    source = checkpoint.digest if checkpoint is not None else "lsa"
    made_from = {"docids": VERSION, "embeddings": embeddings.VERSION, "by": source, "k": k, "texts": digest}

    def made() -> dict[str, np.ndarray]:
        return {"digits": semantic(embeddings.embedded(texts, checkpoint, digest=digest), k)}

    return arrays(made_from, made)["digits"]


def semantic(points: np.ndarray, k: int) -> np.ndarray:
    """Docids of passages as decimal digits, int8 (passages, longest docid), shorter ones filled up with -1.

    ``points``: embeddings, float32 (passages, dimensions). ``k``: at least 2. A function of its arguments alone.
    """
    numbers = hierarchy(points, k)
    width = len(str(k - 1))
    tens = 10 ** np.arange(width - 1, -1, -1)
    digits = np.where(numbers[:, :, None] >= 0, numbers[:, :, None] // tens % 10, -1)
    return digits.reshape(len(numbers), -1).astype(np.int8)


def hierarchy(points: np.ndarray, k: int) -> np.ndarray:
    """Numbers of clusters on the way to each passage, and last its number in its leaf: int16 (passages, levels), 0 to
    k - 1, filled up with -1."""
    columns: list[np.ndarray] = []
    clusters = [np.arange(len(points))]
    generator = np.random.default_rng(SEED)
    while clusters:
        column = np.full(len(points), -1, dtype=np.int16)
        smaller: list[np.ndarray] = []
        for rows in clusters:
            if len(rows) <= k:
                column[rows] = np.arange(len(rows))
            else:
                column[rows] = _parts(points[rows], k, generator)
                smaller += [rows[column[rows] == part] for part in range(int(column[rows].max()) + 1)]
        columns.append(column)
        clusters = smaller
    return np.stack(columns, axis=1)


def _parts(points: np.ndarray, k: int, generator: np.random.Generator) -> np.ndarray:
    """The cluster of each point, 0 to at most k - 1, none of them empty."""
    shown = points
    if len(points) > k * FITTED:
        shown = points[np.sort(generator.choice(len(points), size=k * FITTED, replace=False))]
    shown = shown.astype(np.float64)  # squares of any float32 are finite then; scipy breaks down on others
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a centroid without points is no fault: equal points make some
        centroids, _ = kmeans2(shown, _spread(shown, k, generator), iter=ITERATIONS, minit="matrix", check_finite=False)
    nearest = np.concatenate(
        [
            vq(points[first : first + CHUNK].astype(np.float64), centroids, check_finite=False)[0]
            for first in range(0, len(points), CHUNK)
        ]
    )
    _, parts, sizes = np.unique(nearest, return_inverse=True, return_counts=True)
    if sizes.max() > MOST * len(points):
        return _equal_parts(points, k)
    return np.asarray(parts)


def _spread(points: np.ndarray, k: int, generator: np.random.Generator) -> np.ndarray:
    """Initial centroids: points drawn one after another with probability proportional to the squared distance from
    those before (k-means++, Arthur & Vassilvitskii 2007)."""
    chosen = [int(generator.integers(len(points)))]
    nearest = np.full(len(points), np.inf)
    for draw in generator.random(k - 1):
        nearest = np.minimum(nearest, ((points - points[chosen[-1]]) ** 2).sum(axis=1))
        total = nearest.cumsum()
        chosen.append(min(int(np.searchsorted(total, draw * total[-1], side="right")), len(points) - 1))
    return points[chosen]


def _equal_parts(points: np.ndarray, k: int) -> np.ndarray:
    """Parts of one size, give or take one, along the direction in which the points differ most; equal ones in order."""
    centred = points - points.mean(axis=0, dtype=np.float64)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    order = np.argsort(centred @ vectors[:, -1], kind="stable")
    parts = np.empty(len(points), dtype=np.int64)
    parts[order] = np.arange(len(points)) * k // len(points)
    return parts
