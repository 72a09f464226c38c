"""BM25 by Lucene itself, through pyserini: the face of ``tasks/bm25.py``. Needs the extra ``pyserini``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from tasks import ranking
from tasks.bm25 import K1, B

if TYPE_CHECKING:
    import numpy as np

    from tasks.ranking import Ranking

CHUNK = 10_000
"""Texts handed to Java at a time."""


@dataclass
class LuceneIndex:
    """An index of Lucene, in a folder that goes with it."""

    searcher: Any
    folder: TemporaryDirectory[str]
    size: int
    versions: str
    """Of pyserini and Java."""

    def scores(self, query: str) -> np.ndarray:
        """See ``tasks.bm25.Index``."""
        import numpy as np

        documents, found = self._search([query], self.size)
        values = np.zeros(self.size, dtype=np.float32)
        there = documents[0] >= 0
        values[documents[0, there]] = found[0, there]
        return values

    def best(self, queries: Sequence[str], depth: int) -> Ranking:
        """See ``tasks.bm25.Index``."""
        documents, scores = self._search(queries, min(depth, self.size))
        return ranking.rank(scores, depth, documents)

    def _search(self, queries: Sequence[str], depth: int) -> tuple[np.ndarray, np.ndarray]:
        """Numbers and scores of the best texts, int64 and float32 (queries, depth); -1 and -inf where there is none."""
        import numpy as np

        documents = np.full((len(queries), depth), -1, dtype=np.int64)
        scores = np.full((len(queries), depth), -np.inf, dtype=np.float32)
        # Lucene parses no query without a term, and has nothing to say on it.
        asked = [str(row) for row, query in enumerate(queries) if query.strip()]
        if not asked:
            return documents, scores
        found = self.searcher.batch_search([queries[int(row)] for row in asked], asked, depth, 1)
        for row in asked:
            for place, hit in enumerate(found.get(row, ())):
                documents[int(row), place], scores[int(row), place] = int(hit.docid), hit.score
        return documents, scores


def index(texts: Sequence[str]) -> LuceneIndex:
    """An index over the texts. Raises ``UsageError`` where pyserini or its Java does not work."""
    from bench import lucene

    found = lucene.start()
    folder = TemporaryDirectory(prefix="lucene-", ignore_cleanup_errors=True)
    indexer = found.indexer(folder.name, threads=1)
    for documents in chunks(texts):
        indexer.add_batch_dict(documents)
    indexer.close()
    searcher = found.searcher(folder.name)
    searcher.set_bm25(K1, B)
    return LuceneIndex(searcher, folder, len(texts), found.versions)


def chunks(texts: Sequence[str]) -> Iterable[list[dict[str, str]]]:
    """Texts by number. The numbers have one width, as Lucene breaks ties by the order of ids as text."""
    width = len(str(len(texts)))
    for first in range(0, len(texts), CHUNK):
        part = texts[first : first + CHUNK]
        yield [{"id": f"{number:0{width}d}", "contents": text} for number, text in enumerate(part, first)]
