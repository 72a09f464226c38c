"""Queries and passages as token ids, and pairs of them as the padded matrices that the models take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Protocol

import numpy as np

from tasks.bm25 import Analyser
from tasks.encoders.tokens import Tokens, Words, of_words
from tasks.msmarco_rerank.corpus import Corpus
from tasks.text import TokenRows

PAD_ID, UNKNOWN_ID = 0, 1
"""Of word vocabularies."""
SPECIAL = 3
"""[CLS] and two [SEP]."""

Matrices = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Texts:
    """All texts of a corpus as ids."""

    passages: TokenRows
    train: TokenRows
    judged: Mapping[str, TokenRows]
    """Queries by evaluation set."""


class Form(Protocol):
    """How a pair of ids becomes a model's input."""

    def lengths(self, queries: TokenRows, passages: TokenRows, limit: int) -> np.ndarray:
        """int64 (pairs,): tokens that each pair takes, of at most ``limit``."""
        ...

    def matrices(self, queries: TokenRows, passages: TokenRows, limit: int, width: int = 0) -> Matrices:
        """int64 matrices (pairs, length) by the name of the model's argument, padded to the longest pair, or to
        ``width``."""
        ...


@dataclass(frozen=True)
class Joined:
    """[CLS] query [SEP] passage [SEP]: one row a pair. Passages are cut where the pair would be too long."""

    pad: int
    cls: int
    sep: int

    def lengths(self, queries: TokenRows, passages: TokenRows, limit: int) -> np.ndarray:
        lengths: np.ndarray = np.minimum(np.diff(queries.offsets) + np.diff(passages.offsets) + SPECIAL, limit)
        return lengths

    def matrices(self, queries: TokenRows, passages: TokenRows, limit: int, width: int = 0) -> Matrices:
        asked = np.diff(queries.offsets)[:, None]
        total = self.lengths(queries, passages, limit)[:, None]
        slots = np.arange(max(width, int(total.max())))
        first, last = asked + 1, total - 1  # where the two [SEP] stand
        ids = np.full((len(asked), len(slots)), self.pad, dtype=np.int64)
        ids[:, 0] = self.cls
        _fill(ids, queries, (slots > 0) & (slots < first), -1)
        _fill(ids, passages, (slots > first) & (slots < last), -2 - asked)
        ids[(slots == first) | (slots == last)] = self.sep
        there = slots < total
        return {
            "input_ids": ids,
            "attention_mask": there.astype(np.int64),
            "token_type_ids": (there & (slots > first)).astype(np.int64),
        }


@dataclass(frozen=True)
class Apart:
    """Query and passage in matrices of their own."""

    def lengths(self, queries: TokenRows, passages: TokenRows, limit: int) -> np.ndarray:
        lengths: np.ndarray = np.minimum(np.diff(passages.offsets), limit)
        return lengths

    def matrices(self, queries: TokenRows, passages: TokenRows, limit: int, width: int = 0) -> Matrices:
        wide = max(width, min(limit, int(np.diff(passages.offsets).max(initial=1))))
        return {"query": padded(queries, 0), "document": padded(passages, limit, wide)}


def padded(rows: TokenRows, limit: int, width: int = 0) -> np.ndarray:
    """int64 (rows, longest row or ``width``): each row's first ``limit`` ids (0: all), then padding; a column at
    least."""
    lengths = np.diff(rows.offsets)
    lengths = np.minimum(lengths, limit) if limit else lengths
    slots = np.arange(max(width, int(lengths.max(initial=0)), 1))
    ids = np.full((len(lengths), len(slots)), PAD_ID, dtype=np.int64)
    _fill(ids, rows, slots < lengths[:, None], 0)
    return ids


def _fill(ids: np.ndarray, rows: TokenRows, where: np.ndarray, shift: int | np.ndarray) -> None:
    """Writes each row's ids where ``where`` says; the row's first id stands at slot ``-shift``."""
    places = rows.offsets[:-1, None] + np.arange(ids.shape[1]) + shift
    ids[where] = rows.tokens[places[where]]


def as_terms(texts: Iterable[str], kind: str) -> tuple[str, ...]:
    """The texts as words (``words``), or as BM25 sees them, stop words and endings gone (``stems``)."""
    if kind == "words":
        return tuple(texts)
    analyse = Analyser()
    return tuple(" ".join(analyse(text)) for text in texts)


def read_terms(corpus: Corpus, kind: str, size: int, limits: tuple[int, int], digest: str) -> tuple[Words, Texts]:
    """The vocabulary of the ``size`` most frequent terms of passages and train queries, and all texts in it.

    ``limits``: terms of a query and of a passage at most.
    """
    passages, train = as_terms(corpus.texts, kind), as_terms(corpus.train_texts, kind)
    words = of_words(chain(passages, train), size, digest=f"{digest} {kind}")
    judged = {one.name: as_terms(one.texts, kind) for one in corpus.judged}
    return words, _encoded(words, passages, train, judged, limits, f"{digest} {kind}")


def read_pieces(corpus: Corpus, tokens: Tokens, limits: tuple[int, int], digest: str) -> Texts:
    """All texts as the ids of ``tokens``."""
    judged = {one.name: one.texts for one in corpus.judged}
    return _encoded(tokens, corpus.texts, corpus.train_texts, judged, limits, digest)


def _encoded(
    tokens: Tokens,
    passages: Sequence[str],
    train: Sequence[str],
    judged: Mapping[str, Sequence[str]],
    limits: tuple[int, int],
    digest: str,
) -> Texts:
    query, passage = limits
    return Texts(
        passages=tokens.rows(passages, passage, digest=f"{digest} passages"),
        train=tokens.rows(train, query, digest=f"{digest} train"),
        judged={name: tokens.rows(texts, query, digest=f"{digest} {name}") for name, texts in judged.items()},
    )
