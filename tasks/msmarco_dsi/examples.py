"""Training examples of a differentiable search index: text of a passage to its docid, train query to docid.

Indexing examples are pseudo-queries drawn from the passage's own text (crops, and bags of words), after Zhuang et al.,
"Bridging the gap between indexing and retrieval for DSI with query generation", 2022, with draws in the place of a
query generator; train queries are those of the qrels. Batch i is a function of (seed, i).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tasks.msmarco_dsi.text import Ragged


@dataclass(frozen=True)
class Mixture:
    """Shares of a batch, and the lengths of pseudo-queries in words (both ends included)."""

    queries: float
    crops: float
    """Share of crops among the pseudo-queries; the rest are bags."""
    crop: tuple[int, int]
    bag: tuple[int, int]


@dataclass(frozen=True)
class Pool:
    """What examples are drawn from."""

    passages: Ragged
    """Word numbers of each passage."""
    queries: Ragged
    """Word numbers of each train query."""
    pairs: np.ndarray
    """int64 (pairs, 2): train query, passage."""
    weights: np.ndarray
    """float64 (total words + 1,): running sum of the bag weights of all words of all passages, from 0."""


def pool(passages: Ragged, queries: Ragged, pairs: np.ndarray, rarity: np.ndarray, rare: float) -> Pool:
    """The pool with bag weights worked out. ``rarity``: float64 (words,)."""
    weights = rarity[passages.values] ** rare
    return Pool(passages, queries, pairs, np.concatenate([[0.0], np.cumsum(weights)]))


@lru_cache(maxsize=8)
def _order(seed: int, purpose: int, epoch: int, count: int) -> np.ndarray:
    return np.random.default_rng([seed, purpose, epoch]).permutation(count)


def _stream(seed: int, purpose: int, count: int, first: int, last: int) -> np.ndarray:
    """Members ``first`` to ``last`` of the endless sequence of shuffled passes over range(count)."""
    found = []
    while first < last:
        epoch, offset = divmod(first, count)
        part = _order(seed, purpose, epoch, count)[offset : offset + last - first]
        found.append(part)
        first += len(part)
    return np.concatenate(found) if found else np.empty(0, dtype=np.int64)


def draw(pool: Pool, mixture: Mixture, *, seed: int, number: int, size: int) -> tuple[Ragged, np.ndarray]:
    """Batch ``number``: texts as word numbers, and the row of the passage each belongs to, int64 (size,).

    Passages and train pairs each come in their own endless sequence of shuffled passes, so that none is seen twice
    before all were seen once.
    """
    share = mixture.queries if len(pool.pairs) else 0.0
    before, after = int(number * size * share), int((number + 1) * size * share)
    pairs = pool.pairs[_stream(seed, 0, max(1, len(pool.pairs)), before, after)] if after > before else pool.pairs[:0]
    documents = _stream(seed, 1, len(pool.passages.starts) - 1, number * size - before, (number + 1) * size - after)
    generator = np.random.default_rng([seed, 2, number])
    pseudo = _pseudo_queries(pool, mixture, documents, generator)
    texts = _join(pool.queries.take(pairs[:, 0]), pseudo)
    return texts, np.concatenate([pairs[:, 1], documents])


def _join(first: Ragged, second: Ragged) -> Ragged:
    return Ragged(
        np.concatenate([first.values, second.values]),
        np.concatenate([first.starts, second.starts[1:] + first.starts[-1]]),
    )


def _pseudo_queries(pool: Pool, mixture: Mixture, documents: np.ndarray, generator: np.random.Generator) -> Ragged:
    """One crop or bag of each given passage."""
    count = len(documents)
    starts, lengths = pool.passages.starts[documents], pool.passages.lengths[documents]
    crops = np.arange(count) < round(count * mixture.crops)
    low, high = (np.where(crops, a, b) for a, b in zip(mixture.crop, mixture.bag, strict=True))
    sizes = np.minimum(low + (generator.random(count) * (high - low + 1)).astype(np.int64), lengths)
    offsets = (generator.random(count) * (lengths - sizes + 1)).astype(np.int64)
    out = np.concatenate([[0], np.cumsum(sizes)])
    owner = np.repeat(np.arange(count), sizes)
    within = np.arange(out[-1]) - out[owner]
    bottom, top = pool.weights[starts], pool.weights[starts + lengths]
    points = bottom[owner] + generator.random(out[-1]) * (top - bottom)[owner]
    drawn = np.searchsorted(pool.weights, points, side="right") - 1
    drawn = np.clip(drawn, starts[owner], (starts + lengths)[owner] - 1)
    position = np.where(crops[owner], (starts + offsets)[owner] + within, drawn)
    return Ragged(pool.passages.values[position], out)
