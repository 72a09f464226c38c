"""Rankings: one tie rule, TREC run files, and metrics through ir-measures. Shared by all retrieval tasks.

The tie rule: of two documents with the same score, the one whose id comes first in the task's fixed document order
stands first; the later one's score is then lowered to the next smaller float32. So every run has strictly decreasing
scores, and providers that break ties in opposite ways see the same ranking.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.errors import CellError

if TYPE_CHECKING:
    import numpy as np

TIE_RULE = "equal scores: document order; scores then made strictly decreasing in float32"


@dataclass(frozen=True)
class Ranking:
    """The best documents of each query. Rows of queries with fewer candidates are filled up with -1."""

    documents: np.ndarray
    """int64 (queries, depth): numbers of documents, best first, -1 where there is none."""
    scores: np.ndarray
    """float32 (queries, depth), strictly decreasing; -inf where there is none."""
    ties: np.ndarray
    """int64 (queries,): ranked documents whose score was that of the one before."""

    @property
    def tie_rate(self) -> float:
        """Share of ranked documents that only the tie rule set behind the one before."""
        pairs = int(((self.documents >= 0).sum(axis=1) - 1).clip(min=0).sum())
        return int(self.ties.sum()) / pairs if pairs > 0 else 0.0


def rank(scores: np.ndarray, depth: int, documents: np.ndarray | None = None) -> Ranking:
    """Ranks candidates by score.

    ``scores``: (queries, candidates), -inf for "no candidate". ``documents``: number of each candidate, of the same
    shape, the default being its column; -inf candidates are left out. Raises ``CellError`` on a NaN score.
    """
    import numpy as np

    values = np.asarray(scores, dtype=np.float32)
    if np.isnan(values).any():
        raise CellError("a document's score is NaN", mend="The model's weights or its training have diverged.")
    numbers = np.broadcast_to(np.arange(values.shape[1]), values.shape) if documents is None else documents
    depth = min(depth, values.shape[1])
    values, numbers = _candidates(values, numbers, depth)
    order = np.lexsort((numbers, -values), axis=1)[:, :depth]
    values, numbers = np.take_along_axis(values, order, 1), np.take_along_axis(numbers, order, 1)
    there = values > -np.inf
    ties = ((values[:, 1:] == values[:, :-1]) & there[:, 1:]).sum(axis=1)
    numbers = np.where(there, numbers, -1)
    return Ranking(numbers.astype(np.int64), strictly_decreasing(values), ties.astype(np.int64))


def _candidates(values: np.ndarray, numbers: np.ndarray, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Cuts each row down to what can be among its first ``depth``, ties at the border included."""
    import numpy as np

    if values.shape[1] <= 4 * depth:
        return values, numbers
    border = np.partition(values, values.shape[1] - depth, axis=1)[:, values.shape[1] - depth]
    kept = int((values >= border[:, None]).sum(axis=1).max())
    if kept > 4 * depth:
        return values, numbers
    found = np.argpartition(-values, kept - 1, axis=1)[:, :kept]
    return np.take_along_axis(values, found, 1), np.take_along_axis(numbers, found, 1)


def strictly_decreasing(scores: np.ndarray) -> np.ndarray:
    """Sorted float32 scores (queries, depth) with each made smaller than the one before; -inf stays."""
    import numpy as np

    lowered = scores.copy()
    for column in range(1, lowered.shape[1]):
        below = np.nextafter(lowered[:, column - 1], np.float32(-np.inf))
        np.minimum(lowered[:, column], below, out=lowered[:, column])
    return lowered


def joined(parts: Sequence[Ranking]) -> Ranking:
    """Rankings of successive chunks of queries, as one. All have the same depth."""
    import numpy as np

    return Ranking(
        np.concatenate([part.documents for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.ties for part in parts]),
    )


