"""Per-example values as short text: single bits where all are 0 or 1, else half or single precision, deflated."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]

HALF_ERROR = 2.0**-10
"""Largest error, relative to the larger of 1 and the value, at which half precision is taken."""
WIDTHS = {"half": 2, "single": 4}


def pack(values: Sequence[float] | Values) -> str:
    """``KIND:COUNT:BASE64`` of a row of finite values; ``unpack`` gives them back to about three digits."""
    row = np.asarray(values, dtype=np.float64)
    if bool(np.isin(row, (0.0, 1.0)).all()):
        kind, content = "bits", np.packbits(row.astype(np.uint8)).tobytes()
    else:
        with np.errstate(over="ignore"):
            half = row.astype("<f2")
        fits = bool((np.abs(half - row) <= HALF_ERROR * np.maximum(1.0, np.abs(row))).all())
        kind, content = ("half", half.tobytes()) if fits else ("single", row.astype("<f4").tobytes())
    return f"{kind}:{row.size}:{base64.b64encode(zlib.compress(content, 9)).decode()}"


def unpack(text: str) -> Values:
    """The values in ``text``. Raises ``ValueError`` for what ``pack`` did not write."""
    kind, _, rest = text.partition(":")
    count, _, packed = rest.partition(":")
    if not count.isdecimal() or kind not in ("bits", *WIDTHS):
        raise ValueError("not packed values")
    size = int(count)
    length = (size + 7) // 8 if kind == "bits" else size * WIDTHS[kind]
    try:
        # No more than was promised is inflated, whatever the text holds.
        content = zlib.decompressobj().decompress(base64.b64decode(packed, validate=True), length + 1)
    except (binascii.Error, zlib.error) as error:
        raise ValueError(f"packed values are damaged ({error})") from error
    if len(content) != length:
        raise ValueError(f"packed values hold {len(content)} bytes, {length} were promised")
    if kind == "bits":
        return np.unpackbits(np.frombuffer(content, dtype=np.uint8), count=size).astype(np.float64)
    return np.frombuffer(content, dtype=f"<f{WIDTHS[kind]}").astype(np.float64)
