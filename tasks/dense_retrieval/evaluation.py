"""What a search in an index found, as an evaluation; and the baselines beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tasks import bm25, ranking
from tasks.base import Evaluation, Reference
from tasks.dense_retrieval import indexes
from tasks.dense_retrieval.corpus import Corpus, Queries
from tasks.dense_retrieval.options import Options
from tasks.ranking import Ranking

MEASURED = ("nDCG@10", "R@100", "RR@10", "Judged@10")
"""Of the leading search: the exhaustive one, or that of the quantised index."""
COMPARED = ("nDCG@10", "R@100")
"""Of the other searches."""


def evaluation(built: Mapping[str, Any], queries: np.ndarray, corpus: Corpus, options: Options, tag: str) -> Evaluation:
    """Metrics of a search in each index of ``built``, by name: the first leads, and leaves the run.

    ``queries``: float32 (queries, d), vectors of the test queries.
    """
    test = corpus.test
    found = {name: indexes.search(index, queries, options.depth) for name, index in built.items()}
    (lead, first), *others = found.items()
    values = measured(first, corpus, MEASURED)
    for name, one in others:
        values |= {f"{metric} ({name})": per_query for metric, per_query in measured(one, corpus, COMPARED).items()}
    return Evaluation(
        metrics=ranking.means(values),
        examples=values,
        n=len(test),
        files={"run": ranking.run_text(first, test.ids, corpus.ids, tag)},
        notes={
            **ranking.notes(first),
            "search": lead,
            "index": indexes.sizes(built),
            "floor": {"nDCG@10": _random(test, len(corpus.ids))},
        },
    )


def measured(found: Ranking, corpus: Corpus, metrics: Sequence[str]) -> dict[str, np.ndarray]:
    """Per-query values of a ranking of the test queries."""
    return ranking.measure(found, corpus.test.ids, corpus.ids, corpus.test.grades, metrics)


def _random(queries: Queries, documents: int) -> float:
    """nDCG@10 of a random ranking of all documents."""
    gains = (sum(max(grade, 0) for grade in grades.values()) / documents for grades in queries.grades)
    return ranking.random_ndcg(queries.grades, [(gain, documents) for gain in gains], 10)


def lexical(corpus: Corpus, options: Options) -> Reference:
    """BM25 over titles and texts."""
    index = bm25.index(corpus.texts)
    found = index.best(corpus.test.texts, options.depth)
    note = f"k1 = {bm25.K1}, b = {bm25.B}, Lucene's English analyser"
    return Reference("BM25", ranking.means(measured(found, corpus, MEASURED)), note)


def untrained(vectors: np.ndarray, queries: np.ndarray, corpus: Corpus, options: Options) -> list[Reference]:
    """Indexes over the checkpoint's vectors, searched with the checkpoint's queries: exhaustively, and quantised
    without joint training."""
    bytes_ = options.subvectors
    built = {
        "flat": indexes.flat(vectors),
        f"OPQ {bytes_}": indexes.of_codes(indexes.kept(vectors, bytes_, rotated=True)),
        f"PQ {bytes_}": indexes.of_codes(indexes.kept(vectors, bytes_, rotated=False)),
    }
    sizes = indexes.sizes(built)
    return [
        Reference(
            f"{name}, untrained",
            ranking.means(measured(indexes.search(index, queries, options.depth), corpus, MEASURED)),
            f"the checkpoint as it is, index of {sizes[name]['bytes']:,} bytes",
        )
        for name, index in built.items()
    ]
