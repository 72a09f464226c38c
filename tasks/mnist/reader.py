"""Reads the idx format of MNIST (LeCun, Cortes & Burges): a magic number, big-endian dimensions, then bytes."""

from __future__ import annotations

import math

from bench.data import Files, read
from bench.errors import DataError
from tasks.images.decoded import CLASSES, Images

SIDE = 28
MOST = 1_000_000
"""Images or labels of a file at most."""
UNSIGNED_BYTES = 8
"""Third byte of the magic number: the type of the entries."""
_FETCH = "Fetch the official file again."


def read_images(files: Files, images: str, labels: str) -> Images:
    """The images of one idx file with the labels of another.

    Raises ``DataError``, with file and position, for a damaged or foreign file, a label above 9, or counts that differ.
    """
    found, pixels = _entries(files, images, (SIDE, SIDE))
    count, classes = _entries(files, labels, ())
    if count != found:
        raise DataError(
            f"{count:,} labels, and {files.where(images)} has {found:,} images",
            where=f"{files.where(labels)}, byte 4",
            mend="Put the two files of one release there.",
        )
    if not count:
        raise DataError("the file has no images", where=files.where(images), mend="Put the official file there.")
    if max(classes) >= CLASSES:
        item = next(place for place, label in enumerate(classes) if label >= CLASSES)
        raise DataError(
            f"label {classes[item]} where 0 to {CLASSES - 1} belongs",
            where=f"{files.where(labels)}, item {item + 1} (byte {8 + item})",
            mend=_FETCH,
        )
    return Images(classes, (pixels,), (1, SIDE, SIDE))


def _entries(files: Files, name: str, entry: tuple[int, ...]) -> tuple[int, bytes]:
    """Number and bytes of the entries, each of shape ``entry``, of an idx file of unsigned bytes.

    No more is read than the header promises, and nothing of a file whose header promises too much.
    """
    where, dimensions = files.where(name), 1 + len(entry)
    header = 4 + 4 * dimensions
    magic = bytes((0, 0, UNSIGNED_BYTES, dimensions))
    content = read(files, name, header - 1)
    if content[:4] != magic:
        raise DataError(
            f"begins with {content[:4].hex() or 'nothing'} where the idx magic number {magic.hex()} belongs "
            f"(bytes in {dimensions} dimension{'s' if dimensions > 1 else ''})",
            where=f"{where}, byte 0",
            mend=_FETCH,
        )
    if len(content) < header:
        raise DataError(f"the file ends within its header of {header} bytes", where=f"{where}, byte {len(content)}")
    count, *sizes = (int.from_bytes(content[at : at + 4], "big") for at in range(4, header, 4))
    if (*sizes,) != entry:
        asked, there = (" x ".join(map(str, shape)) for shape in (entry, sizes))
        raise DataError(f"images of {there} pixels where {asked} belong", where=f"{where}, byte 8", mend=_FETCH)
    if count > MOST:
        raise DataError(
            f"the header promises {count:,} entries, more than {MOST:,}", where=f"{where}, byte 4", mend=_FETCH
        )
    wanted = header + count * math.prod(entry)
    content = read(files, name, wanted)
    if len(content) != wanted:
        what = "ends" if len(content) < wanted else "goes on"
        raise DataError(
            f"the file {what} here, and its header promises {' x '.join(map(str, (count, *sizes)))} entries: "
            f"{wanted:,} bytes",
            where=f"{where}, byte {min(len(content), wanted)}",
            mend=_FETCH,
        )
    return count, content[header:]
