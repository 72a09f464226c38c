"""The three model families against their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.measure.flops import dense_flops
from tasks.msmarco_rerank import conformer_kernel, losses, postings
from tasks.msmarco_rerank.build import inverse_frequency, prunable
from tasks.msmarco_rerank.conformer import ConformerLayer, SeparableAttention
from tasks.msmarco_rerank.conformer_kernel import ConformerKernel, Explicit, Latent, Shape
from tasks.msmarco_rerank.conv_knrm import CENTRES, GAIN, WIDTHS, ConvKnrm
from tasks.text import TokenRows
from tests.tasks.msmarco_rerank.opening import built, sampled

SHAPE = Shape(width=8, layers=2, heads=2, d_ff=12, kernel=3, groups=2, window=4, stride=2, dropout=0.0)
VOCABULARY = 12


def kernel_model(variant: str, shape: Shape = SHAPE) -> ConformerKernel:
    torch.manual_seed(1)
    latent = Latent(VOCABULARY, shape) if variant != "ndrm2" else None
    explicit = Explicit(torch.rand(VOCABULARY) * 3, 5.0, 0.9, 0.4) if variant != "ndrm1" else None
    model = ConformerKernel(latent, explicit).double()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
        if latent is not None:
            latent.embedding.weight[0] = 0
        if variant == "ndrm3":
            model.norm.running_mean.copy_(torch.tensor([0.3, 1.0]))  # type: ignore[operator]
            model.norm.running_var.copy_(torch.tensor([0.5, 2.0]))  # type: ignore[operator]
    return model.eval()


# Conv-KNRM


def knrm_by_hand(model: ConvKnrm, query: list[int], document: list[int]) -> float:
    """The paper's formulas, one n-gram and one kernel at a time."""

    def grams(ids: list[int], size: int) -> list[Tensor]:
        table, layer = model.embedding.weight, model.convolutions[size - 1]
        padded = [table[token] for token in ids] + [torch.zeros_like(table[0])] * (size - 1)
        found = []
        for place in range(len(ids)):
            window = torch.stack(padded[place : place + size], dim=1)
            found.append(torch.relu((layer.weight * window).sum((1, 2)) + layer.bias))
        return found

    features = []
    for left in (1, 2, 3):
        for right in (1, 2, 3):
            for centre, width in zip(CENTRES, WIDTHS, strict=True):
                phi = 0.0
                for one in grams(query, left):
                    total = 0.0
                    for other in grams(document, right):
                        cosine = float(one @ other / (one.norm() * other.norm()).clamp(min=1e-30))
                        total += math.exp(-((cosine - centre) ** 2) / (2 * width**2))
                    phi += 0.01 * math.log(max(total, 1e-10))
                features.append(phi)
    return float(model.dense.weight[0].detach().numpy() @ np.asarray(features)) * GAIN


def small_knrm() -> ConvKnrm:
    torch.manual_seed(0)
    return ConvKnrm(VOCABULARY, 5, 6, 3).double()


def test_conv_knrm_is_its_formula_whatever_the_padding() -> None:
    model = small_knrm()
    with torch.no_grad():
        model.dense.weight.normal_()
        found = model(torch.tensor([[4, 5, 0], [6, 0, 0]]), torch.tensor([[7, 4, 5, 8], [6, 9, 0, 0]]))
    by_hand = [knrm_by_hand(model, [4, 5], [7, 4, 5, 8]), knrm_by_hand(model, [6], [6, 9])]
    assert found.tolist() == pytest.approx(by_hand, rel=1e-4)


def test_an_unknown_query_word_matches_no_unknown_word() -> None:
    model = small_knrm()
    document = torch.tensor([[1, 4, 5]])
    with torch.no_grad():
        assert float(model(torch.tensor([[1]]), document)) == 0.0


def test_the_score_can_be_differentiated_twice_even_with_a_dead_filter_bank() -> None:
    model = small_knrm()
    with torch.no_grad():
        model.convolutions[0].bias.fill_(-100)  # type: ignore[operator]  # every unigram vector is zero
    weight = model.convolutions[1].weight
    (first,) = torch.autograd.grad(
        model(torch.tensor([[4, 5]]), torch.tensor([[5, 6]])).sum(), [weight], create_graph=True
    )
    second = torch.autograd.grad((first * first).sum(), list(model.parameters()), materialize_grads=True)
    assert bool(first.any()) and all(bool(torch.isfinite(part).all()) for part in second)


# Conformer-Kernel


