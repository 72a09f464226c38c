"""Random streams: one root seed, a separate derived stream for each purpose.

Two pruners at one seed see the same initial weights, the same batches and the same dropout: comparisons are paired.
"""

from __future__ import annotations

import hashlib


def derive(seed: int, *purpose: str | int) -> int:
    """A seed of 63 bits for ``purpose``, independent of that for any other."""
    text = "\0".join(map(str, (seed, *purpose)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
