"""What reranking works on: the collection, train queries with their passages, and the queries to evaluate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.data import DataIdentity, Files, release_kind
from bench.errors import UsageError
from bench.registry import suggestion
from tasks import msmarco, trec
from tasks.msmarco_source import MSMARCO

TRAIN_QUERIES, TRAIN_QRELS = "queries.train.tsv", "qrels.train.tsv"


@dataclass(frozen=True)
class Source:
    """The official files of an evaluation set."""

    queries: str
    qrels: str
    run: str
    title: str
    graded: bool
    """TREC's grades 0 to 3, of which 2 and 3 are relevant to a binary measure; else 0 and 1."""


SOURCES = {
    "dl2019": Source(
        "msmarco-test2019-queries.tsv",
        "2019qrels-pass.txt",
        "run.msmarco-test2019.bm25.top100.trec",
        "TREC DL 2019",
        graded=True,
    ),
    "dl2020": Source(
        "msmarco-test2020-queries.tsv",
        "2020qrels-pass.txt",
        "run.msmarco-test2020.bm25.top100.trec",
        "TREC DL 2020",
        graded=True,
    ),
    "dev": Source(
        "queries.dev.small.tsv",
        "qrels.dev.small.tsv",
        "run.dev.small.bm25.top20.trec",
        "MS MARCO dev",
        graded=False,
    ),
}
REQUIRED = (
    msmarco.COLLECTION,
    TRAIN_QUERIES,
    TRAIN_QRELS,
    *(name for kind in ("dl2019", "dev") for name in (SOURCES[kind].queries, SOURCES[kind].qrels)),
)
FILES = (
    msmarco.COLLECTION,
    TRAIN_QUERIES,
    TRAIN_QRELS,
    *(name for source in SOURCES.values() for name in (source.queries, source.qrels, source.run)),
)
"""All that may be read; what results depend upon is digested whole."""


@dataclass(frozen=True)
class Judged:
    """An evaluation set: judged queries with their grades, and the candidates of a run file where there is one."""

    name: str
    numbers: tuple[int, ...]
    texts: tuple[str, ...]
    grades: tuple[Mapping[int, int], ...]
    """Per query: row of a judged document (``Corpus.documents``) to its grade."""
    run: tuple[tuple[trec.Candidate, ...], ...] | None
    """Per query its candidates, official passage numbers; None where the data has no run file."""
    left_out: int
    """Judged queries that the run file does not name."""

    @property
    def tags(self) -> tuple[str, ...]:
        """Whose run the candidates come from, in the run file's own words."""
        return tuple(dict.fromkeys(one.tag for ranked in self.run or () for one in ranked))

    @property
    def source(self) -> Source:
        return SOURCES[self.name]

    def __len__(self) -> int:
        return len(self.numbers)


@dataclass(frozen=True)
class Corpus:
    """Everything that was read."""

    numbers: np.ndarray
    """int64 (passages,): official numbers, in file order."""
    texts: tuple[str, ...]
    documents: tuple[str, ...]
    """Labels of documents: the passages' numbers, then judged passages that the collection lacks."""
    train_texts: tuple[str, ...]
    train_positives: tuple[tuple[int, ...], ...]
    """Rows of each train query's relevant passages."""
    judged: tuple[Judged, ...]
    dropped: int
    """Train queries that are, or read the same as, an evaluation query."""

    def rows(self, numbers: Sequence[int]) -> np.ndarray:
        """Rows of passages by their official numbers, all of which must be there."""
        order = np.argsort(self.numbers, kind="stable")
        wanted = np.asarray(numbers, dtype=np.int64)
        return order[np.searchsorted(self.numbers, wanted, sorter=order)].astype(np.int64)


def chosen(names: str) -> tuple[str, ...]:
    """The evaluation sets that an option names, comma-separated; the first leads."""
    asked = tuple(name.strip() for name in names.split(",") if name.strip())
    for name in asked:
        if name not in SOURCES:
            raise UsageError(f"unknown evaluation set {name!r}", where="evaluate", mend=suggestion(name, list(SOURCES)))
    if not asked or len(set(asked)) < len(asked):
        raise UsageError("names no set, or one twice", where=f"evaluate={names}", mend="Give dl2019,dev for example.")
    return asked


