"""BM25 as Lucene computes it."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from bench.data import Folder, lines
from tasks import bm25, ranking


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The U.S.A. isn't 3.14 or 1,000!", ["the", "u.s.a", "isn't", "3.14", "or", "1,000"]),
        ("snake_case e-mail a.b a. b", ["snake_case", "e", "mail", "a.b", "a", "b"]),
        ("Newton's laws, Newtons’ law", ["newton", "laws", "newtons", "law"]),
        ("naïve Ελλάδα 東京", ["naïve", "ελλάδα", "東", "京"]),
        ("__ -- ''", []),
    ],
)
def test_words_are_cut_by_the_unicode_rule(text: str, expected: list[str]) -> None:
    assert bm25.words(text) == expected


def test_stop_words_go_and_endings_are_stemmed_but_not_in_words_of_two_letters() -> None:
    assert len(bm25.STOP_WORDS) == 33
    assert bm25.Analyser()("The running of relational databases by us is") == ["run", "relat", "databas", "us"]


def test_scores_are_lucenes_formula() -> None:
    texts = ["red fox", "red red dog runs far", "blue bird"]
    scores = bm25.index(texts).scores("red")
    lengths = [2, 5, 2]
    idf = math.log(1 + (3 - 2 + 0.5) / (2 + 0.5))
    expected = [
        idf * tf / (tf + 0.9 * (1 - 0.4 + 0.4 * length / (sum(lengths) / 3)))
        for tf, length in zip([1, 2, 0], lengths, strict=True)
    ]
    assert scores == pytest.approx(expected, rel=1e-5)


def test_a_query_without_a_known_term_scores_zero_everywhere() -> None:
    assert bm25.index(["red fox", "dog"]).scores("the zebra").tolist() == [0.0, 0.0]


@pytest.mark.data
def test_scifact_gives_lucenes_ndcg(real_data: Path) -> None:
    """BEIR's BM25 (Lucene) on SciFact: nDCG@10 of 0.679 with title and text in one field (Thakur et al. 2021)."""
    files = Folder(real_data / "beir" / "scifact")
    documents = [json.loads(row) for _, row in lines(files, "corpus.jsonl")]
    queries = {row["_id"]: row["text"] for row in (json.loads(row) for _, row in lines(files, "queries.jsonl"))}
    ids = [document["_id"] for document in documents]
    grades: dict[str, dict[int, int]] = {}
    for query, document, grade in [row.split("\t") for _, row in lines(files, "qrels/test.tsv")][1:]:
        grades.setdefault(query, {})[ids.index(document)] = int(grade)
    index = bm25.index([f"{document['title']} {document['text']}" for document in documents])
    found = ranking.rank(np.stack([index.scores(queries[query]) for query in grades]), 100)
    values = ranking.measure(found, list(grades), ids, list(grades.values()), ["nDCG@10"])
    assert ranking.means(values)["nDCG@10"] == pytest.approx(0.679, abs=0.01)
