"""Batches of sentence pairs of similar length."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt

from tasks.text import TokenRows

SPREAD = 3.0
"""Source words by which neighbours in a batch may differ for the sake of other company in every epoch."""
IGNORED = -100
"""Label of padding: the loss passes over it."""

Ids = npt.NDArray[np.int64]


def epoch(source: Ids, target: Ids, size: int, seed: Sequence[int]) -> list[Ids]:
    """The rows of each batch of one epoch, every row once; ``source`` and ``target`` are lengths, shape (rows,).

    Rows are sorted by target length and then by source length, with some noise, and cut into batches of ``size`` (the
    last may be smaller), which come in random order: little is spent on padding.
    """
    random = np.random.default_rng(seed)
    order = np.lexsort((source + SPREAD * random.random(len(source)), target))
    batches = [order[place : place + size] for place in range(0, len(order), size)]
    return [batches[number] for number in random.permutation(len(batches))]


def padded(rows: Sequence[Sequence[int]] | TokenRows, *, begin: int, end: int, pad: int) -> Ids:
    """Ids between their marks, shape (rows, longest + 2), filled up with ``pad``."""
    if isinstance(rows, TokenRows):
        tokens, lengths = rows.tokens, np.diff(rows.offsets)
    else:
        tokens = np.fromiter(chain.from_iterable(rows), dtype=np.int32)
        lengths = np.asarray([len(row) for row in rows])
    places = np.arange(lengths.max(initial=0) + 2)
    ids = np.full((len(lengths), len(places)), pad, dtype=np.int64)
    ids[:, 0] = begin
    ids[(places > 0) & (places <= lengths[:, None])] = tokens
    ids[np.arange(len(lengths)), lengths + 1] = end
    return ids
