"""How a budget is spread over layers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pruners.allocation import erk, global_, uniform
from pruners.base import Allocation

SHAPES = st.dictionaries(
    st.text("abc", min_size=1, max_size=4), st.lists(st.integers(1, 30), min_size=1, max_size=4), min_size=1, max_size=6
)


@given(SHAPES, st.data(), st.sampled_from([global_, uniform, erk]))
def test_pools_cover_every_layer_once_and_keep_the_budget_exactly(
    shapes: dict[str, list[int]], data: st.DataObject, allocation: Allocation
) -> None:
    size = sum(math.prod(shape) for shape in shapes.values())
    keep = data.draw(st.one_of(st.sampled_from([0, size]), st.integers(0, size)))
    pools = allocation(shapes, keep)
    assert [name for pool in pools for name in pool.names] == list(shapes)
    assert sum(pool.keep for pool in pools) == keep
    assert all(0 <= pool.keep <= sum(math.prod(shapes[name]) for name in pool.names) for pool in pools)


@given(SHAPES, st.data())
def test_uniform_gives_each_layer_the_same_density_to_one_weight(
    shapes: dict[str, list[int]], data: st.DataObject
) -> None:
    size = sum(math.prod(shape) for shape in shapes.values())
    keep = data.draw(st.integers(0, size))
    for pool in uniform(shapes, keep):
        assert abs(pool.keep - keep * math.prod(shapes[pool.names[0]]) / size) < 1


@given(SHAPES, st.data())
def test_erk_shares_by_sum_of_dimensions_among_the_layers_that_are_not_whole(
    shapes: dict[str, list[int]], data: st.DataObject
) -> None:
    size = sum(math.prod(shape) for shape in shapes.values())
    keep = data.draw(st.integers(0, size))
    pools = {pool.names[0]: pool.keep for pool in erk(shapes, keep)}
    partial = [name for name in shapes if pools[name] < math.prod(shapes[name])]
    # One factor serves all partial layers, up to the rounding of one weight each.
    low = max((pools[name] - 1) / sum(shapes[name]) for name in partial) if partial else 0
    high = min((pools[name] + 1) / sum(shapes[name]) for name in partial) if partial else math.inf
    assert low <= high
    # And a whole layer is whole because the factor would have filled it.
    assert all(high * sum(shapes[name]) >= math.prod(shapes[name]) - 1 for name in shapes if name not in partial)


def test_erk_gives_evci_s_densities() -> None:
    # Density eps * (sum of dims) / (product of dims): counts eps * 300, eps * 600; their sum 90 makes eps 0.1.
    assert [pool.keep for pool in erk({"a": (100, 200), "b": (500, 100)}, 90)] == [30, 60]


def test_erk_passes_on_what_a_full_layer_cannot_take_until_none_exceeds() -> None:
    # Sums 4, 11 and 200 of 215. 150 weights: the shares 2.8, 7.7, 139.5; "a" (3 weights) fits, none is full.
    shapes = {"a": (3, 1), "b": (10, 1), "c": (100, 100)}
    assert [pool.keep for pool in erk(shapes, 150)] == [3, 8, 139]
    # 190: a's 3.5 exceeds 3. Of 187 left, b's 187 * 11 / 211 = 9.7 fits and c's is 177.3.
    assert [pool.keep for pool in erk(shapes, 190)] == [3, 10, 177]
    # 195: a's 3.6 exceeds 3, and only then b's 192 * 11 / 211 = 10.01 exceeds 10: c keeps the remaining 182.
    assert [pool.keep for pool in erk(shapes, 195)] == [3, 10, 182]


@pytest.mark.parametrize("allocation", [global_, uniform, erk])
def test_a_single_layer_keeps_the_whole_budget(allocation: Allocation) -> None:
    assert [(pool.names, pool.keep) for pool in allocation({"only": (8, 8)}, 13)] == [(("only",), 13)]
