"""Reads the idx format of MNIST (LeCun, Cortes & Burges): a magic number, big-endian dimensions, then bytes."""

from __future__ import annotations

import math

from bench.data import Files, read
from bench.errors import DataError
from tasks.images.decoded import CLASSES, Images

SIDE = 28
UNSIGNED_BYTES = 8
"""Third byte of the magic number: the type of the entries."""
_FETCH = "Fetch the official file again."


def read_images(files: Files, images: str, labels: str) -> Images:
    """The images of one idx file with the labels of another.

    Raises ``DataError``, with file and position, for a damaged or foreign file, a label above 9, or counts that differ.
    """
    shape, pixels = _entries(files, images, 3)
    if shape[1:] != (SIDE, SIDE):
        raise DataError(
            f"images of {shape[1]} x {shape[2]} pixels where {SIDE} x {SIDE} belong",
            where=f"{files.where(images)}, byte 8",
            mend=_FETCH,
        )
    (count,), classes = _entries(files, labels, 1)
    if count != shape[0]:
        raise DataError(
            f"{count:,} labels, and {files.where(images)} has {shape[0]:,} images",
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


def _entries(files: Files, name: str, dimensions: int) -> tuple[tuple[int, ...], bytes]:
    """Shape and entries of an idx file of unsigned bytes."""
    content, where = read(files, name), files.where(name)
    header = 4 + 4 * dimensions
    magic = bytes((0, 0, UNSIGNED_BYTES, dimensions))
    if content[:4] != magic:
        raise DataError(
            f"begins with {content[:4].hex() or 'nothing'} where the idx magic number {magic.hex()} belongs "
            f"(bytes in {dimensions} dimension{'s' if dimensions > 1 else ''})",
            where=f"{where}, byte 0",
            mend=_FETCH,
        )
    if len(content) < header:
        raise DataError(f"the file ends within its header of {header} bytes", where=f"{where}, byte {len(content)}")
    shape = tuple(int.from_bytes(content[at : at + 4], "big") for at in range(4, header, 4))
    wanted = header + math.prod(shape)
    if len(content) != wanted:
        what = "ends" if len(content) < wanted else "goes on"
        raise DataError(
            f"the file {what} here, and its header promises {' x '.join(map(str, shape))} entries: {wanted:,} bytes",
            where=f"{where}, byte {min(len(content), wanted)}",
            mend=_FETCH,
        )
    return shape, content[header:]
