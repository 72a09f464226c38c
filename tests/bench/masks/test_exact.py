"""What a cut promises, and that a broken promise is noticed."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bench.errors import CellError
from bench.masks.exact import apply_, collapsed, cut, densities, digest, kept, verify
from pruners.allocation import erk, global_, uniform
from pruners.base import Allocation
from pruners.structure import weights as single

SHAPES = {"a": (4, 6), "b": (7,), "c": (3, 2, 3, 3), "d": (1, 1)}
SIZE = sum(math.prod(shape) for shape in SHAPES.values())
ALLOCATIONS = st.sampled_from([global_, uniform, erk])
SPARSITIES = st.floats(0, 0.999)


def draw(seed: int, levels: int | None = None) -> dict[str, Tensor]:
    """Scores of every layer; ``levels`` distinct values where given, so that most are tied."""
    generator = torch.Generator().manual_seed(seed)
    scores = {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
    return {name: (values * levels / 4).round() for name, values in scores.items()} if levels else scores


def total(masks: dict[str, Tensor]) -> int:
    return sum(int(mask.sum()) for mask in masks.values())


@given(st.integers(0, 2**32), st.sampled_from([None, 1, 4]), SPARSITIES, ALLOCATIONS)
def test_exactly_as_many_stay_as_were_asked_for(
    seed: int, levels: int | None, sparsity: float, allocation: Allocation
) -> None:
    masks = cut(draw(seed, levels), {}, sparsity, allocation, single)
    assert total(masks) == kept(sparsity, SIZE)
    assert list(masks) == list(SHAPES)


@given(st.integers(0, 2**32), st.sampled_from([None, 2]), SPARSITIES, SPARSITIES)
def test_a_sparser_cut_of_the_same_scores_lies_within_a_denser_one(
    seed: int, levels: int | None, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    dense, sparse = (cut(draw(seed, levels), {}, sparsity, global_, single) for sparsity in (low, high))
    assert all(not (sparse[name] & ~dense[name]).any() for name in SHAPES)


@given(st.integers(0, 2**32), st.sampled_from([None, 1]), st.lists(SPARSITIES, min_size=2, max_size=6), ALLOCATIONS)
def test_cutting_again_never_revives_and_stays_exact(
    seed: int, levels: int | None, sparsities: list[float], allocation: Allocation
) -> None:
    masks: dict[str, Tensor] = {}
    for index, sparsity in enumerate(sorted(sparsities)):
        before = masks
        masks = cut(draw(seed + index, levels), before, sparsity, allocation, single)
        assert total(masks) == kept(sparsity, SIZE)
        assert all(not (masks[name] & ~before[name]).any() for name in before)


@given(st.integers(0, 2**32), ALLOCATIONS, ALLOCATIONS)
def test_what_one_pool_lacks_the_others_keep(seed: int, first: Allocation, second: Allocation) -> None:
    before = cut(draw(seed), {}, 0.8, first, single)
    masks = cut(draw(seed + 1), before, 0.85, second, single)
    assert total(masks) == kept(0.85, SIZE)
    assert all(not (masks[name] & ~before[name]).any() for name in before)


def test_no_more_stay_than_are_alive() -> None:
    before = cut(draw(0), {}, 0.9, global_, single)
    masks = cut(draw(1), before, 0.5, global_, single)
    assert all(torch.equal(masks[name], before[name]) for name in before)


def test_a_dead_weight_stays_dead_though_its_score_is_the_largest() -> None:
    scores = {"a": torch.tensor([9.0, -3.0, -2.0, -1.0])}
    masks = cut(scores, {"a": torch.tensor([False, True, True, True])}, 0.5, global_, single)
    assert masks["a"].tolist() == [False, False, True, True]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_is_an_error_that_names_the_layer(bad: float) -> None:
    scores = {"fine": torch.zeros(3), "encoder.wq": torch.tensor([[1.0, bad], [2.0, bad]])}
    with pytest.raises(CellError, match=r"^encoder\.wq: 2 of 4 scores are NaN or infinite\. Score in float64"):
        cut(scores, {}, 0.5, global_, single)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_masked_weights_become_positive_zero_whatever_they_were(
    dtype: torch.dtype, layout: torch.memory_format
) -> None:
    before = torch.randn(4, 3, 2, 2).to(dtype).contiguous(memory_format=layout)
    before[0, 0, 0] = torch.tensor([math.nan, -math.inf])
    weight = torch.nn.Parameter(before.clone())
    mask = torch.rand(4, 3, 2, 2) < 0.5
    mask[0, 0, 0] = False
    apply_({"w": weight}, {"w": mask})
    assert torch.equal(weight.detach()[mask], before[mask])
    assert not torch.signbit(weight.detach()[~mask]).any()
    assert (weight.detach()[~mask] == 0).all()


def test_a_weight_whose_memory_has_gaps_is_masked_in_place() -> None:
    whole = torch.ones(2, 4)
    apply_({"w": whole[:, ::2]}, {"w": torch.tensor([[True, False], [False, True]])})
    assert whole.tolist() == [[1, 1, 0, 1], [0, 1, 1, 1]]


def test_verify_names_the_layer_whose_masked_weights_are_not_zero() -> None:
    weights = {"a": torch.tensor([0.0, 1.0]), "b": torch.tensor([2.0, math.nan])}
    verify(weights, {"a": torch.tensor([False, True])}, expected_kept=3)
    with pytest.raises(CellError, match=r"^b: 2 masked weights are not zero\."):
        verify(weights, {"b": torch.tensor([False, False])}, expected_kept=2)


def test_verify_counts() -> None:
    weights = {"a": torch.tensor([0.0, 1.0])}
    with pytest.raises(CellError, match="the masks keep 1 weights where 2 belong"):
        verify(weights, {"a": torch.tensor([False, True])}, expected_kept=2)
    with pytest.raises(CellError, match=r"^c: a mask fits no weight"):
        verify(weights, {"c": torch.tensor([True])}, expected_kept=3)


def test_a_layer_with_nothing_left_is_collapsed() -> None:
    weights = {"a": torch.ones(4), "b": torch.ones(2), "c": torch.ones(3)}
    masks = {"a": torch.tensor([True, False, False, False]), "b": torch.tensor([False, False])}
    assert densities(masks, weights) == {"a": 0.25, "b": 0.0, "c": 1.0}
    assert collapsed(masks, weights) == ["b"]


def test_a_digest_depends_on_names_shapes_and_bits_and_not_on_order_or_layout() -> None:
    a, b = torch.rand(2, 3, 4, 5) < 0.5, torch.tensor([True, False])
    same = {"b": b.clone(), "a": a.contiguous(memory_format=torch.channels_last)}
    assert digest({"a": a, "b": b}) == digest(same)
    others = [{"a": a, "b": ~b}, {"a": a, "c": b}, {"a": a.reshape(6, 20), "b": b}, {"a": a}]
    assert len({digest(masks) for masks in [same, *others]}) == 5