def test_separable_attention_is_its_formula() -> None:
    torch.manual_seed(0)
    layer = SeparableAttention(6, 2).double()
    states, there = torch.randn(1, 4, 6, dtype=torch.double), torch.tensor([[1.0, 1, 1, 0]], dtype=torch.double)
    shared, values = layer.query_key(states)[0], layer.value(states)[0]
    heads = []
    for columns in (slice(0, 3), slice(3, 6)):
        keys = torch.softmax(shared[:3, columns], dim=0)  # the fourth position is padding
        heads.append(torch.softmax(shared[:, columns], dim=1) @ (keys.T @ values[:3, columns]))
    torch.testing.assert_close(layer(states, there)[0], layer.output(torch.cat(heads, dim=1)))


def latent_by_hand(model: Latent, term: int, ids: list[int]) -> float:
    """Kernel sums over each window of 4 at a stride of 2, the last one cut by the passage's end; the best counts."""
    vectors = model.encode(torch.tensor([ids]))[0]
    asked = model.term(model.embedding.weight[term])
    cosines = [float(asked @ one / asked.norm() / one.norm()) for one in vectors]
    windows = max(1, math.ceil((len(ids) - 4) / 2) + 1)
    scores = []
    for start in range(0, 2 * windows, 2):
        sums = [
            sum(math.exp(-((x - (1 - 0.2 * k)) ** 2) / 0.02) for x in cosines[start : start + 4]) for k in range(10)
        ]
        logs = torch.tensor([0.1 * math.log(max(total, 1e-10)) for total in sums], dtype=torch.double)
        scores.append(float(model.combine(logs)))
    return max(scores)


@pytest.mark.parametrize("length", [1, 3, 4, 5, 6, 9])
def test_the_latent_score_is_that_of_the_best_window_whatever_the_padding(length: int) -> None:
    model = kernel_model("ndrm1")
    ids = [2 + place % 9 for place in range(length)]
    padded = torch.tensor([ids + [0] * (11 - length), [3] * 11])
    with torch.no_grad():
        found = model.term_scores(torch.tensor([[5, 7], [5, 7]]), model.encode(padded))[0]
        assert model.latent is not None
        by_hand = [latent_by_hand(model.latent, term, ids) for term in (5, 7)]
    assert found.tolist() == pytest.approx(by_hand, abs=1e-6)


def test_the_explicit_score_starts_as_bm25() -> None:
    idf = torch.arange(VOCABULARY, dtype=torch.float64)
    model = ConformerKernel(None, Explicit(idf, 4.0, k1=0.9, b=0.4))
    query, document = torch.tensor([[5, 7, 0]]), torch.tensor([[5, 5, 6, 8, 9, 0]])
    # tf = 2 of term 5, none of 7; 5 terms where the mean is 4: idf tf / (tf + k1 (1 - b + b 5/4)).
    expected = 5 * 2 / (2 + 0.9 * (0.6 + 0.4 * 5 / 4))
    assert float(model(query, document)) == pytest.approx(expected, rel=1e-5)


def test_inverse_frequency_counts_passages_and_not_occurrences() -> None:
    passages = TokenRows(np.asarray([2, 2, 3, 2], dtype=np.int32), np.asarray([0, 3, 4]))
    found = inverse_frequency(5, passages).tolist()
    assert found[2] == pytest.approx(math.log(1 + 0.5 / 2.5)) and found[3] == pytest.approx(math.log(2))
    assert found[4] == pytest.approx(math.log(1 + 2.5 / 0.5))


@pytest.mark.parametrize("variant", ["ndrm1", "ndrm2", "ndrm3"])
def test_posting_lists_sum_up_to_the_scores_of_pairs(variant: str) -> None:
    model = kernel_model(variant).float()
    generator = np.random.default_rng(0)
    texts = [generator.integers(1, VOCABULARY, size=int(size)) for size in generator.integers(1, 12, size=30)]
    asked = [[4, 5, 4], [1, 9], [1], [11, 2, 3, 4]]  # a term twice, an unknown one, nothing else
    passages, queries = (
        TokenRows(np.concatenate(rows).astype(np.int32), np.cumsum([0, *map(len, rows)])) for rows in (texts, asked)
    )
    found = postings.retrieve(model, queries, passages, None, 10)
    with torch.no_grad():
        pairs = [
            [float(model(torch.tensor([query]), torch.tensor([text[:10].tolist()]))) for text in texts]
            for query in asked
        ]
    np.testing.assert_allclose(found, pairs, rtol=1e-5, atol=1e-5)


def test_the_batch_norm_of_ndrm3_sees_no_padded_term() -> None:
    model = kernel_model("ndrm3").train()
    document = torch.tensor([[5, 6, 7], [7, 8, 9]])
    model(torch.tensor([[5, 6, 0, 0], [7, 1, 0, 0]]), document)
    padded = model.norm.running_mean.clone()  # type: ignore[operator]
    again = kernel_model("ndrm3").train()
    scores = torch.stack([again.latent(torch.tensor([[5, 6], [7, 7]]), again.encode(document)).flatten()[:3]])  # type: ignore[misc]
    expected = 0.9 * 0.3 + 0.1 * float(scores.mean())
    assert float(padded[0]) == pytest.approx(expected, rel=1e-6)


