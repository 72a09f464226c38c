"""Indexes of faiss over vectors: exhaustive, approximate, quantised. Single-threaded and deterministic.

Similarity is the inner product everywhere. faiss draws from seeds of its own, the same each time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from bench.data.derived import arrays
from bench.errors import UsageError
from tasks.ranking import Ranking, joined, rank

BITS = 8
CENTROIDS = 1 << BITS
CONSTRUCTION = 200
"""Length of HNSW's list of candidates while it is built (efConstruction)."""
OPQ_ROUNDS = 20
"""Alternations of rotation and quantisation; faiss's 50 take more than a minute for 5,000 vectors."""
VERSION = 1
"""Raised when the same vectors would give other codes: codes lie in a cache."""
SPARE = 64
"""Ranks beyond the run's depth that are looked at first for documents of equal score."""
CHUNK = 256
"""Queries at a time: bounds memory, changes no ranking."""


@dataclass(frozen=True)
class Codes:
    """A product quantisation of vectors (passages, d)."""

    codes: np.ndarray
    """uint8 (passages, M)."""
    rotation: np.ndarray
    """float32 (d, d): the codes are those of ``vectors @ rotation.T``; plain PQ's is the identity."""
    centroids: np.ndarray
    """float32 (M, 256, d / M)."""


@contextmanager
def one_thread() -> Iterator[None]:
    """faiss on one thread: sums in one order, on every machine."""
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def flat(vectors: np.ndarray) -> Any:
    """Exhaustive search."""
    index = faiss.IndexFlatIP(vectors.shape[1])
    with one_thread():
        index.add(_plain(vectors))
    return index


