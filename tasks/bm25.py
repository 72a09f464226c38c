"""BM25 as Lucene computes it: the baseline and the candidate generator of the ranking tasks.

By default through bm25s; Lucene itself, through pyserini, stands behind the same face (``tasks/pyserini_bm25.py``).

The analyser follows Lucene's English one: Unicode word segmentation (UAX #29), possessive ``'s`` removed, lower case,
Lucene's 33 stop words removed, Porter stems. Parameters are those of the MS MARCO baselines: k1 = 0.9, b = 0.4.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from bench.errors import UsageError
from bench.registry import suggestion
from tasks import ranking

if TYPE_CHECKING:
    import numpy as np

    from tasks.ranking import Ranking

K1, B = 0.9, 0.4
PROVIDERS = ("bm25s", "pyserini")
"""What computes it: bm25s, or Lucene through pyserini, which is an extra."""
CHUNK = 256
"""Queries whose scores are held at once."""

STOP_WORDS = frozenset(
    "a an and are as at be but by for if in into is it no not of on or such that the their then there these they "  # noqa: SIM905
    "this to was will with".split()
)
"""The 33 words of Lucene's ``EnglishAnalyzer.ENGLISH_STOP_WORDS_SET``."""

_WORD = re.compile(
    # A run of word characters, held together over one . ' ’ : or · between letters and one . , ; ' ’ between digits
    # (UAX #29: WB6-7 MidLetter and MidNumLet, WB11-12 MidNum), ideographs and kana standing alone.
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]"
    r"|(?:[^\W\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff]|(?<=[^\W\d_])[.'’:·](?=[^\W\d_])|(?<=\d)[.,;'’](?=\d))+"
)


def words(text: str) -> list[str]:
    """Lower-cased words of a text by the segmentation rule, possessives removed; stop words and endings stay."""
    found = []
    for word in _WORD.findall(text.lower()):
        if word.endswith(("'s", "’s")):
            word = word[:-2]
        if word.strip("_"):
            found.append(word)
    return found


class Analyser:
    """Text to index terms. Remembers the stem of each word it has met, as words repeat."""

    def __init__(self) -> None:
        import Stemmer

        self._stemmer = Stemmer.Stemmer("porter")
        self._stems: dict[str, str] = {}

    def _stem(self, word: str) -> str:
        known = self._stems.get(word)
        if known is None:
            # Lucene's Porter filter leaves words of one and two letters alone.
            known = word if len(word) <= 2 else self._stemmer.stemWord(word)
            self._stems[word] = known
        return known

    def __call__(self, text: str) -> list[str]:
        """Index terms of a text, in order."""
        return [self._stem(word) for word in words(text) if word not in STOP_WORDS]


class Index(Protocol):
    """An index over texts, numbered in the order given."""

    size: int

    def scores(self, query: str) -> np.ndarray:
        """BM25 of every text for the query, float32 of shape (texts,); 0 where no term is shared."""
        ...

    def best(self, queries: Sequence[str], depth: int) -> Ranking:
        """The best ``depth`` texts of each query, only such as share a term with it."""
        ...


@dataclass
class Bm25sIndex:
    """An index of bm25s."""

    retriever: Any
    analyser: Analyser
    size: int

    def scores(self, query: str) -> np.ndarray:
        """See ``Index``."""
        import numpy as np

        known = self.retriever.vocab_dict
        terms = [term for term in self.analyser(query) if term in known]
        if not terms:
            return np.zeros(self.size, dtype=np.float32)
        found: np.ndarray = self.retriever.get_scores(terms)
        return found.astype(np.float32, copy=False)

    def best(self, queries: Sequence[str], depth: int) -> Ranking:
        """See ``Index``."""
        return ranking.joined(
            [self._best(queries[first : first + CHUNK], depth) for first in range(0, max(1, len(queries)), CHUNK)]
        )

    def _best(self, queries: Sequence[str], depth: int) -> Ranking:
        import numpy as np

        scores = np.empty((len(queries), self.size), dtype=np.float32)
        for row, query in zip(scores, queries, strict=True):
            row[:] = self.scores(query)
        return ranking.rank(np.where(scores > 0, scores, -np.inf), depth)


def index(texts: Sequence[str], provider: str = PROVIDERS[0]) -> Index:
    """An index over the texts; at least one of them must hold a term.

    Raises ``UsageError`` for an unknown provider, and for one that is not installed or does not work.
    """
    if provider == "pyserini":
        from tasks import pyserini_bm25

        return pyserini_bm25.index(texts)
    if provider != "bm25s":
        raise UsageError(f"unknown provider {provider!r}", where="bm25", mend=suggestion(provider, PROVIDERS))
    import bm25s

    # It tells of every index, which shows where pyserini's imports have set up logging.
    logging.getLogger("bm25s").setLevel(logging.WARNING)
    analyser = Analyser()
    retriever = bm25s.BM25(method="lucene", k1=K1, b=B)
    retriever.index([analyser(text) for text in texts], show_progress=False)
    return Bm25sIndex(retriever=retriever, analyser=analyser, size=len(texts))


def label(provider: str) -> str:
    """Parameters and analyser, as a table's note gives them."""
    by = ", by Lucene through pyserini" if provider == "pyserini" else ""
    return f"k1 = {K1}, b = {B}, Lucene's English analyser{by}"