# What is pruned, and what it costs


def test_kernel_layers_embeddings_norms_and_heads_are_never_prunable() -> None:
    assert prunable(small_knrm()) == tuple(f"convolutions.{n}.weight" for n in range(3))
    names = prunable(kernel_model("ndrm3"))
    layer = [f"{part}.weight" for part in ("convolution", "attention.query_key", "attention.value", "attention.output",
                                           "inner", "outer")]  # fmt: skip
    assert names == ("latent.term.weight", *(f"latent.layers.{n}.{part}" for n in range(2) for part in layer))
    bert = prunable(built(sampled()))
    assert len(bert) == 6 and all(name.startswith("encoder.encoder.layer.0.") for name in bert)


def test_flops_of_conv_knrm_are_those_counted_by_hand() -> None:
    task = sampled(model="conv-knrm", query_length=6, length=40)
    model = built(task)
    width, filters = 16, 8
    convolutions = sum(2 * size * width * filters * (6 + 40) for size in (1, 2, 3))
    matches = 9 * 2 * 6 * 40 * filters
    dense = 2 * 99
    example = task.example()
    counted = dense_flops(model, lambda: task.forward(model, example))
    assert counted.total == convolutions + matches + dense
    assert counted.layers["convolutions.1.weight"][1] == 2 * 2 * width * filters * 46


def test_flops_of_a_conformer_layer_are_linear_in_the_length() -> None:
    layer = ConformerLayer(8, 12, 2, 3, 2, 0.0)

    def flops(length: int) -> int:
        return dense_flops(layer, lambda: layer(torch.zeros(1, length, 8), torch.ones(1, length))).total

    convolution, projections, feed_forward = 2 * 3 * 8 * 8 // 2, 3 * 2 * 8 * 8, 2 * 2 * 8 * 12
    attention = 2 * (2 * 2 * 4 * 4)  # two products of 4 x 4 features, two heads
    assert flops(10) == 10 * (convolution + projections + feed_forward + attention)
    assert flops(30) == 3 * flops(10)


def test_flops_of_the_cross_encoder_are_those_counted_by_hand() -> None:
    task = sampled(length=40)
    model = built(task)
    example = task.example()
    projections, feed_forward, attention, head = (
        4 * 2 * 16 * 16 * 40,
        2 * 2 * 16 * 16 * 40,
        2 * 2 * 40 * 40 * 16,
        2 * 16,
    )
    assert example["input_ids"].shape == (1, 1, 40)
    counted = dense_flops(model, lambda: task.forward(model, example))
    assert counted.total == projections + feed_forward + attention + head


def test_a_cross_encoder_offers_its_neurons_and_heads_and_the_others_nothing() -> None:
    assert [(one.kind, one.units) for one in sampled().couplings(built(sampled()))] == [("rows", 16), ("heads", 2)]
    for model in ("conv-knrm", "conformer-kernel"):
        task = sampled(model=model)
        assert task.couplings(built(task)) == ()


# Losses


def test_losses_are_their_formulas() -> None:
    scores = torch.tensor([[2.0, 1.0, 3.5], [0.0, -4.0, 0.5]])
    soft = [math.log(1 + math.exp(-1) + math.exp(1.5)), math.log(1 + math.exp(-4) + math.exp(0.5))]
    assert float(losses.listwise(scores)) == pytest.approx(sum(soft) / 2)
    gaps = [-1.0, 1.5, -4.0, 0.5]
    assert float(losses.ranknet(scores)) == pytest.approx(sum(math.log(1 + math.exp(gap)) for gap in gaps) / 4)
    assert float(losses.margin(scores)) == pytest.approx((0 + 2.5 + 0 + 1.5) / 4)
    signed = [-2.0, 1.0, 3.5, 0.0, -4.0, 0.5]
    assert float(losses.pointwise(scores)) == pytest.approx(sum(math.log(1 + math.exp(x)) for x in signed) / 6)


def test_two_outputs_score_by_their_difference() -> None:
    torch.manual_seed(0)
    model = sampled(outputs=2).build(0).eval()
    batch = sampled().example()
    with torch.no_grad():
        score = float(sampled().forward(model, batch))
        model.head.weight[:] = model.head.weight.flip(0)
        assert float(sampled().forward(model, batch)) == pytest.approx(-score, abs=1e-6)


def test_the_conformer_kernel_s_centres_are_the_paper_s() -> None:
    assert list(conformer_kernel.CENTRES) == pytest.approx([1.0, 0.8, 0.6, 0.4, 0.2, 0.0, -0.2, -0.4, -0.6, -0.8])
