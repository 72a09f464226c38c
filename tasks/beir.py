"""Readers of the BEIR layout: corpus and queries as JSON lines, relevance judgments as tab-separated rows.

Thakur et al. 2021, "BEIR: A heterogeneous benchmark for zero-shot evaluation of information retrieval models". Every
error names the file and the line. Identifiers are strings.
"""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bench.data import Files, lines
from bench.errors import DataError
from tasks.numerals import grade

CORPUS, QUERIES = "corpus.jsonl", "queries.jsonl"
TRAIN, TEST = "qrels/train.tsv", "qrels/test.tsv"
HEADER = ["query-id", "corpus-id", "score"]


def _no_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


_JSON = json.JSONDecoder(parse_constant=_no_constant)
"""Without NaN and Infinity, which Python takes for JSON and nobody else does."""

WHOLE = {
    "arguana": (8_674, 1_406),
    "climate-fever": (5_416_593, 1_535),
    "dbpedia-entity": (4_635_922, 400),
    "fever": (5_416_568, 6_666),
    "fiqa": (57_638, 648),
    "hotpotqa": (5_233_329, 7_405),
    "nfcorpus": (3_633, 323),
    "nq": (2_681_468, 3_452),
    "quora": (522_931, 10_000),
    "scidocs": (25_657, 1_000),
    "scifact": (5_183, 300),
    "trec-covid": (171_332, 50),
    "webis-touche2020": (382_545, 49),
}
"""Documents and judged test queries of the official releases (Thakur et al. 2021, table 1)."""


@dataclass(frozen=True)
class Document:
    """A row of the corpus."""

    title: str
    text: str

    @property
    def whole(self) -> str:
        """Title and text, as BEIR's own models read a document."""
        return f"{self.title} {self.text}".strip()


def documents(files: Files, name: str = CORPUS) -> dict[str, Document]:
    """The corpus by id, in file order. A title may be missing, a text may not.

    Raises ``DataError`` on a broken line, a missing field, a repeated id, a document of no words, an empty file.
    """
    found: dict[str, Document] = {}
    for where, number, row in _objects(files, name, "document"):
        text = _field(row, "text", "document", where)
        title = _field(row, "title", "document", where) if row.get("title") is not None else ""
        _once(number, found, "document", where)
        found[number] = Document(title, text)
        if not found[number].whole:
            raise _bad(f"document {number!r} has neither title nor text", where)
    return _some(found, files, name, "document")


def queries(files: Files, name: str = QUERIES) -> dict[str, str]:
    """Text of each query by id, in file order. Raises ``DataError`` as ``documents`` does."""
    found: dict[str, str] = {}
    for where, number, row in _objects(files, name, "query"):
        text = _field(row, "text", "query", where)
        if not text.strip():
            raise _bad(f"query {number!r} has no text", where)
        _once(number, found, "query", where)
        found[number] = text
    return _some(found, files, name, "query")


def judgments(
    files: Files, name: str, known_queries: Container[str], known_documents: Container[str]
) -> dict[str, dict[str, int]]:
    """Relevance by query and document, in file order; the first line is the header.

    Raises ``DataError`` on a malformed row, a pair judged twice, and a query or a document that is not there: a
    relevant document that cannot be found would lower every metric in silence.
    """
    found: dict[str, dict[str, int]] = {}
    for number, row in lines(files, name):
        where = f"{files.where(name)}, line {number}"
        parts = row.split("\t")
        if number == 1:
            if parts != HEADER:
                raise DataError(
                    "no header where one belongs", where=where, mend=f"Begin the file with {' TAB '.join(HEADER)}."
                )
            continue
        if len(parts) != len(HEADER):
            raise _bad(f"{len(parts)} columns where {len(HEADER)} belong ({', '.join(HEADER)})", where)
        query, document, relevance = parts
        for what, named, known, home in (
            ("query", query, known_queries, QUERIES),
            ("document", document, known_documents, CORPUS),
        ):
            if named not in known:
                raise DataError(
                    f"names {what} {named!r}, which is not in {home}",
                    where=where,
                    mend=f"Add it to {home}, or keep only the rows whose {what} is there.",
                )
        if document in found.get(query, {}):
            raise _bad(f"document {document!r} is judged a second time for query {query!r}", where)
        found.setdefault(query, {})[document] = grade(relevance, where)
    return _some(found, files, name, "judgment")


def relevant(grades: Mapping[str, Mapping[str, int]]) -> dict[str, Mapping[str, int]]:
    """Of these queries those with at least one relevant document, in order."""
    return {query: graded for query, graded in grades.items() if max(graded.values()) > 0}


def _objects(files: Files, name: str, what: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Place, id and object of each line."""
    for line, text in lines(files, name):
        where = f"{files.where(name)}, line {line}"
        try:
            row = _JSON.decode(text)
        except ValueError as error:
            raise _bad(f"is no JSON ({error})", where) from None
        except RecursionError:
            raise _bad("is JSON nested too deeply", where) from None
        if not isinstance(row, dict):
            raise _bad(f"a JSON {type(row).__name__} where an object belongs", where)
        number = _field(row, "_id", what, where)
        if not number or number.split() != [number]:
            raise _bad(f"{number!r} is no id: a run file needs one without blanks", where)
        yield where, number, row


def _field(row: Mapping[str, Any], field: str, what: str, where: str) -> str:
    value = row.get(field)
    if not isinstance(value, str):
        found = "is missing" if field not in row else f"is {json.dumps(value)[:40]}, where text belongs"
        raise _bad(f"the {what}'s {field!r} {found}", where)
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise _bad(f"the {what}'s {field!r} holds half a character (a lone surrogate)", where)
    return value


def _once(number: str, found: Container[str], what: str, where: str) -> None:
    if number in found:
        raise DataError(f"{what} {number!r} is there a second time", where=where, mend="Delete one of the two.")


def _some(found: dict[str, Any], files: Files, name: str, what: str) -> dict[str, Any]:
    if not found:
        raise DataError(f"the file holds no {what}", where=files.where(name), mend="Give one with content.")
    return found


def _bad(what: str, where: str) -> DataError:
    return DataError(what, where=where, mend="Mend or delete the line.")
