"""The k largest scores, against a slow and plain reference."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.masks import selection
from bench.masks.selection import flat, select, thresholds

VALUES = st.sampled_from([-2.0, -1.0, -0.0, 0.0, 0.5, 1.0, 3.0])
LAYERS = st.lists(st.lists(VALUES, min_size=1, max_size=30), min_size=1, max_size=4)


def reference(scores: list[Tensor], keep: int) -> list[list[bool]]:
    """Sort (score descending, layer, position) and take the first ``keep``."""
    places = [
        (-float(value), layer, index)
        for layer, values in enumerate(scores)
        for index, value in enumerate(values.reshape(-1).tolist())
    ]
    chosen = {(layer, index) for _, layer, index in sorted(places)[:keep]}
    return [[(layer, index) in chosen for index in range(values.numel())] for layer, values in enumerate(scores)]


def as_lists(masks: list[Tensor]) -> list[list[bool]]:
    return [mask.reshape(-1).tolist() for mask in masks]


@given(LAYERS, st.data(), st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16]))
def test_heavily_tied_scores_are_told_apart_by_position(
    layers: list[list[float]], data: st.DataObject, dtype: torch.dtype
) -> None:
    scores = [torch.tensor(values, dtype=dtype) for values in layers]
    keep = data.draw(st.integers(0, sum(len(values) for values in layers)))
    assert as_lists(select(scores, keep)) == reference(scores, keep)


@given(st.integers(0, 2**32), st.integers(0, 40), st.booleans())
def test_a_known_threshold_gives_the_same_masks(seed: int, keep: int, tied: bool) -> None:
    scores = [torch.rand(4, 5, generator=torch.Generator().manual_seed(seed + i)) for i in range(2)]
    scores = [(values * 4).round() if tied else values for values in scores]
    (least,) = thresholds(scores, [keep])
    assert as_lists(select(scores, keep, least)) == as_lists(select(scores, keep)) == reference(scores, keep)


def test_layers_of_different_types_compare_exactly() -> None:
    third = torch.tensor([1 / 3], dtype=torch.float32)
    finer = torch.tensor([float(third) - 1e-12, float(third) + 1e-12], dtype=torch.float64)
    assert as_lists(select([third, finer], 2)) == [[True], [False, True]]


def test_position_is_logical_where_memory_is_ordered_otherwise() -> None:
    scores = torch.zeros(2, 3, 4, 5).to(memory_format=torch.channels_last)
    (mask,) = select([scores], 7)
    assert mask.reshape(-1).tolist() == [True] * 7 + [False] * 113
    spaced = torch.arange(12.0).reshape(3, 4)[:, ::2]
    (mask,) = select([spaced], 2)
    assert mask.tolist() == [[False, False], [False, False], [True, True]]


def large(kind: str, generator: torch.Generator) -> Tensor:
    size = 3 * selection.SMALL
    values = torch.rand(size, generator=generator, dtype=torch.float64)
    if kind == "half zero":
        return values * (torch.rand(size, generator=generator) < 0.5)
    if kind == "five values":
        return (values * 4).round()
    if kind == "one value":
        return torch.full((size,), 2.0)
    if kind == "sorted":
        return values.sort().values
    if kind == "in step with the sample":  # the sample sees large scores alone, so its bracket misses
        values[:: selection.STRIDE] += 5
    if kind == "partly dead":
        values[: size // 3] = -math.inf
    return values


@pytest.mark.parametrize(
    "kind", ["uniform", "half zero", "five values", "one value", "sorted", "in step with the sample", "partly dead"]
)
def test_millions_of_scores_give_what_a_full_sort_gives(kind: str) -> None:
    values = large(kind, torch.Generator().manual_seed(0))
    layers = [values[:1000].reshape(10, 100), values[1000:]]
    ranked = values.sort(descending=True).values
    for keep in (1, 17, values.numel() // 10, values.numel() // 2, values.numel() - 1):
        (least,) = thresholds(layers, [keep])
        assert least == float(ranked[keep - 1])
        mask = torch.cat([part.reshape(-1) for part in select(layers, keep)])
        expected = torch.zeros_like(mask)
        expected[torch.sort(values, descending=True, stable=True).indices[:keep]] = True
        assert torch.equal(mask, expected)


@settings(max_examples=25)
@given(LAYERS, st.data())
def test_the_way_for_other_devices_finds_the_same_thresholds(layers: list[list[float]], data: st.DataObject) -> None:
    scores = [torch.tensor(values) for values in layers]
    size = sum(len(values) for values in layers)
    keeps = sorted(data.draw(st.sets(st.integers(1, size), min_size=1)))
    assert selection._thresholds_device(scores, keeps) == selection._thresholds_cpu(scores, keeps)


def test_one_pass_gives_the_thresholds_that_twelve_give() -> None:
    scores = [torch.randn(500, 700, generator=torch.Generator().manual_seed(1)), torch.randn(9)]
    keeps = [0, *(round(350_009 * density / 12) for density in range(1, 13))]
    together = thresholds(scores, keeps)
    assert together == [thresholds(scores, [keep])[0] for keep in keeps]
    assert together[0] == math.inf
    every = np.concatenate([values.numpy().reshape(-1) for values in scores])
    assert [int((every >= least).sum()) for least in together] == keeps


def test_a_number_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot keep \\[4\\] of 3 scores"):
        thresholds([torch.zeros(3)], [1, 4])


def test_flat_copies_only_what_is_not_dense() -> None:
    dense = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    assert flat(dense).data_ptr() == dense.data_ptr()
    assert sorted(flat(dense).tolist()) == sorted(dense.reshape(-1).tolist())
    sparse = torch.rand(4, 6)[:, ::2]
    assert torch.equal(flat(sparse), sparse.reshape(-1))
    assert torch.equal(flat(torch.ones(1).expand(3)), torch.ones(3))


@given(
    st.lists(st.floats(allow_nan=False, width=32), min_size=1, max_size=60),
    st.data(),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_several_thresholds_counted_by_leading_bits_are_those_of_a_sort(
    values: list[float], data: st.DataObject, dtype: torch.dtype
) -> None:
    ranked = sorted(values, reverse=True)
    keeps = data.draw(st.lists(st.integers(1, len(values)), min_size=2, max_size=6, unique=True)) if ranked[1:] else [1]
    middle = data.draw(st.integers(0, len(values) - 1))
    parts = [torch.tensor(part, dtype=dtype).numpy() for part in (values[:middle], values[middle:]) if part]
    assert selection._counted(parts, keeps) == {keep: ranked[keep - 1] for keep in keeps}


def test_many_scores_take_the_counted_way_and_agree_with_a_sort(monkeypatch: pytest.MonkeyPatch) -> None:
    scores = [torch.randn(3000, generator=torch.Generator().manual_seed(seed)).pow(3) for seed in range(3)]
    keeps = [1, 77, 4500, 8999, 9000]
    sorted_way = thresholds(scores, keeps)
    monkeypatch.setattr(selection, "SMALL", 100)
    monkeypatch.setattr(selection, "COUNTED_BLOCK", 512)
    assert thresholds(scores, keeps) == sorted_way
