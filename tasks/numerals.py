"""Columns and numbers as run files and judgments have them: ASCII alone, nothing that only Python reads as a number."""

from __future__ import annotations

import re

from bench.errors import DataError

LARGEST = 2**63 - 1
"""Of an id: arrays hold them as int64."""
GRADES = 1_000
"""Relevance lies within so much of 0."""
FLOAT32 = 3.4028234663852886e38
"""The largest finite float32: scores are compared as such."""
MEND = "Mend or delete the line."

_COLUMN = re.compile(r"[^ \t\r\v\f]+")
_ID = re.compile(r"0|[1-9][0-9]{0,18}")
_GRADE = re.compile(r"[+-]?[0-9]{1,4}")
_SCORE = re.compile(r"[+-]?([0-9]{1,400}(\.[0-9]{0,400})?|\.[0-9]{1,400})([eE][+-]?[0-9]{1,4})?")


def blank_separated(row: str) -> list[str]:
    """The columns of a row, as trec_eval splits it: at ASCII white space, not at what else Unicode calls blank."""
    return _COLUMN.findall(row)


def identifier(text: str, what: str, where: str) -> int:
    """A query's or a passage's number, without leading zeros: to other programs 07 and 7 are two."""
    if not _ID.fullmatch(text) or int(text) > LARGEST:
        raise DataError(f"{text[:40]!r} is no {what} number", where=where, mend=MEND)
    return int(text)


def grade(text: str, where: str) -> int:
    """A judgment's relevance."""
    if not _GRADE.fullmatch(text) or abs(int(text)) > GRADES:
        raise DataError(
            f"{text[:40]!r} is no relevance: a whole number from -{GRADES:,} to {GRADES:,}", where=where, mend=MEND
        )
    return int(text)


def score(text: str, where: str) -> float:
    """What a run file ranks by: a finite decimal number that float32 can hold."""
    if text.lower().lstrip("+-") in ("nan", "inf", "infinity"):
        raise DataError(f"the score {text[:40]!r} ranks nothing", where=where, mend=MEND)
    if not _SCORE.fullmatch(text):
        raise DataError(f"{text[:40]!r} is no score", where=where, mend=MEND)
    if abs(float(text)) > FLOAT32:
        raise DataError(f"the score {text[:40]!r} ranks nothing: it is beyond float32", where=where, mend=MEND)
    return float(text)
