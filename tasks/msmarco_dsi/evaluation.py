"""What a ranking of the indexed passages is worth: metrics, the facts that belong beside them, and BM25's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tasks import bm25, ranking
from tasks.base import Evaluation, Reference
from tasks.msmarco_dsi.corpus import Corpus
from tasks.msmarco_dsi.options import Options
from tasks.msmarco_dsi.tokens import Tokens
from tasks.ranking import Ranking


def evaluation(found: Ranking, corpus: Corpus, metrics: Sequence[str], tag: str, notes: dict[str, Any]) -> Evaluation:
    """Metrics by ir-measures on the run that is left behind; ``notes`` are further facts for the record."""
    values = _values(found, corpus, metrics)
    return Evaluation(
        metrics=ranking.means(values),
        examples=values,
        n=len(corpus.dev_numbers),
        files={"run": ranking.run_text(found, _queries(corpus), _passages(corpus), tag)},
        notes={**ranking.notes(found), **notes},
    )


def lexical(corpus: Corpus, options: Options, metrics: Sequence[str]) -> Reference:
    """BM25 over the same passages. Raises ``UsageError`` where its provider does not work."""
    found = bm25.index(corpus.texts, options.bm25).best(corpus.dev_texts, options.depth)
    return Reference("BM25", ranking.means(_values(found, corpus, metrics)), bm25.label(options.bm25))


def facts(corpus: Corpus, trained: Corpus, tokens: Tokens, options: Options) -> dict[str, Any]:
    """What a record says besides metrics. ``trained``: the corpus with all pairs that were trained on."""
    relevant = [sum(grade > 0 for grade in grades.values()) for grades in corpus.dev_grades]
    found: dict[str, Any] = {
        "floor": {"AP": ranking.random_average_precision(relevant, len(corpus.texts), options.depth)},
        "decode": options.decode,
        "left_out": dict(corpus.left_out),
        "cut_queries": int((tokens.dev.lengths > options.input_length - 1).sum()),
        "empty_queries": int((tokens.dev.lengths == 0).sum()),
    }
    if options.docids == "semantic":
        lengths = (tokens.docids >= 0).sum(axis=1)
        found["docid_digits"] = {
            "least": int(lengths.min()),
            "mean": round(float(lengths.mean()), 3),
            "most": int(lengths.max()),
        }
    if options.bm25_targets:
        judged = len(corpus.train_pairs)
        found["train_pairs"] = {"judged": judged, "by BM25": len(trained.train_pairs) - judged}
    return found


def _values(found: Ranking, corpus: Corpus, metrics: Sequence[str]) -> dict[str, np.ndarray]:
    return ranking.measure(found, _queries(corpus), _passages(corpus), corpus.dev_grades, metrics)


def _queries(corpus: Corpus) -> list[str]:
    return [str(number) for number in corpus.dev_numbers]


def _passages(corpus: Corpus) -> list[str]:
    return [str(number) for number in corpus.passage_numbers.tolist()]
