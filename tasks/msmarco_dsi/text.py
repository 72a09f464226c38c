"""Texts as flat arrays of words, and words as pieces of the model's vocabulary, so that batches need no Python loop."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from tasks.bm25 import Analyser, words


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths, end to end."""

    values: np.ndarray
    """int32 (total,)."""
    starts: np.ndarray
    """int64 (rows + 1,): row i is ``values[starts[i]:starts[i + 1]]``."""

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.starts)

    def take(self, rows: np.ndarray) -> Ragged:
        """The given rows, in that order."""
        lengths = self.lengths[rows]
        starts = np.concatenate([[0], np.cumsum(lengths)])
        within = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)
        return Ragged(self.values[np.repeat(self.starts[rows], lengths) + within], starts)


def ragged(rows: Iterable[Sequence[int]]) -> Ragged:
    """Rows of integers, packed."""
    lengths: list[int] = [0]
    values: list[int] = []
    for row in rows:
        values.extend(row)
        lengths.append(len(row))
    return Ragged(np.asarray(values, dtype=np.int32), np.cumsum(np.asarray(lengths, dtype=np.int64)))


def splitter(kind: str) -> Callable[[str], list[str]]:
    """How texts become words: ``words`` and ``stems`` as BM25's analyser does, ``blanks`` at white space only.

    ``blanks`` is for models that bring their own tokenizer, which then cuts each word into pieces.
    """
    known: dict[str, Callable[[str], list[str]]] = {"words": words, "stems": Analyser(), "blanks": str.split}
    return known[kind]


@dataclass(frozen=True)
class Lexicon:
    """The words that texts are made of."""

    numbers: dict[str, int]
    """Word to number, most frequent first, ties in alphabetical order."""
    rarity: np.ndarray
    """float64 (words,): log(1 + passages / passages with the word)."""

    @property
    def words(self) -> list[str]:
        return list(self.numbers)

    def encode(self, texts: Iterable[Sequence[str]]) -> Ragged:
        """Word numbers of texts already split; unknown words are left out."""
        numbers = self.numbers
        return ragged([numbers[word] for word in text if word in numbers] for text in texts)


def lexicon(passages: Sequence[Sequence[str]], queries: Sequence[Sequence[str]], size: int | None = None) -> Lexicon:
    """The ``size`` most frequent words (None: all) of passages and *train* queries."""
    counts: Counter[str] = Counter()
    documents: Counter[str] = Counter()
    for text in passages:
        counts.update(text)
        documents.update(set(text))
    for text in queries:
        counts.update(text)
    chosen = sorted(counts, key=lambda word: (-counts[word], word))[:size]
    frequency = np.asarray([max(1, documents[word]) for word in chosen], dtype=np.float64)
    return Lexicon({word: number for number, word in enumerate(chosen)}, np.log1p(len(passages) / frequency))


def expand(rows: Ragged, pieces: Ragged) -> Ragged:
    """Texts as tokens, of texts as word numbers. ``pieces``: the tokens of each word."""
    tokens = pieces.take(rows.values)
    return Ragged(tokens.values, tokens.starts[rows.starts])


def padded(tokens: Ragged, *, length: int, end: int, pad: int) -> tuple[np.ndarray, np.ndarray]:
    """Token and mask matrices, int64 (rows, longest row): cut to ``length - 1`` tokens and closed by ``end``, as T5 was
    trained."""
    lengths = np.minimum(tokens.lengths, length - 1)
    slots = np.arange(int(lengths.max(initial=0)) + 1)
    values = np.append(tokens.values, pad)
    text = values[np.minimum(tokens.starts[:-1, None] + slots, len(values) - 1)]
    matrix = np.where(slots < lengths[:, None], text, np.where(slots == lengths[:, None], end, pad))
    return matrix.astype(np.int64), (slots <= lengths[:, None]).astype(np.int64)
