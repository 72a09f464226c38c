"""Checks that options of tasks share: each raises ``UsageError`` in one line."""

from __future__ import annotations

from collections.abc import Sequence

from bench.errors import UsageError
from bench.registry import suggestion


def one_of(name: str, value: str, known: Sequence[str]) -> None:
    """``value`` must be among the known ones."""
    if value not in known:
        raise UsageError(f"unknown value {value!r}", where=name, mend=suggestion(value, known))


def at_least(name: str, value: int, least: int) -> None:
    """``value`` must not be smaller than ``least``."""
    if value < least:
        raise UsageError(f"{value} is too small", where=name, mend=f"Give {least} or more.")
