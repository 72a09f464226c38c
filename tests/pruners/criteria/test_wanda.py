"""Wanda against norms computed another way, in float64 on small networks."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from bench.errors import CellError
from bench.masks.exact import cut
from pruners.allocation import global_, uniform
from pruners.base import View
from pruners.criteria.wanda import Wanda
from pruners.structure import weights as single
from tests.pruners.criteria.networks import NETWORKS, view_of


def seen_inputs(view: View, module: nn.Module) -> list[Tensor]:
    """What goes into ``module`` over the scoring batches."""
    seen: list[Tensor] = []
    hook = module.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    with torch.no_grad():
        for batch in view.batches():
            view.forward(view.model, batch)
    hook.remove()
    return seen


def norms(view: View, module: nn.Module) -> Tensor:
    """Norm of each input feature, by stacking all the vectors (patches of a convolution) that the layer meets."""
    if isinstance(module, nn.Conv2d):
        unfold = nn.Unfold(module.kernel_size, module.dilation, module.padding, module.stride)  # type: ignore[arg-type]
        vectors = [unfold(inputs).transpose(1, 2).flatten(0, 1) for inputs in seen_inputs(view, module)]
    else:
        vectors = [inputs.flatten(0, -2) for inputs in seen_inputs(view, module)]
    return (torch.cat(vectors) ** 2).sum(0) ** 0.5


def saliency(view: View, name: str) -> Tensor:
    """abs(w) norm2(x), one row an output."""
    return view.weights[name].detach().abs().flatten(1) * norms(view, view.model.get_submodule(name[:-7]))


def best_of_each_row(values: Tensor, keep: int) -> Tensor:
    return torch.zeros_like(values, dtype=torch.bool).scatter_(1, values.topk(keep, dim=1).indices, True)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_order_within_a_row_is_that_of_the_weight_times_its_input_s_norm(network: str) -> None:
    view = view_of(network)
    for name, scores in Wanda().score(view).items():
        expected = saliency(view, name)
        assert torch.equal(scores.flatten(1).argsort(1), expected.argsort(1))
        assert float(scores.min()) >= 0 and float(scores.max()) < 1


@pytest.mark.parametrize("network", NETWORKS)
def test_a_uniform_cut_keeps_the_best_of_each_row(network: str) -> None:
    view = view_of(network)
    # All of these networks' rows have an even length, so that a half is a whole number of weights in each.
    view = replace(view, weights={n: w for n, w in view.weights.items() if w[0].numel() % 2 == 0})
    masks = cut(Wanda().score(view), {}, 0.5, uniform, single)
    assert masks
    for name, mask in masks.items():
        expected = saliency(view, name)
        assert torch.equal(mask.flatten(1), best_of_each_row(expected, expected.shape[1] // 2))
    everywhere = cut(Wanda().score(view), {}, 0.5, global_, single)
    assert all(torch.equal(everywhere[name], mask) for name, mask in masks.items())


def test_rows_differ_by_one_weight_at_most_and_the_remainder_goes_where_the_saliency_is_largest() -> None:
    view = view_of("mlp")
    name = "0.weight"  # 9 rows of 6 weights; 20 of 54 stay: two a row, and two rows with three.
    view = replace(view, weights={name: view.weights[name]})
    mask = cut(Wanda().score(view), {}, 1 - 20 / 54, uniform, single)[name]
    assert sorted(mask.sum(1).tolist()) == [2] * 7 + [3] * 2
    third = saliency(view, name).sort(1, descending=True).values[:, 2]
    assert set(torch.nonzero(mask.sum(1) == 3).flatten().tolist()) == set(third.topk(2).indices.tolist())


def test_masked_weights_score_zero_and_a_second_cut_is_of_whole_rows_too() -> None:
    view = view_of("mlp")
    name = "2.weight"  # 3 rows of 9 weights
    view = replace(view, weights={name: view.weights[name]})
    first = cut(Wanda().score(view), {}, 1 / 3, uniform, single)
    with torch.no_grad():
        view.weights[name].mul_(first[name])
    scores = Wanda().score(replace(view, masks=first))
    assert bool((scores[name][~first[name]] == 0).all())
    second = cut(scores, first, 2 / 3, uniform, single)
    assert second[name].sum(1).tolist() == [3, 3, 3]


@pytest.mark.parametrize("settings", [{"groups": 2}, {"stride": 2, "padding": 2}, {"dilation": 2}])
def test_a_kernel_entry_s_feature_is_all_that_it_meets(settings: dict[str, int]) -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 6, 3, **settings).double()  # type: ignore[arg-type]
    images = torch.randn(3, 4, 7, 7).double()
    view = seeing(nn.Sequential(layer, nn.Flatten()), images)
    patches = nn.Unfold(layer.kernel_size, layer.dilation, layer.padding, layer.stride)(images)  # type: ignore[arg-type]
    groups = (patches**2).sum((0, 2)).sqrt().reshape(layer.groups, -1)
    expected = layer.weight.detach().abs().flatten(1) * groups.repeat_interleave(6 // layer.groups, 0)
    found = Wanda().score(view)["0.weight"].flatten(1)
    assert torch.equal(found.argsort(1), expected.argsort(1))


def seeing(model: nn.Module, inputs: Tensor) -> View:
    """The view of a model that is shown ``inputs``, its matrices and kernels prunable."""
    return replace(
        view_of("mlp"),
        model=model,
        weights={name: weight for name, weight in model.named_parameters() if weight.dim() > 1},
        batches=lambda: iter([{"x": inputs}]),
    )


def test_an_embedding_s_inputs_are_its_one_hot_tokens() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(4, 3)).double()
    counts = torch.tensor([2.0, 0.0, 3.0, 1.0]).double()
    found = Wanda().score(seeing(model, torch.tensor([[0, 2, 2], [3, 0, 2]])))["0.weight"]
    expected = model[0].weight.detach().abs() * counts.sqrt().unsqueeze(1)
    assert torch.equal(found.argsort(dim=0)[1:], expected.argsort(dim=0)[1:])
    assert bool((found[1] < 0.25).all()), "a token that never occurs ranks last in every column of four"


class Twice(nn.Module):
    """One matrix in two modules, one of which is called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(5, 5, bias=False), nn.Linear(5, 5, bias=False)
        self.other.weight = self.one.weight

    def forward(self, inputs: Tensor) -> Tensor:
        return self.other(torch.tanh(self.one(torch.tanh(self.one(inputs)))))


