"""Stored bytes: what is packed comes back, and the size is that of the file."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from bench.measure.size import compressed_bytes, dense_bytes, pack, unpack

SHAPES = st.lists(st.integers(0, 6), min_size=1, max_size=4).map(tuple)
DTYPES = st.sampled_from([torch.float32, torch.float16, torch.bfloat16, torch.float64])


@st.composite
def models(draw: st.DrawFn) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Weights, some of them masked, the masked entries zero as in every state."""
    weights, masks = {}, {}
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    for index in range(draw(st.integers(0, 3))):
        name, shape, dtype = f"layers.{index}.weight", draw(SHAPES), draw(DTYPES)
        weight = torch.randn(shape, generator=generator).to(dtype)
        if draw(st.booleans()):
            weight = weight.transpose(0, -1)
        if draw(st.booleans()):
            masks[name] = torch.rand(weight.shape, generator=generator) < draw(st.sampled_from([0, 0.02, 0.5, 0.97, 1]))
            weight = weight.masked_fill(~masks[name], 0)
        weights[name] = weight
    return weights, masks


@given(models())
@settings(max_examples=150, deadline=None)
def test_what_is_packed_comes_back_bit_for_bit(model: tuple[dict, dict]) -> None:
    weights, masks = model
    back = unpack(pack(weights, masks), {name: weight.shape for name, weight in weights.items()})
    assert back.keys() == weights.keys()
    for name, weight in weights.items():
        assert back[name].dtype == weight.dtype
        assert torch.equal(back[name], weight)


@given(models())
@settings(max_examples=60, deadline=None)
def test_packing_never_takes_more_than_the_dense_tensors(model: tuple[dict, dict]) -> None:
    weights, masks = model
    assert dense_bytes(pack(weights, masks)) <= dense_bytes(weights)


def test_the_compressed_size_is_that_of_the_file(tmp_path: Path) -> None:
    weights = {"a": torch.randn(64, 32), "b": torch.randn(7), "c": torch.randn(3, 3, 3, 3)}
    masks = {"a": torch.rand(64, 32) < 0.1, "c": torch.ones(3, 3, 3, 3, dtype=torch.bool)}
    save_file(pack(weights, masks), tmp_path / "model.safetensors")
    assert compressed_bytes(weights, masks) == (tmp_path / "model.safetensors").stat().st_size
    back = unpack(load_file(tmp_path / "model.safetensors"), {name: weight.shape for name, weight in weights.items()})
    assert torch.equal(back["a"], weights["a"].masked_fill(~masks["a"], 0))


def test_a_tenth_of_the_weights_takes_a_tenth_of_the_values_and_a_bit_for_each() -> None:
    weights, mask = {"a": torch.randn(100, 100)}, torch.zeros(100, 100, dtype=torch.bool)
    mask.view(-1)[:1000] = True
    assert dense_bytes(weights) == 40_000
    assert dense_bytes(pack(weights, {"a": mask})) == 1000 * 4 + 10_000 / 8


def test_a_layer_of_which_nothing_is_left_is_its_bits() -> None:
    weights, masks = {"a": torch.zeros(80, 10)}, {"a": torch.zeros(80, 10, dtype=torch.bool)}
    assert dense_bytes(pack(weights, masks)) == 100
    assert not unpack(pack(weights, masks), {"a": torch.Size([80, 10])})["a"].any()


@pytest.mark.parametrize(("kept", "packed"), [(30, True), (31, False), (32, False)])
def test_a_mask_that_does_not_pay_is_left_out(kept: int, packed: bool) -> None:
    """32 weights of 4 bytes: 30 kept are 120 bytes and 4 of bits, less than 128; 31 are 124 and 4."""
    mask = torch.arange(32) < kept
    assert ("a.mask" in pack({"a": torch.randn(32)}, {"a": mask})) is packed


def test_weights_that_share_memory_are_measured_all_the_same() -> None:
    pool = torch.randn(100)
    shared, apart = {"a": pool[:60], "b": pool[40:]}, {"a": torch.randn(60), "b": torch.randn(60)}
    assert compressed_bytes(shared, {}) == compressed_bytes(apart, {})


def test_the_weights_are_left_as_they_were() -> None:
    weight = torch.randn(8, 8)
    before, mask = weight.clone(), torch.rand(8, 8) < 0.5
    unpack(pack({"a": weight}, {"a": mask}), {"a": weight.shape})
    assert torch.equal(weight, before)
