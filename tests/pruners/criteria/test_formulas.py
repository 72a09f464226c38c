"""Criteria against formulas computed another way, in float64 on small networks."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from bench.errors import CellError
from pruners.base import Criterion, View
from pruners.criteria.fisher import Fisher
from pruners.criteria.grasp import Grasp
from pruners.criteria.magnitude import Magnitude
from pruners.criteria.random import Random
from pruners.criteria.snip import Snip
from pruners.criteria.synflow import SynFlow
from pruners.criteria.wanda import Wanda
from tests.pruners.criteria.networks import NETWORKS, example_gradients, vector, view_of

CRITERIA = [Random, Magnitude, Snip, Grasp, SynFlow, Wanda, Fisher]


def rank_correlation(one: Tensor, other: Tensor) -> float:
    """Spearman's. Two neighbours of n swapped cost 12 / n^3, above 1e-9 up to n = 2,000."""
    return float(spearmanr(one.numpy(), other.numpy()).statistic)


@pytest.mark.parametrize("network", NETWORKS)
def test_snip_is_the_share_of_the_mean_gradient_over_examples_times_the_weight(network: str) -> None:
    view = view_of(network)
    expected = (example_gradients(view).mean(0) * vector(view.weights)).abs()
    found = vector(Snip().score(view))
    torch.testing.assert_close(found, expected / expected.sum(), rtol=1e-9, atol=0)
    assert rank_correlation(found, expected) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("network", NETWORKS)
def test_fisher_is_half_the_squared_weight_times_the_mean_of_squared_example_gradients(network: str) -> None:
    view = view_of(network)
    expected = vector(view.weights) ** 2 * (example_gradients(view) ** 2).mean(0) / 2
    found = vector(Fisher().score(view))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12 * float(expected.max()))
    assert rank_correlation(found, expected) == pytest.approx(1.0, abs=1e-9)


def test_fisher_does_not_depend_on_how_examples_are_batched() -> None:
    view = view_of("mlp")
    halves = [{name: values[:2] for name, values in batch.items()} for batch in view.batches()]
    rests = [{name: values[2:] for name, values in batch.items()} for batch in view.batches()]
    found = vector(Fisher().score(replace(view, batches=lambda: iter([*halves, *rests]))))
    torch.testing.assert_close(found, vector(Fisher().score(view)), rtol=1e-12, atol=0)


def test_fisher_of_a_loss_that_the_weights_do_not_touch_is_zero() -> None:
    view = view_of("mlp")
    view = replace(view, forward=lambda model, batch: batch["x"][:, :3])
    assert all(bool((values == 0).all()) for values in Fisher().score(view).values())


def slope_at(view: View, point: Tensor) -> Tensor:
    """Mean gradient at temperature 200 with ``point`` for weights."""
    with torch.no_grad():
        start = 0
        for weight in view.weights.values():
            weight.copy_(point[start : start + weight.numel()].view_as(weight))
            start += weight.numel()
    return example_gradients(view, 200.0).mean(0)


@pytest.mark.parametrize("network", NETWORKS)
def test_grasp_is_the_weight_times_the_hessian_s_product_with_the_gradient(network: str) -> None:
    view = view_of(network)
    found = vector(Grasp().score(view))
    here = vector(view.weights)
    slope = slope_at(view, here)
    # Central differences of the gradient along itself, h |slope| = 1e-4, and Richardson's extrapolation of them: the
    # error is of order (1e-4)^4.
    along = slope / slope.norm()

    def difference(step: float) -> Tensor:
        return (slope_at(view, here + step * along) - slope_at(view, here - step * along)) / (2 * step)

    product = (4 * difference(5e-4) - difference(1e-3)) / 3 * slope.norm()
    expected = here * product
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-7 * float(expected.abs().max()))
    large = expected.abs() > 1e-5 * expected.abs().max()  # below, the differences' own error decides the order
    assert large.float().mean() > 0.5
    assert rank_correlation(found[large], expected[large]) == pytest.approx(1.0, abs=1e-6)


