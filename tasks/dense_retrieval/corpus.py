"""What is searched and asked: passages, train queries, test queries, from the BEIR and the MS MARCO layout."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from bench.data import DataIdentity, Files
from tasks import beir, msmarco

BEIR_REQUIRED = (beir.CORPUS, beir.QUERIES, beir.TEST)
"""``qrels/train.tsv`` is needed for training alone: most BEIR sets have none."""
MSMARCO_REQUIRED = (
    msmarco.COLLECTION,
    "queries.train.tsv",
    "qrels.train.tsv",
    "queries.dev.small.tsv",
    "qrels.dev.small.tsv",
)
WHOLE_DEV = 6_980
"""Judged queries of MS MARCO's official dev.small."""

Grades = Mapping[int, int]
"""Relevance by number of the passage."""


@dataclass(frozen=True)
class Queries:
    """Judged queries in file order, each with a relevant passage."""

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    grades: tuple[Grades, ...]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Corpus:
    """Passages, numbered in file order, and the queries over them."""

    ids: tuple[str, ...]
    texts: tuple[str, ...]
    """Titles, where there are any, before the text."""
    train: Queries
    test: Queries


def source(dataset: str) -> tuple[str, Sequence[str]]:
    """Folder and required files of a data set by its name: MS MARCO's, or a BEIR set's."""
    if dataset == msmarco.DATASET:
        return msmarco.DATASET, MSMARCO_REQUIRED
    return f"beir/{dataset}", BEIR_REQUIRED


def read(files: Files) -> Corpus:
    """The data set, in whichever of the two layouts it is. Raises ``DataError`` on the first defect."""
    return _beir(files) if files.has(beir.CORPUS) else _msmarco(files)


def _beir(files: Files) -> Corpus:
    documents, texts = beir.documents(files), beir.queries(files)
    number = {document: index for index, document in enumerate(documents)}

    def judged(name: str) -> Queries:
        found = beir.relevant(beir.judgments(files, name, texts, documents))
        grades = tuple({number[document]: grade for document, grade in graded.items()} for graded in found.values())
        return Queries(tuple(found), tuple(texts[query] for query in found), grades)

    train = judged(beir.TRAIN) if files.has(beir.TRAIN) else Queries((), (), ())
    test = judged(beir.TEST)
    return Corpus(tuple(documents), tuple(document.whole for document in documents.values()), _apart(train, test), test)


def _msmarco(files: Files) -> Corpus:
    numbers = array("q")
    texts: list[str] = []
    for number, text in msmarco.passages(files):
        numbers.append(number)
        texts.append(text)
    known = np.frombuffer(numbers, dtype=np.int64)
    place = {number: index for index, number in enumerate(numbers)}

    def judged(split: str) -> Queries:
        asked = msmarco.queries(files, f"queries.{split}.tsv")
        name = f"qrels.{split}.tsv"
        rows = msmarco.judgments(files, name)
        msmarco.require_known(files, name, rows, asked, known)
        found = msmarco.relevant(rows)
        text = dict(zip(asked.numbers, asked.texts, strict=True))
        grades = tuple({place[passage]: grade for passage, grade in graded.items()} for graded in found.values())
        return Queries(tuple(map(str, found)), tuple(text[query] for query in found), grades)

    train, test = judged("train"), judged("dev.small")
    return Corpus(tuple(map(str, numbers)), tuple(texts), _apart(train, test), test)


def _apart(train: Queries, test: Queries) -> Queries:
    """Train queries without those that are, or read like, a test query."""
    ids, asked = set(test.ids), {_plain(text) for text in test.texts}
    kept = [
        row
        for row in zip(train.ids, train.texts, train.grades, strict=True)
        if row[0] not in ids and _plain(row[1]) not in asked
    ]
    columns = tuple(zip(*kept, strict=True)) or ((), (), ())
    return Queries(*columns)


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def identity(files: Files, corpus: Corpus, dataset: str) -> DataIdentity:
    """Which data this is, with the counts that a table's header shows."""
    counts = {
        "passages": len(corpus.ids),
        "train queries": len(corpus.train),
        "test queries": len(corpus.test),
    }
    folder, required = source(dataset)
    names = BEIR_REQUIRED if files.has(beir.CORPUS) else required
    digest = files.digest([*names, beir.TRAIN])
    if files.kind == "sample":
        return DataIdentity("beir/sample", "sample", counts, digest)
    official = beir.WHOLE.get(dataset, (len(corpus.ids), len(corpus.test)))  # an unknown set is all there is of it
    if dataset == msmarco.DATASET:
        official = (msmarco.WHOLE_COLLECTION, WHOLE_DEV)
    kind = "whole" if official == (len(corpus.ids), len(corpus.test)) else "subset"
    return DataIdentity(folder, kind, counts, digest)


def pairs(queries: Queries) -> np.ndarray:
    """int64 (pairs, 2): each query's number with that of each of its relevant passages."""
    found = ((query, passage) for query, graded in enumerate(queries.grades) for passage, g in graded.items() if g > 0)
    return np.fromiter(chain.from_iterable(found), dtype=np.int64).reshape(-1, 2)
