"""Whole numbers of weights: how many stay at a sparsity, and how a number is split among layers. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from bench.errors import UsageError


def kept(sparsity: float, n: int) -> int:
    """How many of ``n`` weights stay at ``sparsity``: (1 - sparsity) * n, rounded, halves to even.

    The arithmetic is exact on the sparsity's first 12 decimals, so that 0.9 means nine tenths and not the nearest
    double, and 1 - 10 ** -1.0 means the same as 0.9. Raises ``UsageError`` outside [0, 1).
    """
    if not 0 <= sparsity < 1:
        raise UsageError(f"a sparsity of {sparsity} cannot be", mend="Give one from 0 up to, not including, 1.")
    return round((1 - Fraction(f"{sparsity:.12f}")) * n)


def apportion(total: int, shares: Sequence[int]) -> list[int]:
    """``total`` split in proportion to ``shares``, by largest remainder; of equal remainders the earlier gets more.

    Whole numbers throughout, so the parts sum to ``total`` exactly; none exceeds its share where ``total`` does not
    exceed their sum. All shares zero: every part is 0.
    """
    whole = sum(shares)
    if whole == 0:
        return [0 for _ in shares]
    parts = [total * share // whole for share in shares]
    remainders = [total * share % whole for share in shares]
    order = sorted(range(len(shares)), key=lambda index: (-remainders[index], index))
    for index in order[: total - sum(parts)]:
        parts[index] += 1
    return parts