def exact_hessian_product(view: View) -> Tensor:
    """The whole Hessian of the mean loss at temperature 200, row by row, times the gradient."""
    names = list(view.weights)
    batches = list(view.batches())
    size = sum(len(batch["y"]) for batch in batches)

    def loss(*values: Tensor) -> Tensor:
        total = torch.zeros((), dtype=torch.float64)
        for batch in batches:
            outputs = torch.func.functional_call(view.model, dict(zip(names, values, strict=True)), (batch["x"],))
            total = total + view.loss(outputs / 200.0, batch) * len(batch["y"]) / size
        return total

    values = tuple(weight.detach() for weight in view.weights.values())
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        slope = torch.func.grad(loss, argnums=tuple(range(len(names))))(*values)
        rows = torch.autograd.functional.hessian(loss, values)
    flat_slope = torch.cat([part.reshape(-1) for part in slope])
    matrix = torch.cat(
        [
            torch.cat([block.reshape(one.numel(), other.numel()) for block, other in zip(row, values, strict=True)], 1)
            for row, one in zip(rows, values, strict=True)
        ]
    )
    return (matrix @ flat_slope).detach()


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("batches", [1, 2])
def test_grasp_ranks_as_the_explicit_hessian_does(network: str, batches: int) -> None:
    view = view_of(network)
    shown = list(view.batches())[:batches]
    view = replace(view, batches=lambda: iter(shown))
    found = vector(Grasp().score(view))
    expected = vector(view.weights) * exact_hessian_product(view)
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-10 * float(expected.abs().max()))
    large = expected.abs() > 1e-8 * expected.abs().max()
    assert large.float().mean() > 0.9
    assert rank_correlation(found[large], expected[large]) == pytest.approx(1.0, abs=1e-9)
    assert (found < 0).any() and (found > 0).any()


def linear_chain() -> tuple[nn.Module, View]:
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Linear(5, 7, bias=False), nn.ReLU(), nn.Linear(7, 6, bias=False), nn.ReLU(), nn.Linear(6, 2, bias=False)
    )
    view = replace(
        view_of("mlp"),
        model=model.eval(),
        weights=dict(model.named_parameters()),
        example={"x": torch.randn(1, 5)},
    )
    return model, view


def test_a_synflow_pass_is_the_product_of_absolute_matrices() -> None:
    model, view = linear_chain()
    a, b, c = (model.get_parameter(f"{index}.weight").detach().double().abs() for index in (0, 2, 4))
    ones_in, ones_out = torch.ones(5).double(), torch.ones(2).double()
    # R = 1' C B A 1, so dR/dW is (what comes after, transposed, times ones) times (what came before)'.
    expected = {
        "0.weight": torch.outer(b.T @ c.T @ ones_out, ones_in) * a,
        "2.weight": torch.outer(c.T @ ones_out, a @ ones_in) * b,
        "4.weight": torch.outer(ones_out, b @ a @ ones_in) * c,
    }
    found = SynFlow().score(view)
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, rtol=1e-12, atol=0)
    assert rank_correlation(vector(found), vector(expected)) == pytest.approx(1.0, abs=1e-12)
    # What flows through one layer flows through each (Tanaka et al. 2020, section 4).
    torch.testing.assert_close(*(found[name].sum() for name in ("0.weight", "4.weight")))


def test_synflow_takes_biases_and_buffers_by_their_absolute_value_too() -> None:
    view = view_of("conv")
    positive = copy.deepcopy(view.model)
    with torch.no_grad():
        for tensor in [*positive.parameters(), *positive.buffers()]:
            tensor.abs_()
    positive(torch.ones(1, 2, 4, 4).double()).sum().backward()
    found = SynFlow().score(view)
    for name, values in found.items():
        weight = positive.get_parameter(name)
        assert weight.grad is not None
        torch.testing.assert_close(values, (weight * weight.grad).abs().detach(), rtol=1e-10, atol=1e-14)


def test_synflow_s_ones_go_in_at_the_embedding_whatever_the_tokens() -> None:
    view = view_of("transformer")
    found = SynFlow().score(view)
    other = SynFlow().score(replace(view, example={"x": torch.tensor([[7, 7, 1, 0, 10]])}, scratch={}))
    assert all(torch.equal(found[name], other[name]) for name in found)
    # Uniform attention: queries and keys have no gradient but rounding error.
    queries_and_keys, values = found["qkv.weight"].split([16, 8])
    assert float(queries_and_keys.max()) < 1e-12 * float(values.max())


def test_an_embedding_that_is_to_be_pruned_takes_part_in_synflow() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.EmbeddingBag(4, 3, mode="sum"), nn.Linear(3, 2, bias=False))
    view = replace(
        view_of("mlp"),
        model=model.eval(),
        weights=dict(model.named_parameters()),
        example={"x": torch.tensor([[0, 2]])},
    )
    found = SynFlow().score(view)
    rows, out = (model.get_parameter(name).detach().double().abs() for name in ("0.weight", "1.weight"))
    torch.testing.assert_close(found["0.weight"], rows * out.sum(0))
    torch.testing.assert_close(found["1.weight"], out * rows.sum(0))


