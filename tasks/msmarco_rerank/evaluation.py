"""Metrics of an evaluation set, their names, and what is left behind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tasks import ranking
from tasks.base import Evaluation, Metric
from tasks.msmarco_rerank.candidates import Pool
from tasks.msmarco_rerank.corpus import SOURCES, Corpus, Judged

GRADED = ("nDCG@10", "RR(rel=2)@10", "AP(rel=2)", "R(rel=2)@100", "Judged@10")
BINARY = ("RR@10", "RR@1000", "nDCG@10", "AP")
SUFFIX = {"dl2019": "", "dl2020": " (DL 2020)", "dev": " (dev)"}
"""Metrics of several sets stand in one record: those of TREC DL 2019 go by their plain names."""


def measures(name: str) -> tuple[str, ...]:
    """ir-measures' names of what a set is measured by; binary measures of graded sets count grades 2 and 3."""
    return GRADED if SOURCES[name].graded else BINARY


def metrics(names: Sequence[str]) -> tuple[Metric, ...]:
    """The metrics of the evaluation sets, in their order."""
    return tuple(Metric(f"{measure}{SUFFIX[name]}") for name in names for measure in measures(name))


def measured(corpus: Corpus, judged: Judged, found: ranking.Ranking) -> dict[str, np.ndarray]:
    """Per-query values of a ranking, by the metrics' names in the record."""
    grades = judged.grades[: len(found.documents)]
    queries = [str(number) for number in judged.numbers[: len(grades)]]
    values = ranking.measure(found, queries, corpus.documents, grades, measures(judged.name))
    return {f"{measure}{SUFFIX[judged.name]}": per_query for measure, per_query in values.items()}


def evaluation(corpus: Corpus, found: Mapping[str, ranking.Ranking], pools: Mapping[str, Pool], tag: str) -> Evaluation:
    """The evaluation of rankings by set; each leaves its TREC run."""
    values: dict[str, np.ndarray] = {}
    files: dict[str, str] = {}
    notes: dict[str, Any] = {}
    for judged in corpus.judged:
        ranked = found[judged.name]
        values |= measured(corpus, judged, ranked)
        queries = [str(number) for number in judged.numbers[: len(ranked.documents)]]
        kind = f"run-{judged.name}" if files else "run"
        files[kind] = ranking.run_text(ranked, queries, corpus.documents, tag)
        notes[judged.name] = {**ranking.notes(ranked), **_facts(judged, pools.get(judged.name))}
    lead = corpus.judged[0]
    if lead.name in pools:
        notes["floor"] = {f"nDCG@10{SUFFIX[lead.name]}": _random(lead, pools[lead.name])}
    count = sum(len(ranked.documents) for ranked in found.values())
    if len(found) > 1:
        notes["examples_of_a_part"] = {name: len(per_query) for name, per_query in values.items()}
    return Evaluation(
        metrics=ranking.means(values),
        examples=values,
        n=count,
        files=files,
        notes=notes,
    )


def _random(judged: Judged, pool: Pool) -> float:
    """nDCG@10 of the candidates in random order."""
    grades = judged.grades[: len(pool.passages)]
    candidates = [row[row >= 0].tolist() for row in pool.passages]
    gains = [[max(of.get(row, 0), 0) for row in rows] for rows, of in zip(candidates, grades, strict=True)]
    return ranking.random_ndcg(grades, [(sum(found) / max(1, len(found)), len(found)) for found in gains], 10)


def _facts(judged: Judged, pool: Pool | None) -> dict[str, Any]:
    """The cap that candidates put on recall, and who was left out."""
    facts: dict[str, Any] = {"queries_without_candidates_in_the_run": judged.left_out}
    if pool is None:
        return facts
    least = 2 if judged.source.graded else 1
    caps = []
    for rows, grades in zip(pool.passages.tolist(), judged.grades[: len(pool.passages)], strict=True):
        relevant = [document for document, grade in grades.items() if grade >= least]
        caps.append(len(set(rows) & set(relevant)) / len(relevant) if relevant else 0.0)
    return {**facts, "recall_cap": round(float(np.mean(caps)), 6), "depth": int(pool.passages.shape[1])}
