"""Reads Multi30k's task 1: two files a split, line i of the one the translation of line i of the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest

from bench.data import Files, lines
from bench.errors import DataError

SPLITS: Mapping[str, str] = {"train": "train", "val": "val", "test": "test_2016_flickr"}
"""Split to the official name of its files."""
SOURCE, TARGET = "de", "en"


@dataclass(frozen=True)
class Pairs:
    """The sentences of one split, in file order."""

    source: tuple[str, ...]
    target: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.source)


def names(split: str) -> tuple[str, str]:
    """The split's two files."""
    return f"{SPLITS[split]}.{SOURCE}", f"{SPLITS[split]}.{TARGET}"


def read_pairs(files: Files, split: str) -> Pairs:
    """The pairs of a split. An empty line, or one without its translation, is a ``DataError`` with file and line."""
    source, target = names(split)
    pairs: list[tuple[str, str]] = []
    for number, (left, right) in enumerate(zip_longest(_sentences(files, source), _sentences(files, target)), start=1):
        if left is None or right is None:
            short, long = (source, target) if left is None else (target, source)
            raise DataError(
                f"the file ends before line {number}, which {files.where(long)} has",
                where=files.where(short),
                mend="Line i of the two files must be one pair: fetch both again.",
            )
        pairs.append((left, right))
    if not pairs:
        raise DataError("the file has no lines", where=files.where(source), mend="Put the official file there.")
    return Pairs(tuple(left for left, _ in pairs), tuple(right for _, right in pairs))


def _sentences(files: Files, name: str) -> Iterator[str]:
    for number, text in lines(files, name):
        sentence = text.strip()
        if not sentence:
            raise DataError(
                "the line is empty",
                where=f"{files.where(name)}, line {number}",
                mend="Put its sentence there, or delete the line from both files.",
            )
        yield sentence