def test_synflow_says_so_where_nothing_flows() -> None:
    model = nn.Sequential(nn.Embedding(5, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    view = replace(
        view_of("mlp"), model=model, weights={"2.weight": model[2].weight}, example={"x": torch.tensor([[1, 2]])}
    )
    with pytest.raises(CellError, match="every SynFlow score is 0: the all-ones input does not reach the outputs"):
        SynFlow().score(view)


class Flattening(nn.Module):
    """Flattens with ``view``, which memory in channels-last order does not allow."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3)
        self.out = nn.Linear(12, 2)

    def forward(self, image: Tensor) -> Tensor:
        return self.out(self.conv(image).view(len(image), -1))


def test_synflow_leaves_a_model_its_layout_where_it_insists() -> None:
    model = Flattening().eval()
    view = replace(
        view_of("mlp"),
        model=model,
        weights={"conv.weight": model.conv.weight, "out.weight": model.out.weight},
        example={"x": torch.zeros(1, 2, 4, 4)},
    )
    kernel, matrix = model.conv.weight.detach().double().abs(), model.out.weight.detach().double().abs()
    # Each of a channel's kernel entries meets ones at the 4 places of the output, each weighed by the next layer.
    expected = kernel * matrix.sum(0).reshape(3, 4).sum(1).reshape(3, 1, 1, 1)
    torch.testing.assert_close(SynFlow().score(view)["conv.weight"], expected)


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("training", [False, True])
def test_a_criterion_leaves_the_model_as_it_found_it(criterion: type[Criterion], network: str, training: bool) -> None:
    view = view_of(network)
    view.model.train(training)
    first, *others = view.weights.values()
    first.requires_grad_(False)
    others[0].grad = torch.full_like(others[0], 7.0)
    before = copy.deepcopy(view.model.state_dict())
    modes = [module.training for module in view.model.modules()]
    scores = criterion().score(view)
    assert {name: values.shape for name, values in scores.items()} == {n: w.shape for n, w in view.weights.items()}
    assert not any(values.requires_grad for values in scores.values())
    after = view.model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)
    assert [module.training for module in view.model.modules()] == modes
    assert [weight.requires_grad for weight in view.weights.values()] == [False] + [True] * len(others)
    assert first.grad is None and others[0].grad is not None and bool((others[0].grad == 7).all())
    assert all(weight.grad is None for weight in others[1:])
    assert all(parameter.grad is None for name, parameter in view.model.named_parameters() if name not in view.weights)


@pytest.mark.parametrize("criterion", [Magnitude, Snip, Grasp, SynFlow, Wanda, Fisher])
def test_a_masked_weight_scores_zero(criterion: type[Criterion]) -> None:
    view = view_of("conv")
    masks = {name: torch.rand(weight.shape) < 0.5 for name, weight in view.weights.items()}
    with torch.no_grad():
        for name, weight in view.weights.items():
            weight.mul_(masks[name])
    scores = criterion().score(replace(view, masks=masks))
    assert all((scores[name][~mask] == 0).all() for name, mask in masks.items())
    assert all((scores[name][mask] != 0).any() for name, mask in masks.items())


def test_the_data_criteria_say_so_where_there_are_no_batches() -> None:
    for criterion in (Snip(), Grasp(), Wanda(), Fisher()):
        with pytest.raises(CellError, match="no scoring batches"):
            criterion.score(replace(view_of("mlp"), batches=lambda: iter(())))


def test_grasp_says_so_where_the_model_has_no_second_derivative() -> None:
    model = nn.Sequential(nn.EmbeddingBag(4, 3), nn.Linear(3, 3)).eval()
    batch = {"x": torch.tensor([[0, 2], [1, 1]]), "y": torch.tensor([0, 2])}
    view = replace(view_of("mlp"), model=model, weights=dict(model.named_parameters()), batches=lambda: iter([batch]))
    with pytest.raises(CellError, match="the model has no second derivative, which GraSP needs"):
        Grasp().score(view)


def test_snip_without_any_gradient_is_zero_and_finite() -> None:
    view = replace(view_of("mlp"), loss=lambda outputs, batch: (outputs * 0).sum())
    assert all((values == 0).all() for values in Snip().score(view).values())


def test_random_is_uniform_a_function_of_its_stream_alone_and_has_no_ties() -> None:
    view = replace(view_of("mlp"), weights={"w": torch.empty(1000, 1000)})
    (one,), (two,) = (
        list(Random().score(replace(view, generator=torch.Generator().manual_seed(seed))).values()) for seed in (5, 5)
    )
    assert torch.equal(one, two)
    other = Random().score(replace(view, generator=torch.Generator().manual_seed(6)))["w"]
    assert not torch.equal(one, other)
    assert len(one.unique()) == one.numel()
    # The mean of n uniform draws has standard deviation 1 / sqrt(12 n) = 0.00029.
    assert abs(float(one.mean()) - 0.5) < 5 * 0.00029


def test_magnitude_is_the_absolute_value() -> None:
    view = view_of("mlp")
    assert torch.equal(vector(Magnitude().score(view)), vector(view.weights).abs())
