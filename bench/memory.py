"""Memory that is given back: scoring takes large tensors for a moment, and should not leave holes of their size."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

MMAP_THRESHOLD = -3
"""``mallopt``'s number for the size from which an allocation gets pages of its own (glibc's malloc.h)."""
SCORING = 1 << 20
TRAINING = 32 << 20
"""Bytes. glibc moves its threshold up to 32 MB by itself as large blocks come and go, and stops doing so once it is
set: 32 MB is where training stands anyway."""
OUT = ("allocate memory", "out of memory", "storage size calculation overflowed")
"""How PyTorch says that there is too little."""


@cache
def _libc() -> ctypes.CDLL | None:
    """The C library, where it is glibc."""
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None


@contextmanager
def given_back() -> Iterator[None]:
    """While it lasts, large blocks have pages of their own and return to the system when they are freed.

    Holes that training left in the heap are returned first. Without glibc nothing changes.
    """
    library = _libc()
    if library is None:
        yield
        return
    library.malloc_trim(0)
    library.mallopt(MMAP_THRESHOLD, SCORING)
    try:
        yield
    finally:
        library.mallopt(MMAP_THRESHOLD, TRAINING)


def out_of_memory(error: Exception) -> bool:
    """Whether that is what an error says, of this machine's memory or an accelerator's."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in said for sign in OUT)
