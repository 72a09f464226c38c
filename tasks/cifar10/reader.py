"""Reads the binary version of CIFAR-10 (Krizhevsky 2009): rows of one label byte and three planes of 32 x 32 bytes."""

from __future__ import annotations

from collections.abc import Sequence

from bench.data import Files, read
from bench.errors import DataError
from tasks.images.decoded import CLASSES, Images

SHAPE = (3, 32, 32)
PIXELS = 3 * 32 * 32
ROW = 1 + PIXELS
MOST = 100_000
"""Rows of a file at most."""
_FETCH = "Fetch the official file again."


def read_batches(files: Files, names: Sequence[str]) -> Images:
    """The rows of all files, one file after the other. Raises ``DataError``, with file and row, for one that is cut
    short, empty, or has a label above 9."""
    labels, pixels = bytearray(), []
    for name in names:
        content = _whole_rows(files, name)
        classes = content[::ROW]
        if max(classes) >= CLASSES:
            row = next(place for place, label in enumerate(classes) if label >= CLASSES)
            raise DataError(
                f"label {classes[row]} where 0 to {CLASSES - 1} belongs",
                where=f"{files.where(name)}, row {row + 1} (byte {row * ROW})",
                mend=_FETCH,
            )
        labels += classes
        pixels.append(_without_labels(content))
    return Images(bytes(labels), tuple(pixels), SHAPE)


def _whole_rows(files: Files, name: str) -> bytes:
    content, where = read(files, name, MOST * ROW), files.where(name)
    if not content:
        raise DataError("the file has no rows", where=where, mend="Put the official file there.")
    if len(content) > MOST * ROW:
        raise DataError(f"the file has more than {MOST:,} rows", where=where, mend=_FETCH)
    if len(content) % ROW:
        raise DataError(
            f"the file ends {len(content) % ROW} bytes into a row of {ROW}",
            where=f"{where}, row {len(content) // ROW + 1} (byte {len(content)})",
            mend=_FETCH,
        )
    return content


def _without_labels(content: bytes) -> bytes:
    """The pixels alone, rows following one another."""
    return b"".join(content[start + 1 : start + ROW] for start in range(0, len(content), ROW))
