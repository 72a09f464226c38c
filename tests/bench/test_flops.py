"""FLOPs: two per multiply-add, by hand, and what a mask leaves of them."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.measure.flops import OTHER, DenseFlops, dense_flops, effective_flops

LINEAR = 2 * 4 * 10 * 16 * 32  # batch 4, 10 tokens, 16 in, 32 out


def linear(tokens: int, inputs: int, outputs: int) -> int:
    """A product of (tokens, inputs) and (inputs, outputs); biases are not counted."""
    return 2 * tokens * inputs * outputs


def attention(batch: int, heads: int, length: int, head_width: int) -> int:
    """Q K^T and the weighted sum over V, of queries and keys of one length."""
    return 2 * (2 * batch * heads * length * length * head_width)


def test_a_linear_layer_counts_every_token() -> None:
    model = nn.Linear(16, 32)
    assert dense_flops(model, lambda: model(torch.rand(4, 10, 16))) == DenseFlops(
        LINEAR, {"weight": ("Linear", LINEAR)}
    )


@pytest.mark.parametrize("groups", [1, 2, 4, 8])
@pytest.mark.parametrize(("stride", "padding", "side"), [(1, 0, 6), (2, 1, 4), (1, 1, 8), (3, 0, 2)])
def test_a_convolution_counts_each_output_place(groups: int, stride: int, padding: int, side: int) -> None:
    """8 x 8 inputs of 8 channels: an output place takes (8 / groups) * 3 * 3 multiply-adds; depthwise at groups = 8."""
    model = nn.Conv2d(8, 16, 3, stride=stride, padding=padding, groups=groups)
    expected = 2 * 3 * (side * side) * 16 * (8 // groups) * 9
    found = dense_flops(model, lambda: model(torch.rand(3, 8, 8, 8)))
    assert found == DenseFlops(expected, {"weight": ("Conv2d", expected)})


def test_an_encoder_layer_counts_projections_attention_and_feed_forward() -> None:
    """torch's own layer, whose fused eval path and fused attention the counter alone takes for nothing."""
    batch, length, width, heads, inner = 2, 10, 32, 4, 64
    model = nn.TransformerEncoderLayer(width, heads, inner, batch_first=True)
    tokens = batch * length
    by_weight = {
        "self_attn.in_proj_weight": ("MultiheadAttention", linear(tokens, width, 3 * width)),
        "self_attn.out_proj.weight": ("NonDynamicallyQuantizableLinear", linear(tokens, width, width)),
        "linear1.weight": ("Linear", linear(tokens, width, inner)),
        "linear2.weight": ("Linear", linear(tokens, inner, width)),
    }
    found = dense_flops(model, lambda: model(torch.rand(batch, length, width)))
    assert found.layers == by_weight
    core = attention(batch, heads, length, width // heads)
    assert found.total == sum(spent for _, spent in by_weight.values()) + core
    assert effective_flops(found, {})[1][OTHER] == (core, core)


def test_fused_attention_on_the_cpu_is_counted() -> None:
    query = torch.rand(2, 4, 10, 8)
    found = dense_flops(nn.Identity(), lambda: functional.scaled_dot_product_attention(query, query, query))
    assert found == DenseFlops(attention(2, 4, 10, 8), {})


def test_an_lstm_is_counted_once_and_each_weight_for_itself() -> None:
    """Four gates, each a product with the input and one with the state before; 7 places, batch 3."""
    model = nn.LSTM(5, 6, batch_first=True)
    inputs, states = linear(3 * 7, 5, 4 * 6), linear(3 * 7, 6, 4 * 6)
    found = dense_flops(model, lambda: model(torch.rand(3, 7, 5))[0])
    assert found.layers == {"weight_ih_l0": ("LSTM", inputs), "weight_hh_l0": ("LSTM", states)}
    assert found.total == inputs + states
    assert effective_flops(found, {"weight_ih_l0": 0.5})[0] == inputs // 2 + states


class Twice(nn.Module):
    """One Linear called twice, and a tied one beside the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 8)
        self.body = nn.Linear(8, 8)
        self.head = nn.Linear(8, 50, bias=False)
        self.head.weight = self.embed.weight

    def encode(self, tokens: Tensor) -> Tensor:
        return self.body(self.body(self.embed(tokens)))  # type: ignore[no-any-return]

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.encode(tokens))  # type: ignore[no-any-return]


def test_a_layer_called_twice_counts_twice_and_a_tied_weight_under_its_first_name() -> None:
    model = Twice()
    found = dense_flops(model, lambda: model(torch.arange(5)))
    assert found.layers == {
        "body.weight": ("Linear", 2 * linear(5, 8, 8)),
        "embed.weight": ("Embedding", linear(5, 8, 50)),
    }
    assert found.total == 2 * linear(5, 8, 8) + linear(5, 8, 50)


@pytest.mark.parametrize("called", ["encode", "body", "functional"])
def test_a_weight_is_found_however_a_task_uses_it(called: str) -> None:
    """A task may call a part of its model, or take a weight itself; its FLOPs must still shrink with its mask."""
    model, inputs = Twice(), torch.rand(5, 8)
    uses: dict[str, Callable[[], Tensor]] = {
        "encode": lambda: model.encode(torch.arange(5)),
        "body": lambda: model.body(model.body(inputs)),
        "functional": lambda: inputs @ model.body.weight[:, :8].T @ model.body.weight,
    }
    found = dense_flops(model, uses[called])
    assert found.layers == {"body.weight": ("Linear", 2 * linear(5, 8, 8))}
    assert effective_flops(found, {"body.weight": 0.25})[0] == found.total // 4


def test_effective_flops_are_dense_ones_times_density_layer_by_layer() -> None:
    dense = DenseFlops(1000, {"a": ("Linear", 300), "b": ("Linear", 200), "c": ("Conv2d", 400)})
    assert effective_flops(dense, {}) == (
        1000,
        {"Linear": (500, 500), "Conv2d": (400, 400), OTHER: (100, 100)},
    )
    assert effective_flops(dense, {"a": 0.5, "c": 0.25, "unused": 0.1}) == (
        150 + 200 + 100 + 100,
        {"Linear": (500, 350), "Conv2d": (400, 100), OTHER: (100, 100)},
    )
    assert effective_flops(dense, {"a": 0.0, "b": 0.0, "c": 0.0})[0] == 100


def test_a_model_without_products_has_no_flops() -> None:
    model = nn.EmbeddingBag(10, 4)
    found = dense_flops(model, lambda: model(torch.tensor([[1, 2]])))
    assert effective_flops(found, {"weight": 0.5}) == (0, {})


def test_minilm_has_the_flops_of_its_formula() -> None:
    """6 layers, 384 wide, 12 heads, FFN 1536, batch 8 x 128 tokens: 22.9536 GFLOPs, pooler included.

    Without the pooler's product of the first tokens (8 x 384 x 384) it would be 22.9512.
    """
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    model = BertModel(
        BertConfig(vocab_size=100, hidden_size=384, num_hidden_layers=6, num_attention_heads=12, intermediate_size=1536)
    )
    batch, length, width, inner = 8, 128, 384, 1536
    tokens = batch * length
    layer = 4 * linear(tokens, width, width) + linear(tokens, width, inner) + linear(tokens, inner, width)
    pooler = linear(batch, width, width)
    total = 6 * (layer + attention(batch, 12, length, 32)) + pooler
    assert round(total / 1e9, 4) == 22.9536
    assert round((total - pooler) / 1e9, 4) == 22.9512
    found = dense_flops(model, lambda: model(torch.randint(100, (batch, length))).last_hidden_state)
    assert found.total == total
    assert sum(spent for _, spent in found.layers.values()) == 6 * layer + pooler
    assert effective_flops(found, {})[1] == {
        "Linear": (6 * layer + pooler,) * 2,
        OTHER: (6 * attention(batch, 12, length, 32),) * 2,
    }


def test_counting_leaves_the_model_and_the_settings_as_they_were() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Dropout(0.5), nn.Flatten(), nn.Linear(8, 2))
    model.train()
    model[1].eval()  # a frozen norm in a model in training
    before = copy.deepcopy(model.state_dict())
    modes = [module.training for module in model.modules()]
    settings = (torch.backends.mkldnn.enabled, torch.backends.cudnn.enabled, torch.backends.mha.get_fastpath_enabled())
    draws = torch.get_rng_state()
    dense_flops(model, lambda: model(torch.ones(2, 1, 4, 4)))

    def fail() -> Tensor:
        raise ValueError("no forward")

    with pytest.raises(ValueError, match="no forward"):
        dense_flops(model, fail)
    assert [module.training for module in model.modules()] == modes
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert settings == (
        torch.backends.mkldnn.enabled,
        torch.backends.cudnn.enabled,
        torch.backends.mha.get_fastpath_enabled(),
    )
    assert torch.equal(draws, torch.get_rng_state())
    assert torch.is_grad_enabled()
