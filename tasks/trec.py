"""Reader of TREC run files: what another system ranked, six columns a line (``query Q0 document rank score tag``)."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from bench.data import Files, lines
from bench.errors import DataError
from tasks.numerals import MEND, blank_separated, identifier, score

COLUMNS = "query, Q0, document, rank, score, tag"


@dataclass(frozen=True)
class Candidate:
    """One line of a run file."""

    document: int
    score: float
    line: int
    tag: str = ""
    """Whose run it is, in its own words."""


def read_run(files: Files, name: str) -> Mapping[int, tuple[Candidate, ...]]:
    """The ranked documents of each query, best score first, equal scores in the order of the file.

    As trec_eval does, scores rank and the rank column is not looked at. Raises ``DataError`` on a malformed line, a
    document that a query names twice, or an empty file.
    """
    found: dict[int, dict[int, Candidate]] = {}
    for line, row in lines(files, name):
        where = f"{files.where(name)}, line {line}"
        parts = blank_separated(row)
        if len(parts) != 6:
            raise DataError(f"{len(parts)} columns where 6 belong ({COLUMNS})", where=where, mend=MEND)
        query, document = identifier(parts[0], "query", where), identifier(parts[2], "passage", where)
        ranked = found.setdefault(query, {})
        if document in ranked:
            raise DataError(
                f"query {query} ranks passage {document} a second time", where=where, mend="Delete one of the two."
            )
        ranked[document] = Candidate(document, score(parts[4], where), line, sys.intern(parts[5]))
    if not found:
        raise DataError("the run holds no line", where=files.where(name), mend="Give a run with ranked passages.")
    return {query: tuple(sorted(ranked.values(), key=lambda row: -row.score)) for query, ranked in found.items()}


def require_known(
    files: Files,
    name: str,
    run: Mapping[int, tuple[Candidate, ...]],
    queries: Collection[int],
    passages: Collection[int],
) -> None:
    """Raises ``DataError`` where the run names a query or a passage that is not there: it could not be scored."""
    for query, ranked in run.items():
        if query not in queries:
            raise DataError(
                f"names query {query}, which is not in the queries file",
                where=f"{files.where(name)}, line {min(row.line for row in ranked)}",
                mend="Add it there, or keep only the rows whose query is there.",
            )
        missing = [row for row in ranked if row.document not in passages]
        if missing:
            more = f" (and {len(missing) - 1} more of query {query})" if len(missing) > 1 else ""
            raise DataError(
                f"names passage {missing[0].document}, which is not in the collection{more}",
                where=f"{files.where(name)}, line {missing[0].line}",
                mend="Add it there, or keep only the rows whose passage is there.",
            )
