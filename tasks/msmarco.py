"""Readers of the MS MARCO passage ranking layout: collection, queries, relevance judgments.

Every error names the file and the line. Official passage and query numbers are non-negative integers, and are read as
such.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.data import Files, lines
from bench.errors import DataError
from tasks.numerals import blank_separated, grade, identifier

if TYPE_CHECKING:
    import numpy as np

DATASET = "msmarco-passage"
COLLECTION = "collection.tsv"
WHOLE_COLLECTION = 8_841_823
"""Passages of the official collection."""

QREL_COLUMNS = "query, 0, passage, relevance"


@dataclass(frozen=True)
class Queries:
    """Queries in file order."""

    numbers: tuple[int, ...]
    texts: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.numbers)


@dataclass(frozen=True)
class Judgment:
    """One row of a qrels file."""

    query: int
    passage: int
    relevance: int
    line: int


def _rows(files: Files, name: str, what: str) -> Iterator[tuple[int, int, str]]:
    """Line, number and text of a file with two tab-separated columns."""
    for line, row in lines(files, name):
        where = f"{files.where(name)}, line {line}"
        number, tab, text = row.partition("\t")
        if not tab:
            raise DataError(
                f"no tab where number and text of a {what} belong", where=where, mend="Mend or delete the line."
            )
        if not text.strip():
            raise DataError(f"the {what} has no text", where=where, mend="Mend or delete the line.")
        yield line, identifier(number, what, where), text


def passages(files: Files, name: str = COLLECTION) -> Iterator[tuple[int, str]]:
    """Number and text of each passage, in file order.

    Raises ``DataError`` on a malformed row, and at the end where the collection is empty or a number came twice.
    """
    import numpy as np

    seen = array("q")
    for _, number, text in _rows(files, name, "passage"):
        seen.append(number)
        yield number, text
    if not seen:
        raise DataError("the collection is empty", where=files.where(name), mend="Give a file with passages.")
    numbers = np.frombuffer(seen, dtype=np.int64)
    order = np.argsort(numbers, kind="stable")
    repeats = order[1:][numbers[order[1:]] == numbers[order[:-1]]]
    if len(repeats):
        line = int(repeats.min())
        raise _duplicate(files, name, "passage", int(numbers[line]), line + 1)


def queries(files: Files, name: str) -> Queries:
    """All queries of a file. Raises ``DataError`` on a malformed row, a repeated number or an empty file."""
    found: dict[int, str] = {}
    for line, number, text in _rows(files, name, "query"):
        if number in found:
            raise _duplicate(files, name, "query", number, line)
        found[number] = text
    if not found:
        raise DataError("the file holds no query", where=files.where(name), mend="Give a file with queries.")
    return Queries(tuple(found), tuple(found.values()))


def _duplicate(files: Files, name: str, what: str, number: int, line: int) -> DataError:
    return DataError(
        f"{what} {number} is there a second time",
        where=f"{files.where(name)}, line {line}",
        mend="Delete one of the two.",
    )


def judgments(files: Files, name: str) -> list[Judgment]:
    """All rows of a qrels file, white space between the four columns. Raises ``DataError`` where two contradict; a row
    may come again."""
    found: list[Judgment] = []
    first: dict[tuple[int, int], Judgment] = {}
    for line, text in lines(files, name):
        where = f"{files.where(name)}, line {line}"
        parts = blank_separated(text)
        if len(parts) != 4:
            raise DataError(
                f"{len(parts)} columns where 4 belong ({QREL_COLUMNS})", where=where, mend="Mend or delete the line."
            )
        query, passage = identifier(parts[0], "query", where), identifier(parts[2], "passage", where)
        row = Judgment(query, passage, grade(parts[3], where), line)
        known = first.setdefault((query, passage), row)
        if known.relevance != row.relevance:
            raise DataError(
                f"passage {passage} has relevance {row.relevance} for query {query}, and {known.relevance} in line "
                f"{known.line}",
                where=where,
                mend="Delete one of the two.",
            )
        found.append(row)
    if not found:
        raise DataError("the file holds no judgment", where=files.where(name), mend="Give a file with judgments.")
    return found


def require_known(
    files: Files, name: str, rows: Sequence[Judgment], known_queries: Queries, known_passages: np.ndarray
) -> None:
    """Raises ``DataError`` where judgments name a query or a passage that is not there.

    Strict on purpose: a relevant passage that cannot be found would lower every metric in silence. Whoever cuts the
    collection down cuts the qrels down with it.
    ``known_passages``: int64 numbers of the collection's passages, any order.
    """
    import numpy as np

    for what, have, named in (
        ("query", np.asarray(known_queries.numbers, dtype=np.int64), [row.query for row in rows]),
        ("passage", known_passages, [row.passage for row in rows]),
    ):
        unknown = np.flatnonzero(~np.isin(np.asarray(named, dtype=np.int64), have))
        if len(unknown):
            first = rows[int(unknown[0])]
            more = f" (and {len(unknown) - 1} more rows name unknown ones)" if len(unknown) > 1 else ""
            home = COLLECTION if what == "passage" else "the queries file"
            raise DataError(
                f"names {what} {named[int(unknown[0])]}, which is not in {home}{more}",
                where=f"{files.where(name)}, line {first.line}",
                mend=f"Add it to {home}, or keep only the rows whose {what} is there.",
            )


def relevant(rows: Sequence[Judgment]) -> Mapping[int, Mapping[int, int]]:
    """Relevance by query and passage, of queries with at least one relevant passage, in file order."""
    found: dict[int, dict[int, int]] = {}
    for row in rows:
        found.setdefault(row.query, {})[row.passage] = row.relevance
    return {query: grades for query, grades in found.items() if max(grades.values()) > 0}
