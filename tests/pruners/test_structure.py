"""N:M groups, and the rule by which whole units go."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bench import registry
from bench.errors import CellError, UsageError
from bench.masks.couplings import Coupling, Slice, remaining, unit_size
from bench.masks.exact import cut, kept
from bench.masks.units import kept_units
from pruners.allocation import erk, global_, uniform
from pruners.structure import NM, Units

ALLOCATIONS = st.sampled_from([global_, uniform, erk])
GROUPS = st.sampled_from([(1, 2), (2, 4), (1, 4), (3, 4), (2, 6), (4, 8)])


def draw(shapes: dict[str, tuple[int, ...]], seed: int, levels: int | None = None) -> dict[str, Tensor]:
    """Scores of each shape; ``levels`` distinct values where given, so that most are tied."""
    generator = torch.Generator().manual_seed(seed)
    scores = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return {name: (values * levels / 4).round() for name, values in scores.items()} if levels else scores


def layers(m: int) -> dict[str, tuple[int, ...]]:
    """A linear layer and a convolution whose inputs fall into whole groups."""
    return {"linear": (5, 3 * m), "conv": (4, 2 * m, 3, 2)}


def best_by_hand(scores: np.ndarray, n: int, m: int) -> np.ndarray:
    """The n best of each m consecutive entries of axis 1, of equal ones the earlier: one group at a time."""
    mask = np.zeros(scores.shape, dtype=bool)
    for place in np.ndindex(scores.shape[0], scores.shape[1] // m, *scores.shape[2:]):
        output, group, kernel = place[0], place[1], place[2:]
        inputs = sorted(range(group * m, group * m + m), key=lambda i: (-scores[(output, i, *kernel)], i))
        for chosen in inputs[:n]:
            mask[(output, chosen, *kernel)] = True
    return mask


@given(GROUPS, st.integers(0, 2**32), st.sampled_from([None, 1, 3]), ALLOCATIONS)
def test_each_group_keeps_exactly_its_n_best_whatever_the_allocation(group, seed, levels, allocation) -> None:
    n, m = group
    structure = NM(n, m)
    scores = draw(layers(m), seed, levels)
    masks = cut(scores, {}, float(structure.sparsity), allocation, structure)
    for name, values in scores.items():
        assert masks[name].tolist() == best_by_hand(values.numpy(), n, m).tolist()


@given(GROUPS, st.integers(0, 2**32), st.floats(0, 1))
def test_a_cut_on_the_way_is_exact_keeps_every_groups_best_and_leads_to_n_of_m(group, seed, way) -> None:
    n, m = group
    structure = NM(n, m)
    scores = draw(layers(m), seed)
    size = sum(values.numel() for values in scores.values())
    early = cut(scores, {}, float(structure.sparsity) * way, global_, structure)
    assert sum(int(mask.sum()) for mask in early.values()) == kept(float(structure.sparsity) * way, size)
    late = cut(draw(layers(m), seed + 1), early, float(structure.sparsity), global_, structure)
    for name, mask in late.items():
        groups = mask.movedim(1, -1).reshape(-1, m)
        assert (groups.sum(1) == n).all()
        assert not (mask & ~early[name]).any()


def test_a_layer_whose_inputs_are_no_multiple_is_one_line_that_names_it() -> None:
    with pytest.raises(UsageError) as error:
        NM(2, 4).check({"body.0.weight": (8, 8), "body.1.weight": (8, 6)}, 0)
    assert str(error.value) == (
        "body.1.weight: 2:4 does not fit this layer: its 6 inputs are no multiple of 4. "
        "Give another N:M, or leave the layer out."
    )
    with pytest.raises(UsageError, match="norm: 2:4 does not fit this layer: it has no inputs"):
        NM(2, 4).check({"norm": (8,)}, 0)


def test_fewer_weights_than_the_groups_keep_cannot_be_asked_for() -> None:
    with pytest.raises(CellError, match=r"2:4 keeps 24 weights more than the cut asks for\. Cut to .* at most 0\.5"):
        cut({"w": torch.rand(8, 12)}, {}, 0.75, global_, NM(2, 4))


def test_any_numbers_name_a_structure() -> None:
    assert registry.structure("2:4") == NM(2, 4)
    assert registry.structure("3:16").sparsity == 1 - 3 / 16
    with pytest.raises(UsageError, match=r"structure 4:4: cannot keep 4 of each 4 inputs\. Give N:M with 1 <= N < M"):
        registry.structure("4:4")


# Units: a multilayer perceptron of widths 6-8-10-4, whose inner weights are cut from both sides.

WIDTHS = (6, 8, 10, 4)
WEIGHTS = {f"{layer}.weight": (after, before) for layer, (before, after) in enumerate(pairwise(WIDTHS))}
PARAMETERS = {**WEIGHTS, **{f"{layer}.bias": (width,) for layer, width in enumerate(WIDTHS[1:])}}
COUPLINGS = tuple(
    Coupling(
        f"{layer}",
        "rows",
        WIDTHS[layer + 1],
        (Slice(f"{layer}.weight"), Slice(f"{layer}.bias")),
        (Slice(f"{layer + 1}.weight", axis=1),),
    )
    for layer in range(2)
)
MLP = Units("rows").among(COUPLINGS, PARAMETERS, list(WEIGHTS))
SIZE = 6 * 8 + 8 * 10 + 10 * 4
LEAST = 6 + 1 + 4
"""Weights with one unit in each layer."""


def counted(masks: dict[str, Tensor]) -> int:
    return sum(int(masks[name].sum()) for name in WEIGHTS)


@given(st.integers(0, 2**32), st.sampled_from([None, 1]), st.floats(0, 0.92), ALLOCATIONS)
def test_whole_units_go_until_the_budget_holds_and_no_layer_is_emptied(seed, levels, sparsity, allocation) -> None:
    masks = cut(draw(WEIGHTS, seed, levels), {}, sparsity, allocation, MLP)
    budget = kept(sparsity, SIZE)
    assert budget - MLP.slack <= counted(masks) <= budget
    units = kept_units(masks, COUPLINGS)
    assert all(there.any() for there in units.values())
    first, second = units["0"], units["1"]
    assert torch.equal(masks["0.weight"], first[:, None].expand(8, 6))
    assert torch.equal(masks["1.weight"], second[:, None] & first)
    assert torch.equal(masks["2.weight"], second.expand(4, 10))
    assert torch.equal(masks["0.bias"], first)
    assert torch.equal(masks["1.bias"], second)
    assert remaining(WEIGHTS, COUPLINGS, {name: int(there.sum()) for name, there in units.items()}) == counted(masks)


@given(st.integers(0, 2**32), st.floats(0.05, 0.9))
def test_with_one_pool_no_unit_that_went_was_better_than_one_that_stayed_beside_others(seed, sparsity) -> None:
    scores = draw(WEIGHTS, seed)
    units = kept_units(cut(scores, {}, sparsity, global_, MLP), COUPLINGS)
    means = {
        "0": torch.cat([scores["0.weight"], scores["1.weight"].T], 1).double().mean(1),
        "1": torch.cat([scores["1.weight"], scores["2.weight"].T], 1).double().mean(1),
    }
    gone = [float(mean) for name, there in units.items() for mean in means[name][~there]]
    stayed = [float(mean) for name, there in units.items() if there.sum() > 1 for mean in means[name][there]]
    assert max(gone, default=-torch.inf) <= min(stayed, default=torch.inf)


@given(st.integers(0, 2**32), st.lists(st.floats(0, 0.9), min_size=2, max_size=5), ALLOCATIONS)
def test_units_that_went_stay_away(seed, sparsities, allocation) -> None:
    masks: dict[str, Tensor] = {}
    for index, sparsity in enumerate(sorted(sparsities)):
        before = masks
        masks = cut(draw(WEIGHTS, seed + index), before, sparsity, allocation, MLP)
        assert all(not (masks[name] & ~before[name]).any() for name in before)
        budget = kept(sparsity, SIZE)
        assert counted(masks) <= budget
        # A budget that an earlier cut left unused is not filled up again: units don't come back.
        assert counted(masks) >= min(budget - MLP.slack, counted(before) if before else SIZE)


@given(st.integers(0, 2**32), st.floats(0, 0.8))
def test_under_uniform_every_layer_keeps_the_same_share_of_its_units(seed, sparsity) -> None:
    units = kept_units(cut(draw(WEIGHTS, seed), {}, sparsity, uniform, MLP), COUPLINGS)
    first, second = (int(there.sum()) / len(there) for there in units.values())
    # Shares of 8 and of 10 units interleave: apart by less than one unit of each, pools' densities rounded to a weight.
    assert abs(first - second) < 1 / 8 + 1 / 10


def test_a_unit_counts_its_weights_in_every_slice() -> None:
    assert unit_size(WEIGHTS, COUPLINGS[0]) == 6 + 10
    assert unit_size(WEIGHTS, COUPLINGS[1]) == 8 + 4
    assert MLP.slack == 15
    assert MLP.names == set(WEIGHTS)


def test_a_budget_below_one_unit_a_layer_is_one_line_that_says_what_is_possible() -> None:
    MLP.check(WEIGHTS, LEAST)
    with pytest.raises(UsageError) as error:
        MLP.check(WEIGHTS, LEAST - 1)
    assert str(error.value) == (
        f"--structure rows: one of the rows of each layer stays: {LEAST} of {SIZE} weights where {LEAST - 1} are asked "
        f"for. Give a sparsity of at most {int((1 - LEAST / SIZE) * 10_000) / 10_000:g}."
    )


def test_masks_of_what_a_structure_does_not_cut_stay_as_they_are() -> None:
    other = {"elsewhere": torch.tensor([True, False])}
    scores = {**draw(WEIGHTS, 0), "elsewhere": torch.ones(2)}
    masks = cut(scores, other, 0.5, global_, MLP)
    assert masks["elsewhere"].tolist() == [True, False]
    assert counted(masks) <= kept(0.5, SIZE)


def test_a_structure_of_units_does_nothing_silently_before_it_knows_the_model() -> None:
    with pytest.raises(CellError, match="'rows' was not told which units the model has"):
        cut({}, {}, 0.5, global_, Units("rows"))
