"""Docids as digit strings: naive ones, and the flat arrays that a trie of docids of any kind is kept in."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def digits(count: int) -> np.ndarray:
    """Naive docids (Tay et al. 2022, section 3.2): the decimal number of each passage, one digit a position.

    Passages are numbered in index order and padded with zeros to one width, so that no docid begins another and none
    needs an end token. Returns int8 (count, width), values 0-9.
    """
    numbers = np.arange(count)
    width = len(str(max(0, count - 1)))
    found = np.empty((count, width), dtype=np.int8)
    for place in range(width):
        found[:, place] = numbers // 10 ** (width - 1 - place) % 10
    return found


@dataclass(frozen=True)
class Trie:
    """A trie over docids, level by level, in compressed sparse rows.

    Level l holds the distinct prefixes of l tokens in sorted order: level 0 the root. No docid begins another, so every
    docid is a leaf, and a leaf is a node without children. Leaves are numbered in sorted order of their docids; those
    below a node follow one another. 8.8 million docids of 7 digits take about 10 M nodes, 150 MB.
    """

    tokens: tuple[np.ndarray, ...]
    """tokens[l]: int32 (nodes of level l + 1,), the last token of each."""
    children: tuple[np.ndarray, ...]
    """children[l]: int32 (nodes of level l, + 1). Children of node i: nodes children[l][i] to children[l][i + 1] of
    level l + 1."""
    leaves: tuple[np.ndarray, ...]
    """leaves[l]: int32 (nodes of level l + 1,), the first leaf at or below each."""
    documents: np.ndarray
    """int32 (docids,): document of each leaf."""

    @property
    def depth(self) -> int:
        return len(self.tokens)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(array.nbytes for array in (*self.tokens, *self.children, *self.leaves, self.documents))


def trie(docids: np.ndarray) -> Trie:
    """The trie of docids, integers (documents, longest docid), shorter ones filled up with -1.

    Raises ``ValueError`` where two are the same, or one begins another.
    """
    documents = _sorted(docids)
    count, depth = docids.shape
    distinct = np.zeros(count, dtype=bool)
    distinct[:1] = True
    above = np.flatnonzero(distinct).astype(np.int32)
    tokens, children, leaves = [], [], []
    for level in range(depth):
        column = docids[documents, level]
        there = column >= 0
        _require_prefix_free(there, distinct)
        distinct[1:] |= column[1:] != column[:-1]
        first = np.flatnonzero(distinct & there).astype(np.int32)
        tokens.append(column[first].astype(np.int32))
        children.append(np.append(np.searchsorted(first, above), len(first)).astype(np.int32))
        leaves.append(first)
        above = first
    if not distinct.all():
        raise ValueError("two documents have the same docid")
    return Trie(tuple(tokens), tuple(children), tuple(leaves), documents)


def _require_prefix_free(there: np.ndarray, distinct: np.ndarray) -> None:
    """``there``: which docids go on; ``distinct``: which differ from the one before in what came until here."""
    same = ~distinct[1:]
    if (same & ~there[1:] & ~there[:-1]).any():
        raise ValueError("two documents have the same docid")
    if (same & ~(there[1:] & there[:-1])).any():
        raise ValueError("a docid begins another")


def _sorted(docids: np.ndarray) -> np.ndarray:
    """The order that sorts the docids, int32 (documents,).

    Tokens are replaced by their ranks among those that occur, and as many of them as fit are packed into one integer:
    8.8 million docids of a dozen digits are sorted as one column.
    """
    count, depth = docids.shape
    if not depth:
        return np.arange(count, dtype=np.int32)
    occurs = np.zeros(int(docids.max(initial=-1)) + 2, dtype=bool)
    for level in range(depth):
        occurs[docids[:, level]] = True  # -1, the filler, is the last entry
    occurs[-1] = False
    ranks = np.append(np.cumsum(occurs)[:-1], 0)
    bits = max(1, int(ranks.max(initial=0)).bit_length())
    packed = []
    for start in range(0, depth, 63 // bits):
        word = np.zeros(count, dtype=np.int64)
        for level in range(start, min(depth, start + 63 // bits)):
            word <<= bits
            word |= ranks[docids[:, level]]
        packed.append(word)
    order = np.argsort(packed[0], kind="stable") if len(packed) == 1 else np.lexsort(packed[::-1])
    return order.astype(np.int32)