def read(files: Files, evaluate: Sequence[str], runs: bool = True) -> Corpus:
    """Reads the collection, the train queries and the asked evaluation sets, with their run files where ``runs``.
    Raises ``DataError`` for what is broken.

    No train query is, or reads the same as, a query of any evaluation set that is there, asked for or not.
    """
    pairs = list(msmarco.passages(files))
    numbers = np.asarray([number for number, _ in pairs], dtype=np.int64)
    place = {number: row for row, number in enumerate(numbers.tolist())}
    judged: list[Judged] = []
    documents = {str(number): row for number, row in place.items()}
    asked: dict[int, str] = {}
    for name, source in SOURCES.items():
        if name in evaluate or files.has(source.queries):
            queries = msmarco.queries(files, source.queries)
            asked.update(zip(queries.numbers, queries.texts, strict=True))
            if name in evaluate:
                judged.append(_judged(files, name, queries, place, documents, runs))
    judged.sort(key=lambda one: list(evaluate).index(one.name))
    train = _train(files, place, numbers, asked)
    return Corpus(
        numbers=numbers,
        texts=tuple(text for _, text in pairs),
        documents=tuple(documents),
        judged=tuple(judged),
        train_texts=tuple(row[1] for row in train.kept),
        train_positives=tuple(row[2] for row in train.kept),
        dropped=train.dropped,
    )


@dataclass(frozen=True)
class _Train:
    kept: tuple[tuple[int, str, tuple[int, ...]], ...]
    dropped: int


def _train(files: Files, place: Mapping[int, int], numbers: np.ndarray, asked: Mapping[int, str]) -> _Train:
    queries, rows = msmarco.queries(files, TRAIN_QUERIES), msmarco.judgments(files, TRAIN_QRELS)
    msmarco.require_known(files, TRAIN_QRELS, rows, queries, numbers)
    texts = dict(zip(queries.numbers, queries.texts, strict=True))
    same = {_plain(text) for text in asked.values()}
    relevant = msmarco.relevant(rows)
    kept = tuple(
        (query, texts[query], tuple(place[passage] for passage, grade in grades.items() if grade > 0))
        for query, grades in relevant.items()
        if query not in asked and _plain(texts[query]) not in same
    )
    if not kept:
        raise UsageError("no train query is left", where=files.where(TRAIN_QRELS), mend="Give some that are not dev's.")
    return _Train(kept, len(relevant) - len(kept))


def _judged(
    files: Files,
    name: str,
    queries: msmarco.Queries,
    place: Mapping[int, int],
    documents: dict[str, int],
    runs: bool,
) -> Judged:
    """The set's queries that have a relevant passage. Judged passages that the collection lacks join ``documents``:
    they cannot be found, and an ideal ranking holds them all the same."""
    source = SOURCES[name]
    rows = msmarco.judgments(files, source.qrels)
    # TREC's pools reach beyond any subset of the collection; dev's positives do not.
    known = np.fromiter((row.passage for row in rows) if source.graded else place, dtype=np.int64)
    msmarco.require_known(files, source.qrels, rows, queries, known)
    graded = msmarco.relevant(rows)
    run: Mapping[int, tuple[trec.Candidate, ...]] | None = None
    if runs and files.has(source.run):
        run = trec.read_run(files, source.run)
        trec.require_known(files, source.run, run, set(queries.numbers), place)
    texts = dict(zip(queries.numbers, queries.texts, strict=True))
    # A track's queries are fixed, and one without candidates scores 0; of dev, a run may cover a part.
    wanted = [query for query in graded if run is None or source.graded or query in run]
    return Judged(
        name=name,
        numbers=tuple(wanted),
        texts=tuple(texts[query] for query in wanted),
        grades=tuple(
            {documents.setdefault(str(passage), len(documents)): grade for passage, grade in graded[query].items()}
            for query in wanted
        ),
        run=None if run is None else tuple(run.get(query, ()) for query in wanted),
        left_out=len(graded) - len(wanted),
    )


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def identity(files: Files, corpus: Corpus) -> DataIdentity:
    """Which data this is, with the counts that a table's header shows."""
    whole = len(corpus.texts) == msmarco.WHOLE_COLLECTION
    counts = {"passages": len(corpus.texts), "train queries": len(corpus.train_texts)}
    counts |= {f"{one.source.title} queries": len(one) for one in corpus.judged}
    kind = release_kind(files, FILES, MSMARCO, complete=whole)
    return DataIdentity(msmarco.DATASET, kind, counts, files.digest(FILES))
