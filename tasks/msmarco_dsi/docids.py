"""Docids as token sequences, and the trie of all of them as flat arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def digits(count: int) -> np.ndarray:
    """Naive docids (Tay et al. 2022, section 3.2): the decimal number of each passage, one digit a position.

    Passages are numbered in index order and padded with zeros to one width, so that no docid begins another and none
    needs an end token. Returns int64 (count, width), values 0-9.
    """
    width = len(str(max(0, count - 1)))
    return np.arange(count)[:, None] // 10 ** np.arange(width - 1, -1, -1) % 10


@dataclass(frozen=True)
class Trie:
    """A trie over docids of one length, level by level, in compressed sparse rows.

    Level l holds the distinct prefixes of l tokens in sorted order: level 0 the root, the last level the docids.
    8.8 million docids of 7 digits take about 20 M nodes, 160 MB.
    """

    tokens: tuple[np.ndarray, ...]
    """tokens[l]: int32 (nodes of level l + 1,), the last token of each."""
    children: tuple[np.ndarray, ...]
    """children[l]: int64 (nodes of level l, + 1). Children of node i: nodes children[l][i] to children[l][i + 1] of
    level l + 1."""
    documents: np.ndarray
    """int64 (docids,): document of each leaf, in leaf order."""

    @property
    def depth(self) -> int:
        return len(self.tokens)


def trie(docids: np.ndarray) -> Trie:
    """The trie of docids, integers (documents, length), all different. Raises ``ValueError`` where two are the same."""
    count, depth = docids.shape
    order = np.lexsort(docids.T[::-1])
    ordered = docids[order]
    fresh = np.zeros(count, dtype=bool)
    fresh[:1] = True
    firsts = [np.zeros(min(1, count), dtype=np.int64)]
    tokens, children = [], []
    for level in range(depth):
        fresh[1:] |= ordered[1:, level] != ordered[:-1, level]
        first = np.flatnonzero(fresh)
        tokens.append(ordered[first, level].astype(np.int32))
        children.append(np.append(np.searchsorted(first, firsts[-1]), len(first)))
        firsts.append(first)
    if len(firsts[-1]) != count:
        raise ValueError("two documents have the same docid")
    return Trie(tuple(tokens), tuple(children), order)
