"""Which passages are scored: a run file's or BM25's best for evaluation, BM25's best that are not relevant to train."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bench.data.derived import arrays
from tasks import bm25, ranking
from tasks.msmarco_rerank.corpus import Corpus, Judged

VERSION = 1
"""Raised when the same data would give others: they lie in a cache."""


@dataclass(frozen=True)
class Pool:
    """The first passages of each query by some system, -1 where there are fewer."""

    passages: np.ndarray
    """int64 (queries, depth): rows of passages, best first."""
    scores: np.ndarray
    """float32 (queries, depth), -inf where there is none."""

    def cut(self, queries: int | None, depth: int) -> Pool:
        return Pool(self.passages[:queries, :depth], self.scores[:queries, :depth])

    @property
    def there(self) -> np.ndarray:
        """bool (queries, depth)."""
        found: np.ndarray = self.passages >= 0
        return found

    def as_ranking(self) -> ranking.Ranking:
        """The pool ranked as its system had it."""
        ties = ((self.scores[:, 1:] == self.scores[:, :-1]) & self.there[:, 1:]).sum(axis=1)
        documents = np.asarray(self.passages, dtype=np.int64)
        return ranking.Ranking(documents, ranking.strictly_decreasing(np.asarray(self.scores)), ties)


@dataclass(frozen=True)
class Searcher:
    """BM25 over the collection; the index is built when something is asked that is not in the cache."""

    corpus: Corpus
    digest: str
    """Of the data's files."""

    @cached_property
    def _index(self) -> bm25.Index:
        return bm25.index(self.corpus.texts)

    def best(self, queries: Sequence[str], depth: int, what: str) -> Pool:
        """The best ``depth`` passages of each query; ``what`` names the queries for the cache."""
        made_from = {"bm25": VERSION, "data": self.digest, "queries": what, "depth": depth, "k1": bm25.K1, "b": bm25.B}

        def search() -> dict[str, np.ndarray]:
            found = self._index.best(queries, depth)
            return {"passages": found.documents, "scores": found.scores}

        kept = arrays(made_from, search)
        return Pool(kept["passages"], kept["scores"])


def to_evaluate(searcher: Searcher, judged: Judged) -> Pool:
    """Candidates of an evaluation set: those of its run file where one was read, else BM25's on the collection."""
    if judged.run is not None:
        return of_run(searcher.corpus, judged)
    return searcher.best(judged.texts, 1_000, judged.name)


def of_run(corpus: Corpus, judged: Judged) -> Pool:
    """The candidates of the set's run file."""
    run = judged.run or ()
    depth = max((len(rows) for rows in run), default=0)
    passages = np.full((len(judged), depth), -1, dtype=np.int64)
    scores = np.full((len(judged), depth), -np.inf, dtype=np.float32)
    for query, rows in enumerate(run):
        passages[query, : len(rows)] = corpus.rows([row.document for row in rows])
        scores[query, : len(rows)] = [row.score for row in rows]
    return Pool(passages, scores)


def negatives(searcher: Searcher, depth: int) -> np.ndarray:
    """int64 (train queries, depth): BM25's best passages that are not relevant, -1 where there are fewer.

    A passage that reads the same as a relevant one is none either: the collection has doubles.
    """
    corpus = searcher.corpus
    most = max(len(rows) for rows in corpus.train_positives)
    found = searcher.best(corpus.train_texts, depth + most + 8, "train").passages
    kept = np.full((len(found), depth), -1, dtype=np.int64)
    for query, (ranked, positives) in enumerate(zip(found.tolist(), corpus.train_positives, strict=True)):
        relevant = {corpus.texts[row] for row in positives}
        wrong = [row for row in ranked if row >= 0 and corpus.texts[row] not in relevant][:depth]
        kept[query, : len(wrong)] = wrong
    return kept
