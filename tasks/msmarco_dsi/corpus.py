"""What a differentiable search index is built over: which passages, which training pairs, which test queries."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from bench.data import DataIdentity, Files
from bench.errors import UsageError
from tasks import msmarco

TRAIN_QUERIES, TRAIN_QRELS = "queries.train.tsv", "qrels.train.tsv"
DEV_QUERIES, DEV_QRELS = "queries.dev.small.tsv", "qrels.dev.small.tsv"
REQUIRED = (msmarco.COLLECTION, TRAIN_QUERIES, TRAIN_QRELS, DEV_QUERIES, DEV_QRELS)
WHOLE_DEV = 6_980
"""Judged queries of the official dev.small."""


@dataclass(frozen=True)
class Corpus:
    """Passages to index in collection order, and the queries that train and test the index."""

    passage_numbers: np.ndarray
    """int64 (passages,): official numbers."""
    texts: tuple[str, ...]
    train_texts: tuple[str, ...]
    """Text of each train query that has a relevant indexed passage."""
    train_pairs: np.ndarray
    """int64 (pairs, 2): row in ``train_texts``, row of a relevant passage."""
    dev_numbers: tuple[int, ...]
    dev_texts: tuple[str, ...]
    dev_grades: tuple[Mapping[int, int], ...]
    """Per dev query: row of a judged passage to its relevance; all of its relevant passages are indexed."""
    left_out: Mapping[str, int]
    """Judged queries that no room was found for, and train queries dropped because a dev query reads the same."""


def read(files: Files, limit: int) -> Corpus:
    """Reads the data set and chooses at most ``limit`` passages (0: all).

    Dev queries in file order get their relevant passages first, up to half of the room, so that a collection with more
    judged passages than room still trains; then train queries that repeat no dev query get theirs, then the rest of
    the collection fills up.
    Dev queries that got no room are not evaluated, train pairs whose passage is not indexed are not trained on.
    """
    train, dev = msmarco.queries(files, TRAIN_QUERIES), msmarco.queries(files, DEV_QUERIES)
    train_rows, dev_rows = msmarco.judgments(files, TRAIN_QRELS), msmarco.judgments(files, DEV_QRELS)
    dev_grades, judged = msmarco.relevant(dev_rows), msmarco.relevant(train_rows)
    asked = {_plain(text) for text in dev.texts}
    train_text, dev_text = _by_number(train), _by_number(dev)
    train_grades = {
        query: grades
        for query, grades in judged.items()
        if query not in dev_text and _plain(train_text.get(query, "")) not in asked
    }
    dev_queries, wanted = _choose(dev_grades, train_grades, limit)
    if not dev_queries:
        raise UsageError(
            f"no room for the passages of a single dev query among {limit}",
            where="passages",
            mend="Index more passages.",
        )
    numbers, kept = _collect(msmarco.passages(files), wanted, limit)
    msmarco.require_known(files, DEV_QRELS, dev_rows, dev, numbers)
    msmarco.require_known(files, TRAIN_QRELS, train_rows, train, numbers)

    row = {number: index for index, number in enumerate(kept)}
    pairs: list[tuple[int, int]] = []
    texts: list[str] = []
    for query, grades in train_grades.items():
        found = [row[passage] for passage, grade in grades.items() if grade > 0 and passage in row]
        pairs += [(len(texts), passage) for passage in found]
        texts += [train_text[query]] if found else []
    return Corpus(
        passage_numbers=np.fromiter(kept, dtype=np.int64, count=len(kept)),
        texts=tuple(kept.values()),
        train_texts=tuple(texts),
        train_pairs=np.asarray(pairs, dtype=np.int64).reshape(-1, 2),
        dev_numbers=tuple(dev_queries),
        dev_texts=tuple(dev_text[query] for query in dev_queries),
        dev_grades=tuple(
            {row[passage]: grade for passage, grade in dev_grades[query].items() if passage in row}
            for query in dev_queries
        ),
        left_out={
            "dev queries": len(dev_grades) - len(dev_queries),
            "train queries": len(train_grades) - len(texts),
            "train queries that are dev queries": len(judged) - len(train_grades),
        },
    )


def _by_number(queries: msmarco.Queries) -> dict[int, str]:
    return dict(zip(queries.numbers, queries.texts, strict=True))


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _choose(
    dev: Mapping[int, Mapping[int, int]], train: Mapping[int, Mapping[int, int]], limit: int
) -> tuple[list[int], set[int]]:
    """Dev queries to evaluate, and the passages that must be indexed."""
    wanted: set[int] = set()
    chosen: list[int] = []
    for query, grades in dev.items():
        needed = {passage for passage, grade in grades.items() if grade > 0} - wanted
        if limit and len(wanted) + len(needed) > (limit + 1) // 2:
            break
        wanted |= needed
        chosen.append(query)
    for grades in train.values():
        for passage, grade in grades.items():
            if limit and len(wanted) >= limit:
                return chosen, wanted
            if grade > 0:
                wanted.add(passage)
    return chosen, wanted


def _collect(passages: Iterator[tuple[int, str]], wanted: set[int], limit: int) -> tuple[np.ndarray, dict[int, str]]:
    """All numbers of the collection, and number to text of the passages to index, in file order."""
    numbers = array("q")
    kept: dict[int, str] = {}
    room = limit - len(wanted) if limit else -1
    for number, text in passages:
        numbers.append(number)
        if number in wanted:
            kept[number] = text
        elif room:
            kept[number] = text
            room -= 1
    return np.frombuffer(numbers, dtype=np.int64), kept


def identity(files: Files, corpus: Corpus) -> DataIdentity:
    """Which data this is, with the counts that a table's header shows."""
    whole = len(corpus.texts) == msmarco.WHOLE_COLLECTION and len(corpus.dev_texts) == WHOLE_DEV
    return DataIdentity(
        name=msmarco.DATASET,
        kind="sample" if files.kind == "sample" else "whole" if whole else "subset",
        counts={
            "passages": len(corpus.texts),
            "train queries": len(corpus.train_texts),
            "dev queries": len(corpus.dev_texts),
        },
        digest=files.digest(REQUIRED),
    )
