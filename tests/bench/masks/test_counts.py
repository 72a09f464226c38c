"""How many weights stay, and how a number is split."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import UsageError
from bench.masks.counts import apportion, kept


@given(st.integers(0, 999), st.integers(0, 10**9))
def test_a_sparsity_in_thousandths_keeps_the_exact_rounding(thousandths: int, n: int) -> None:
    assert kept(thousandths / 1000, n) == round(Fraction(1000 - thousandths, 1000) * n)


@pytest.mark.parametrize(
    ("sparsity", "n", "expected"),
    [
        (0.9, 5, 0),  # 0.5, half to even; 1 - 0.9 in floating point is 0.0999..., which says nothing about halves
        (0.9, 15, 2),  # 1.5, half to even; 15 * 0.09999999999999998 would give 1
        (1 - 10**-1.0, 15, 2),
        (0.1 + 0.2, 5, 4),  # 3.5: the sum is 0.30000000000000004, and 5 * 0.69999999999999996 would give 3
        (0.0, 7, 7),
        (0.5, 0, 0),
    ],
)
def test_floating_point_error_in_the_sparsity_costs_no_weight(sparsity: float, n: int, expected: int) -> None:
    assert kept(sparsity, n) == expected


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1.5, float("nan"), float("inf")])
def test_a_sparsity_outside_zero_to_one_is_refused(sparsity: float) -> None:
    with pytest.raises(UsageError, match=r"a sparsity of .* cannot be\. Give one from 0 up to, not including, 1\."):
        kept(sparsity, 10)


@given(st.lists(st.integers(0, 10**6), min_size=1, max_size=20), st.data())
def test_parts_sum_to_the_total_and_none_exceeds_its_share(shares: list[int], data: st.DataObject) -> None:
    total = data.draw(st.integers(0, sum(shares)))
    parts = apportion(total, shares)
    assert sum(parts) == total
    for part, share in zip(parts, shares, strict=True):
        assert 0 <= part <= share
        assert abs(part * sum(shares) - total * share) < max(1, sum(shares))


def test_of_equal_remainders_the_earlier_gets_more() -> None:
    assert apportion(2, [1, 1, 1]) == [1, 1, 0]
    assert apportion(5, [6, 3, 1]) == [3, 2, 0]  # quotas 3.0, 1.5, 0.5
