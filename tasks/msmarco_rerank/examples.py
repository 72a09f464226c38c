"""Training examples: a query with one relevant passage, then k that BM25 ranks high and nobody judged relevant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ORDER, DRAW = 0, 1
"""Purposes of the random streams below."""


@dataclass(frozen=True)
class Pools:
    """What each train query draws from."""

    positives: Sequence[Sequence[int]]
    """Rows of relevant passages."""
    negatives: np.ndarray
    """int64 (queries, depth): rows of passages, -1 where there are fewer."""
    passages: int
    """Number of passages of the collection."""


def draw(pools: Pools, *, seed: int, number: int, size: int, negatives: int) -> tuple[np.ndarray, np.ndarray]:
    """Queries (n,) and passages (n, 1 + negatives) of batch ``number``; n is ``size``, less at an epoch's end.

    An epoch has every query once, in an order of its own. The batch is a function of (seed, number) alone.
    """
    count = len(pools.positives)
    an_epoch = -(-count // size)
    order = np.random.default_rng([seed, ORDER, number // an_epoch]).permutation(count)
    queries = order[number % an_epoch * size :][:size]
    generator = np.random.default_rng([seed, DRAW, number])
    rows = [_group(pools, int(query), negatives, generator) for query in queries]
    return queries.astype(np.int64), np.asarray(rows, dtype=np.int64)


def _group(pools: Pools, query: int, negatives: int, generator: np.random.Generator) -> list[int]:
    relevant = pools.positives[query]
    hard = pools.negatives[query]
    hard = hard[hard >= 0]
    found = [int(relevant[int(generator.integers(len(relevant)))])]
    found += generator.permutation(hard)[:negatives].tolist()
    while len(found) <= negatives:  # BM25 finds too few: any other passage of the collection
        other = int(generator.integers(pools.passages))
        if other not in relevant or len(relevant) >= pools.passages:
            found.append(other)
    return found