def hnsw(vectors: np.ndarray, links: int, search: int) -> Any:
    """A navigable small world graph over whole vectors: faster than exhaustive search, and larger."""
    index = faiss.IndexHNSWFlat(vectors.shape[1], links, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction, index.hnsw.efSearch = CONSTRUCTION, search
    with one_thread():
        index.add(_plain(vectors))
    return index


def ivf_pq(vectors: np.ndarray, lists: int, probes: int, subvectors: int) -> Any:
    """An inverted file of ``lists`` cells, of which a search visits ``probes``, with codes of ``subvectors`` bytes."""
    count, width = vectors.shape
    _require(subvectors, width, count, "ivf_subvectors")
    require_lists(lists, count)
    quantiser = faiss.IndexFlatIP(width)
    index = faiss.IndexIVFPQ(quantiser, width, lists, subvectors, BITS, faiss.METRIC_INNER_PRODUCT)
    index.cp.min_points_per_centroid = index.pq.cp.min_points_per_centroid = 1
    index.nprobe = probes
    with one_thread():
        index.train(_plain(vectors))
        index.add(_plain(vectors))
    return index


def quantised(vectors: np.ndarray, subvectors: int, *, rotated: bool) -> Codes:
    """Codes, centroids and, where ``rotated``, the rotation of OPQ (Ge et al. 2013); else plain PQ."""
    count, width = vectors.shape
    _require(subvectors, width, count, "subvectors")
    whole = _plain(vectors)
    rotation = np.eye(width, dtype=np.float32)
    with one_thread():
        if rotated:
            quantiser = faiss.ProductQuantizer(width, subvectors, BITS)
            quantiser.cp.min_points_per_centroid = 1
            matrix = faiss.OPQMatrix(width, subvectors)
            matrix.niter, matrix.pq = OPQ_ROUNDS, quantiser
            matrix.train(whole)
            rotation = faiss.vector_to_array(matrix.A).reshape(width, width).copy()
        index = faiss.IndexPQ(width, subvectors, BITS, faiss.METRIC_INNER_PRODUCT)
        index.pq.cp.min_points_per_centroid = 1
        turned = _plain(whole @ rotation.T) if rotated else whole
        index.train(turned)
        index.add(turned)
    centroids = faiss.vector_to_array(index.pq.centroids).reshape(subvectors, CENTROIDS, -1).copy()
    return Codes(faiss.vector_to_array(index.codes).reshape(count, subvectors).copy(), rotation, centroids)


def kept(vectors: np.ndarray, subvectors: int, *, rotated: bool) -> Codes:
    """``quantised``, from the cache where the same vectors were quantised before."""
    whole = _plain(vectors)
    made_from = {"codes": VERSION, "vectors": hashlib.sha256(whole.tobytes()).hexdigest(),
                 "shape": list(whole.shape), "subvectors": subvectors, "rotated": rotated}  # fmt: skip
    return Codes(**arrays(made_from, lambda: vars(quantised(whole, subvectors, rotated=rotated))))


def of_codes(found: Codes) -> Any:
    """The index that searches these codes with these centroids, rotation included where there is one."""
    count, subvectors = found.codes.shape
    width = len(found.rotation)
    index = faiss.IndexPQ(width, subvectors, BITS, faiss.METRIC_INNER_PRODUCT)
    faiss.copy_array_to_vector(_plain(found.centroids).ravel(), index.pq.centroids)
    faiss.copy_array_to_vector(np.ascontiguousarray(found.codes).ravel(), index.codes)
    index.ntotal, index.is_trained = count, True
    if np.array_equal(found.rotation, np.eye(width)):
        return index
    matrix = faiss.LinearTransform(width, width, False)
    faiss.copy_array_to_vector(_plain(found.rotation).ravel(), matrix.A)
    matrix.is_trained = True
    return faiss.IndexPreTransform(matrix, index)


def size(index: Any) -> int:
    """Bytes of the index as a file: vectors or codes, graph or lists, codebooks, rotation."""
    return len(faiss.serialize_index(index))


def once(index: Any, queries: np.ndarray, depth: int) -> None:
    """One search, for its latency."""
    with one_thread():
        index.search(_plain(queries), min(depth, index.ntotal))


def search(index: Any, queries: np.ndarray, depth: int) -> Ranking:
    """The best ``depth`` passages of each query, ties by the rule of ``tasks.ranking``."""
    with one_thread():
        return joined([_search(index, _plain(queries[first : first + CHUNK]), depth)
                       for first in range(0, len(queries), CHUNK)])  # fmt: skip


def _search(index: Any, queries: np.ndarray, depth: int) -> Ranking:
    """Looks a little deeper than asked, and at everything where equal scores go on beyond that: which of them a heap
    keeps is faiss's affair."""
    depth = min(depth, index.ntotal)
    scores, numbers = index.search(queries, min(index.ntotal, depth + SPARE))
    if scores.shape[1] < index.ntotal and bool((scores[:, depth - 1] == scores[:, -1])[numbers[:, -1] >= 0].any()):
        scores, numbers = index.search(queries, index.ntotal)
    return rank(np.where(numbers >= 0, scores, -np.inf), depth, numbers)


def sizes(indexes: Mapping[str, Any]) -> dict[str, dict[str, int | float]]:
    """Bytes of each index and, where there are several, how many times smaller than the first it is."""
    found = {name: size(index) for name, index in indexes.items()}
    if len(found) == 1:
        return {name: {"bytes": count} for name, count in found.items()}
    whole = next(iter(found.values()))
    return {name: {"bytes": count, "times_smaller": round(whole / count, 2)} for name, count in found.items()}


def require_lists(lists: int, count: int) -> None:
    """Raises ``UsageError`` where an inverted file would have more lists than passages."""
    if lists > count:
        raise UsageError(
            f"{lists:,} lists for {count:,} passages", where=f"ivf_lists={lists}", mend=f"Give {count:,} or fewer."
        )


def _require(subvectors: int, width: int, count: int, name: str) -> None:
    if width % subvectors:
        raise UsageError(
            f"{subvectors} parts do not divide vectors of {width} numbers", where=name, mend="Give a divisor."
        )
    if count < CENTROIDS:
        raise UsageError(
            f"{count} passages are too few to learn {CENTROIDS} centroids from", where=name, mend="Give more passages."
        )


def _plain(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, dtype=np.float32)
