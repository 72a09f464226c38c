"""The encoder-decoder: the source's function, initial weights, derivatives, FLOPs and units."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bench.masks.compact import without
from bench.measure.flops import dense_flops
from tasks.multi30k.model import Seq2SeqTransformer, Shape, sinusoids
from tasks.multi30k.scratch import Scratch
from tests.tasks.multi30k.opening import given, sampled, tiny

PROJECTIONS = ("q_proj", "k_proj", "v_proj")


def reference(model: Seq2SeqTransformer) -> nn.Transformer:
    """torch's own transformer with the model's weights."""
    shape = model.shape
    twin = nn.Transformer(
        shape.d_model,
        shape.heads,
        shape.layers,
        shape.decoder_layers,
        shape.d_ff,
        shape.dropout,
        norm_first=shape.pre_norm,
        batch_first=True,
    )
    weights = dict(model.state_dict())
    for name in twin.state_dict():
        if "in_proj_" in name:
            stem, kind = name.rsplit("in_proj_", 1)
            weights[name] = torch.cat([weights[f"{stem}{projection}.{kind}"] for projection in PROJECTIONS])
    twin.load_state_dict({name: weights[name] for name in twin.state_dict()})
    return twin.eval()


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("pre_norm", [False, True])
def test_the_model_computes_what_torch_s_transformer_does(pre_norm: bool) -> None:
    model = tiny(pre_norm=pre_norm)
    source = torch.tensor([[2, 9, 8, 7, 3], [2, 5, 3, 1, 1]])
    target = torch.tensor([[2, 4, 5, 6], [2, 7, 3, 1]])
    twin = reference(model)
    codes = sinusoids(10, 16)
    embedded = [
        embedding.embedding(ids) * 4 + codes[: ids.shape[1]]  # the root of the width of 16
        for embedding, ids in ((model.src_tok_emb, source), (model.tgt_tok_emb, target))
    ]
    with torch.no_grad():
        states = twin(
            *embedded,
            tgt_mask=nn.Transformer.generate_square_subsequent_mask(4),
            src_key_padding_mask=(source == 1).float().masked_fill(source == 1, -torch.inf),
            memory_key_padding_mask=(source == 1).float().masked_fill(source == 1, -torch.inf),
        )
        expected = model.generator(states)
        torch.testing.assert_close(model(source, target), expected, rtol=1e-4, atol=1e-5)


def test_positions_are_sines_and_cosines_of_falling_rates() -> None:
    codes = sinusoids(50, 8)
    assert codes[7, 0] == pytest.approx(torch.sin(torch.tensor(7.0)))
    assert codes[7, 3] == pytest.approx(torch.cos(torch.tensor(0.7)))  # 7 / 10000^(2/8)


def test_the_source_s_model_has_its_sizes_and_glorot_s_weights() -> None:
    torch.manual_seed(0)
    model = Seq2SeqTransformer(Shape(19_214, 10_837, 10, 1))
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    assert shapes["generator.weight"] == (10_837, 512) and shapes["src_tok_emb.embedding.weight"] == (19_214, 512)
    attention, forward = 4 * (512 * 512 + 512), 2 * (512 * 512 + 512)
    body = 3 * (attention + forward + 2 * 1024) + 3 * (2 * attention + forward + 3 * 1024) + 2 * 1024
    assert sum(p.numel() for p in model.parameters()) == body + 19_214 * 512 + 10_837 * (512 + 512 + 1)
    layer = model.decoder.layers[0]
    # U(-a, a) with a = sqrt(6 / (rows + columns)); queries, keys and values are drawn as one matrix of 1,536 rows.
    for weight, limit in (
        (layer.self_attn.q_proj.weight, (6 / 2_048) ** 0.5),
        (layer.multihead_attn.out_proj.weight, (6 / 1_024) ** 0.5),
        (layer.linear1.weight, (6 / 1_024) ** 0.5),
        (model.tgt_tok_emb.embedding.weight, (6 / 11_349) ** 0.5),
    ):
        assert 0.999 * limit < weight.abs().max() <= limit
        assert weight.detach().std() == pytest.approx(limit / 3**0.5, rel=0.01)
    assert torch.equal(layer.self_attn.q_proj.bias, torch.zeros(512))


def test_the_loss_can_be_derived_twice() -> None:
    task = given()
    model = tiny(pre_norm=False, vocabulary=40).double()
    (batch,) = task.batches("test", seed=0, size=3)
    names = ["encoder.layers.0.self_attn.q_proj.weight", "decoder.layers.1.multihead_attn.v_proj.weight"]
    weights = tuple(model.get_parameter(name)[:2].detach().clone().requires_grad_() for name in names)

    def loss(*rows: Tensor) -> Tensor:
        whole = {
            name: torch.cat([top, model.get_parameter(name)[2:].detach()])
            for name, top in zip(names, rows, strict=True)
        }
        return task.loss(torch.func.functional_call(model, whole, (batch["source"], batch["target"])), batch)

    assert torch.autograd.gradgradcheck(loss, weights, atol=1e-4)


@pytest.mark.parametrize("pre_norm", [False, True])
def test_flops_are_those_of_a_hand_count(pre_norm: bool) -> None:
    d, ff, source, target, vocabulary = 16, 24, 7, 5, 30
    model = tiny(pre_norm=pre_norm)
    # Multiply-adds of a layer: four projections and QK^T, AV over all pairs of positions; two feed-forward matrices.
    encoder = source * (4 * d * d + 2 * d * ff) + 2 * source * source * d
    own = target * 4 * d * d + 2 * target * target * d
    across = target * 2 * d * d + source * 2 * d * d + 2 * target * source * d
    decoder = own + across + target * 2 * d * ff
    by_hand = 2 * (2 * encoder + 2 * decoder + target * d * vocabulary)
    found = dense_flops(model, lambda: model(torch.full((1, source), 5), torch.full((1, target), 5)))
    assert found.total == by_hand
    assert found.layers["encoder.layers.0.self_attn.q_proj.weight"] == ("Linear", 2 * source * d * d)
    assert found.layers["decoder.layers.1.multihead_attn.k_proj.weight"] == ("Linear", 2 * source * d * d)


def test_prunable_are_the_matrices_of_encoder_and_decoder() -> None:
    task = sampled()
    model = task.build(0)
    names = task.prunable(model)
    assert len(names) == 2 * (4 + 2) + 2 * (8 + 2)
    sizes = [model.get_parameter(name).numel() for name in names]
    assert sum(sizes) == 2 * (4 * 64**2 + 2 * 64 * 128) + 2 * (8 * 64**2 + 2 * 64 * 128)


@pytest.mark.parametrize("kind", ["rows", "heads"])
def test_a_model_without_its_masked_units_computes_the_same(kind: str) -> None:
    task = sampled()
    route = task._route
    assert isinstance(route, Scratch)
    torch.manual_seed(3)
    model = task.build(0).eval()
    couplings = [coupling for coupling in route.couplings(model) if coupling.kind == kind]
    assert [c.units for c in couplings] == ([128] * 4 if kind == "rows" else [4] * 6)
    kept = {coupling.name: torch.arange(coupling.units) % 2 == 0 for coupling in couplings}
    with torch.no_grad():
        for coupling in couplings:
            for part in coupling.producers:
                gone = ~kept[coupling.name].repeat_interleave(part.width)
                model.get_parameter(part.parameter)[gone] = 0
    smaller = without(model, kept, couplings, task)
    assert sum(p.numel() for p in smaller.parameters()) < sum(p.numel() for p in model.parameters())
    batch = next(task.batches("test", seed=0, size=8))
    torch.testing.assert_close(task.forward(smaller, batch), task.forward(model, batch))