def test_a_shared_weight_is_given_what_all_its_modules_see() -> None:
    torch.manual_seed(0)
    model = Twice().double()
    inputs = torch.randn(4, 5).double()
    weight = model.one.weight.detach()
    first = torch.tanh(inputs @ weight.T)
    second = torch.tanh(first @ weight.T)
    expected = weight.abs() * torch.cat([inputs, first, second]).norm(dim=0)
    found = Wanda().score(seeing(model, inputs))["one.weight"]
    assert torch.equal(found.argsort(1), expected.argsort(1))


def test_a_weight_whose_module_is_not_called_is_named() -> None:
    model = nn.ModuleDict({"used": nn.Linear(3, 3), "left": nn.Linear(3, 3)})
    view = replace(seeing(model, torch.randn(2, 3)), forward=lambda model, batch: model["used"](batch["x"]))
    with pytest.raises(CellError, match=r"no module that the model calls owns 'left\.weight'"):
        Wanda().score(view)


def test_a_weight_of_another_kind_of_module_is_named_with_it() -> None:
    model = nn.MultiheadAttention(4, 2)
    with pytest.raises(CellError, match="'in_proj_weight' belongs to a MultiheadAttention"):
        Wanda().score(seeing(model, torch.randn(2, 4)))


def test_no_hook_stays_behind_where_scoring_fails() -> None:
    view = view_of("mlp")

    def fails(model: nn.Module, batch: object) -> Tensor:
        raise RuntimeError("the forward pass fails")

    with pytest.raises(RuntimeError, match="the forward pass fails"):
        Wanda().score(replace(view, forward=fails))
    assert not any(module._forward_pre_hooks for module in view.model.modules())
