"""The loop of score and cut: what a criterion is shown, and what comes out."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from bench.errors import CellError, UsageError
from bench.masks.counts import kept
from bench.masks.scoring import score
from bench.steps import Score
from pruners.allocation import global_
from pruners.base import View
from pruners.structure import weights as single


class Watcher:
    """Scores by magnitude, and notes the density and the zeros it was shown."""

    version = 1
    iterations = 4
    needs_data = False

    def __init__(self) -> None:
        self.alive: list[int] = []
        self.nonzero: list[int] = []

    def score(self, view: View) -> dict[str, Tensor]:
        view.scratch["passes"] = view.scratch.get("passes", 0) + 1
        self.alive.append(sum(int(mask.sum()) for mask in view.masks.values()))
        self.nonzero.append(sum(int((weight != 0).sum()) for weight in view.weights.values()))
        return {name: weight.abs() for name, weight in view.weights.items()}


def view_of(model: nn.Module) -> View:
    return View(
        model=model,
        weights={name: parameter for name, parameter in model.named_parameters() if parameter.dim() > 1},
        masks={},
        batches=lambda: iter(()),
        forward=lambda model, batch: model(batch["x"]),
        loss=lambda outputs, batch: outputs.mean(),
        example={},
        generator=torch.Generator(),
    )


def test_density_falls_by_the_same_factor_each_pass_and_the_last_cut_is_left_to_the_caller() -> None:
    torch.manual_seed(0)
    view, watcher = view_of(nn.Sequential(nn.Linear(20, 30), nn.Linear(30, 10))), Watcher()
    scores, masks = score(Score("watcher", 1, 0, 0, 4, 0.9, "global", "weights"), watcher, view, global_, single)
    expected = [kept(1 - 0.1 ** (done / 4), 900) for done in (1, 2, 3)]
    assert expected == [506, 285, 160]  # 900 * 0.1 ** (i / 4) = 506.1, 284.6, 160.0
    assert watcher.alive == [0, *expected]
    assert watcher.nonzero == [900, *expected]
    assert sum(int(mask.sum()) for mask in masks.values()) == 160
    assert view.scratch["passes"] == 4
    assert all(values.is_contiguous() and not values.requires_grad for values in scores.values())


def test_one_pass_cuts_nothing() -> None:
    view, watcher = view_of(nn.Sequential(nn.Linear(4, 3))), Watcher()
    before = view.weights["0.weight"].detach().clone()
    scores, masks = score(Score("watcher", 1, 0, 0), watcher, view, global_, single)
    assert masks == {}
    assert torch.equal(view.weights["0.weight"], before)
    assert torch.equal(scores["0.weight"], before.abs())


def test_iterations_without_a_sparsity_are_refused() -> None:
    with pytest.raises(UsageError, match=r"^criterion 'watcher': 4 iterations need a sparsity to head for\."):
        score(Score("watcher", 1, 0, 0, 4), Watcher(), view_of(nn.Sequential(nn.Linear(4, 3))), global_, single)


class Returning:
    """A criterion that returns what it was made with."""

    version, iterations, needs_data = 1, 1, False

    def __init__(self, returned: object) -> None:
        self.returned = returned

    def score(self, view: View) -> object:
        return self.returned


@pytest.mark.parametrize(
    ("returned", "says"),
    [
        ([1, 2], "returned list"),
        ({}, "returned no scores of 0.weight"),
        ({"0.weight": torch.ones(3)}, r"returned shape (3,) for 0.weight of shape (2, 4)"),
        ({"0.weight": 1.0}, "returned float for 0.weight"),
    ],
)
def test_scores_that_are_not_a_tensor_a_weight_name_the_criterion(returned: object, says: str) -> None:
    view = view_of(nn.Sequential(nn.Linear(4, 2)))
    with pytest.raises(CellError) as caught:
        score(Score("mine", 1, 0, 0), Returning(returned), view, global_, single)  # type: ignore[arg-type]
    assert str(caught.value).startswith(f"criterion 'mine': {says}")
