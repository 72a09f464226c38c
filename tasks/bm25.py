"""BM25 as Lucene computes it, through bm25s: the baseline and the candidate generator of the ranking tasks.

The analyser follows Lucene's English one: Unicode word segmentation (UAX #29), possessive ``'s`` removed, lower case,
Lucene's 33 stop words removed, Porter stems. Parameters are those of the MS MARCO baselines: k1 = 0.9, b = 0.4.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

K1, B = 0.9, 0.4

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


@dataclass(frozen=True)
class Index:
    """An index over texts, numbered in the order given."""

    retriever: Any
    analyser: Analyser
    size: int

    def scores(self, query: str) -> np.ndarray:
        """BM25 of every text for the query, float32 of shape (texts,); 0 where no term is shared."""
        import numpy as np

        known = self.retriever.vocab_dict
        terms = [term for term in self.analyser(query) if term in known]
        if not terms:
            return np.zeros(self.size, dtype=np.float32)
        found: np.ndarray = self.retriever.get_scores(terms)
        return found.astype(np.float32, copy=False)


def index(texts: Sequence[str]) -> Index:
    """An index over the texts; at least one of them must hold a term."""
    import bm25s

    analyser = Analyser()
    retriever = bm25s.BM25(method="lucene", k1=K1, b=B)
    retriever.index([analyser(text) for text in texts], show_progress=False)
    return Index(retriever=retriever, analyser=analyser, size=len(texts))
