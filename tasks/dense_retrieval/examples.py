"""Training examples: a query, one of its relevant passages, hard negatives by BM25. Batch i depends on (seed, i)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bench.data.derived import arrays
from tasks import bm25
from tasks.dense_retrieval.corpus import Corpus, Queries, pairs

VERSION = 1
"""Raised when the same data would give other negatives: they lie in a cache."""


@dataclass(frozen=True)
class Drawn:
    """The members of a batch, by number."""

    queries: np.ndarray
    """int64 (examples,)."""
    passages: np.ndarray
    """int64 (examples * (1 + negatives),): each query's own passage, then hard negatives, query by query."""


@dataclass(frozen=True)
class Pool:
    """What batches are drawn from."""

    pairs: np.ndarray
    """int64 (pairs, 2): query, relevant passage."""
    negatives: np.ndarray
    """int64 (queries, depth): passages that BM25 ranks highest and that are not relevant, filled up with -1."""


def pool(corpus: Corpus, depth: int, digest: str) -> Pool:
    """The train queries' pairs and candidates for hard negatives (none of BM25's for a ``depth`` of 0). ``digest``
    identifies the data."""
    if not depth:
        return Pool(pairs(corpus.train), np.full((len(corpus.train), 1), -1, dtype=np.int64))
    made_from = {"negatives": VERSION, "data": digest, "depth": depth}
    found = arrays(made_from, lambda: {"negatives": _negatives(corpus, depth)})
    return Pool(pairs(corpus.train), found["negatives"])


def _negatives(corpus: Corpus, depth: int) -> np.ndarray:
    index = bm25.index(corpus.texts)
    rows = np.full((len(corpus.train), depth), -1, dtype=np.int64)
    for row, text, grades in zip(rows, corpus.train.texts, corpus.train.grades, strict=True):
        scores = index.scores(text).copy()
        scores[[passage for passage, grade in grades.items() if grade > 0]] = 0
        best = np.argsort(-scores, kind="stable")[:depth]
        best = best[scores[best] > 0]
        row[: len(best)] = best
    return rows


@lru_cache(maxsize=8)
def _order(seed: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(count)


def _stream(seed: int, count: int, first: int, last: int) -> np.ndarray:
    """Members ``first`` to ``last`` of the endless sequence of shuffled passes over range(count)."""
    parts = []
    while first < last:
        epoch, offset = divmod(first, count)
        parts.append(_order(seed, epoch, count)[offset : offset + last - first])
        first += len(parts[-1])
    return np.concatenate(parts)


def draw(pool: Pool, *, seed: int, number: int, size: int, negatives: int, passages: int) -> Drawn:
    """Batch ``number`` of ``size`` pairs. Where BM25 found no candidate, the negative is any of the ``passages``: it is
    relevant to the query almost never, and left out of the loss where it is."""
    chosen = pool.pairs[_stream(seed, len(pool.pairs), number * size, (number + 1) * size)]
    queries, own = chosen[:, 0], chosen[:, 1]
    generator = np.random.default_rng([seed, number, 1])
    found = np.maximum((pool.negatives[queries] >= 0).sum(1), 1)
    places = (generator.random((size, negatives)) * found[:, None]).astype(np.int64)
    hard = np.take_along_axis(pool.negatives[queries], places, axis=1)
    anything = generator.integers(passages, size=hard.shape)
    return Drawn(queries, np.concatenate([own, np.where(hard >= 0, hard, anything).reshape(-1)]))


def candidates(queries: Queries, drawn: Drawn) -> np.ndarray:
    """Boolean (examples, passages): False where a passage of the batch is relevant to the query besides its own."""
    allowed = np.ones((len(drawn.queries), len(drawn.passages)), dtype=bool)
    for row, query in enumerate(drawn.queries.tolist()):
        relevant = [passage for passage, grade in queries.grades[query].items() if grade > 0]
        allowed[row] = ~np.isin(drawn.passages, relevant)
    own = np.arange(len(drawn.queries))
    allowed[own, own] = True
    return allowed


def relevant(queries: Queries, numbers: np.ndarray) -> np.ndarray:
    """int64 (examples, most): the relevant passages of these queries, filled up with -1."""
    rows = [[passage for passage, grade in queries.grades[query].items() if grade > 0] for query in numbers.tolist()]
    found = np.full((len(rows), max(map(len, rows))), -1, dtype=np.int64)
    for filled, row in zip(found, rows, strict=True):
        filled[: len(row)] = row
    return found