def run_text(ranking: Ranking, queries: Sequence[str], documents: Sequence[str], tag: str) -> str:
    """A TREC run file: ``query Q0 document rank score tag``, scores to the nine digits that float32 needs."""
    rows = []
    for query, numbers, scores in zip(queries, ranking.documents.tolist(), ranking.scores.tolist(), strict=True):
        rows += [
            f"{query} Q0 {documents[number]} {place} {score:.9g} {tag}\n"
            for place, (number, score) in enumerate(zip(numbers, scores, strict=True), start=1)
            if number >= 0
        ]
    return "".join(rows)


def measure(
    ranking: Ranking,
    queries: Sequence[str],
    documents: Sequence[str],
    grades: Sequence[Mapping[int, int]],
    metrics: Sequence[str],
) -> dict[str, np.ndarray]:
    """Per-query values of ir-measures' metrics, by name: float32 (queries,), in the order given.

    ``grades``: per query, relevance by document number. All queries count: one without a ranked document gets 0.
    """
    import ir_measures
    import numpy as np

    measures = {ir_measures.parse_measure(name): name for name in metrics}
    place = {query: index for index, query in enumerate(queries)}
    qrels = {
        query: {documents[number]: grade for number, grade in graded.items()}
        for query, graded in zip(queries, grades, strict=True)
    }
    run: dict[str, dict[str, float]] = {
        query: {documents[number]: score for number, score in zip(numbers, scores, strict=True) if number >= 0}
        for query, numbers, scores in zip(queries, ranking.documents.tolist(), ranking.scores.tolist(), strict=True)
        if numbers and numbers[0] >= 0  # a provider divides by the number of ranked documents
    }
    found = {name: np.zeros(len(queries), dtype=np.float32) for name in metrics}
    for value in ir_measures.iter_calc(list(measures), qrels, run):
        found[measures[value.measure]][place[value.query_id]] = value.value
    return found


def means(values: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Metrics as means over all queries."""
    import numpy as np

    return {name: float(np.mean(per_query, dtype=np.float64)) for name, per_query in values.items()}


def random_average_precision(relevant: Sequence[int], documents: int, depth: int) -> float:
    """Expected AP of a random ranking of ``documents`` cut at ``depth``, mean over queries with these relevant counts.

    With R of N relevant, rank k holds a relevant one with probability R/N, and then 1 + (k - 1)(R - 1)/(N - 1) of the
    first k are relevant on average: E[AP] = 1/N * sum over k <= depth of (1 + (k - 1)(R - 1)/(N - 1)) / k.
    """
    import numpy as np

    places = np.arange(1, min(depth, documents) + 1, dtype=np.float64)
    harmonic = float((1 / places).sum())
    others = max(1, documents - 1)
    expected = [(harmonic + (r - 1) / others * (len(places) - harmonic)) / documents for r in relevant]
    return float(np.mean(expected))


def random_ndcg(grades: Sequence[Mapping[Any, int]], ranked: Sequence[tuple[float, int]], depth: int) -> float:
    """Expected nDCG of a random ranking, mean over queries: each rank holds the mean gain of what is ranked.

    ``grades`` are a query's judgements, by document; ``ranked`` the mean gain and the number of what is ranked for it.
    A query without a relevant document counts 0.
    """
    import numpy as np

    discounts = 1 / np.log2(np.arange(2, depth + 2))
    shares = []
    for judged, (gain, count) in zip(grades, ranked, strict=True):
        gains = sorted((max(grade, 0) for grade in judged.values()), reverse=True)[:depth]
        best = float(np.dot(gains, discounts[: len(gains)]))
        shares.append(gain * float(discounts[:count].sum()) / best if best else 0.0)
    return float(np.mean(shares))


def notes(ranking: Ranking) -> dict[str, Any]:
    """Facts of a ranking that belong in its record."""
    return {
        "tie_rule": TIE_RULE,
        "tie_rate": round(ranking.tie_rate, 6),
        "ranked_at_most": int((ranking.documents >= 0).sum(axis=1).max(initial=0)),
    }
