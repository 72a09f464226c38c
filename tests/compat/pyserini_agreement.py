"""Compares BM25 by bm25s with Lucene's own, through pyserini, on SciFact.

Run by ``make test-compat`` in an environment of its own, with the extra ``pyserini``:
``python tests/compat/pyserini_agreement.py DATA``. Exit code 1 where the two disagree.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from bench.cli import doctor
from bench.data import Folder, Memory, lines
from tasks import bm25, ranking
from tasks.msmarco_dsi import MsMarcoDsi
from tasks.ranking import Ranking

DEPTH = 100
TOP = 10
LEAST_OVERLAP = 0.95
PUBLISHED, TOLERANCE = 0.679, 0.01
"""nDCG@10 of BM25 on SciFact, title and text in one field (Thakur et al. 2021)."""


def overlap(first: Ranking, second: Ranking, depth: int) -> float:
    """Mean share of the first ``depth`` documents that both have."""
    shared = [
        len(set(one[:depth].tolist()) & set(two[:depth].tolist()) - {-1}) / max(1, (one[:depth] >= 0).sum())
        for one, two in zip(first.documents, second.documents, strict=True)
    ]
    return float(np.mean(shared))


def scifact(data: Path) -> tuple[list[str], list[str], Mapping[str, str], Mapping[str, dict[int, int]]]:
    """Ids and texts of the documents, the test queries, and their relevant documents by number."""
    files = Folder(data / "beir" / "scifact")
    documents = [json.loads(row) for _, row in lines(files, "corpus.jsonl")]
    queries = {row["_id"]: row["text"] for row in (json.loads(row) for _, row in lines(files, "queries.jsonl"))}
    ids = [document["_id"] for document in documents]
    number = {name: row for row, name in enumerate(ids)}
    grades: dict[str, dict[int, int]] = {}
    for query, document, grade in [row.split("\t") for _, row in lines(files, "qrels/test.tsv")][1:]:
        grades.setdefault(query, {})[number[document]] = int(grade)
    texts = [f"{document['title']} {document['text']}" for document in documents]
    return ids, texts, {query: queries[query] for query in grades}, grades


def searched(provider: str, texts: Sequence[str], queries: Sequence[str]) -> tuple[Ranking, str]:
    """The provider's ranking, and what it took."""
    start = time.perf_counter()
    index = bm25.index(texts, provider)
    built = time.perf_counter() - start
    index.best(queries[:10], DEPTH)
    start = time.perf_counter()
    found = index.best(queries, DEPTH)
    spent = 1_000 * (time.perf_counter() - start) / len(queries)
    query = queries[0]
    scores, top = index.scores(query), found.documents[0, :TOP]
    if not np.allclose(scores[top], found.scores[0, :TOP], rtol=1e-3):
        sys.exit(f"{provider}: scores() and best() differ for {query!r}")
    if (index.best(["", "the of"], TOP).documents >= 0).any() or index.scores("the").any():
        sys.exit(f"{provider}: finds something for a query without a term")
    return found, f"index {built:.1f} s, {spent:.2f} ms a query (depth {DEPTH})"


def compare_scifact(data: Path) -> None:
    """Raises ``SystemExit`` where the two rank differently."""
    ids, texts, queries, grades = scifact(data)
    found: dict[str, Ranking] = {}
    for provider in bm25.PROVIDERS:
        found[provider], took = searched(provider, texts, list(queries.values()))
        values = ranking.measure(found[provider], list(grades), ids, list(grades.values()), ["nDCG@10"])
        mean = ranking.means(values)["nDCG@10"]
        print(f"{provider}: nDCG@10 {mean:.4f}, {took}")
        if abs(mean - PUBLISHED) > TOLERANCE:
            sys.exit(f"{provider}: nDCG@10 of {mean:.4f} where {PUBLISHED} is published")
    ours, theirs = (found[provider] for provider in bm25.PROVIDERS)
    shares = {depth: overlap(ours, theirs, depth) for depth in (1, TOP, DEPTH)}
    told = ", ".join(f"top {depth} {share:.4f}" for depth, share in shares.items())
    print(f"overlap over {len(queries)} queries and {len(ids)} documents: {told}")
    if shares[TOP] < LEAST_OVERLAP:
        sys.exit(f"the first {TOP} documents overlap by {shares[TOP]:.3f}, less than {LEAST_OVERLAP}")


def compare_targets() -> None:
    """Training targets and reference row of the search index on its sample. Raises ``SystemExit`` where they differ by
    more than ties: on the sample most scores are."""
    options = replace(MsMarcoDsi.presets["smoke"].options, bm25_targets=5)
    files = Memory("msmarco-dsi", MsMarcoDsi.sample())
    ours, theirs = (MsMarcoDsi(files, replace(options, bm25=provider)) for provider in bm25.PROVIDERS)
    first, second = (set(map(tuple, task._trained.train_pairs.tolist())) for task in (ours, theirs))
    shared = len(first & second) / len(first | second)
    (own,), (lucene,) = ours.references(), theirs.references()
    difference = max(abs(own.metrics[name] - lucene.metrics[name]) for name in own.metrics)
    print(f"training targets on the sample: {shared:.3f} of {len(first | second)} shared; metrics to {difference:.3f}")
    if shared < LEAST_OVERLAP or difference > TOLERANCE:
        sys.exit("training targets or metrics of BM25 differ")


def main(data: Path) -> None:
    """All comparisons, and that ``bench doctor`` says that pyserini works."""
    (found,) = [finding for finding in doctor.extras() if finding.about == "extra pyserini"]
    print(found.said)
    if found.problem or "works" not in found.said:
        sys.exit("bench doctor finds no pyserini that works")
    compare_scifact(data)
    compare_targets()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
