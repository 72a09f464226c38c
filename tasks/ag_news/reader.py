"""Reads AG News in its official layout: rows of ``"class","title","description"``, no header."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass

from bench.data import Files, lines
from bench.errors import DataError

CLASSES = ("World", "Sports", "Business", "Sci/Tech")
_LABELS = {str(number): number - 1 for number in range(1, len(CLASSES) + 1)}
_MEND = "Mend or delete the row."


@dataclass(frozen=True)
class Articles:
    """The rows of one split, in file order."""

    labels: bytes
    """One byte a row: the class less one, 0 to 3."""
    texts: tuple[str, ...]
    """Title and description, joined by a space."""

    def __len__(self) -> int:
        return len(self.labels)


def read_articles(files: Files, name: str) -> Articles:
    """All rows of a CSV file. A malformed row (named by file and line) or an empty file is a ``DataError``."""
    labels, texts = bytearray(), []
    for line, row in _rows(files, name):
        if len(row) != 3:
            raise DataError(
                f"{len(row)} columns where 3 belong (class, title, description)",
                where=f"{files.where(name)}, line {line}",
                mend=_MEND,
            )
        label, title, description = row
        if label not in _LABELS:
            raise DataError(
                f"class {label[:40]!r} where 1, 2, 3 or 4 belongs",
                where=f"{files.where(name)}, line {line}",
                mend=_MEND,
            )
        labels.append(_LABELS[label])
        texts.append(f"{title} {description}" if title else description)
    if not texts:
        raise DataError("the file has no rows", where=files.where(name), mend="Put the official file there.")
    return Articles(bytes(labels), tuple(texts))


def _rows(files: Files, name: str) -> Iterator[tuple[int, list[str]]]:
    """Line number at which each row begins (a quoted field may hold line ends), and its fields."""
    reader = csv.reader((text + "\n" for _, text in lines(files, name)), strict=True)
    while True:
        begins = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(
                f"not a CSV row ({error})", where=f"{files.where(name)}, line {begins}", mend=_MEND
            ) from error
        yield begins, row
