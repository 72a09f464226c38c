"""Criteria and recipes that break the contract in one way each, and the sentence that says so."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from bench.checks import check_pruner
from bench.errors import CellError
from bench.steps import Cut, Init, Path, Score, Train
from pruners.base import Budget, Criterion, Pruner, View
from pruners.recipes import one_shot


class Sound:
    """abs(w)."""

    version, iterations, needs_data = 1, 1, False

    def score(self, view: View) -> dict[str, Tensor]:
        return {name: weight.detach().abs() for name, weight in view.weights.items()}


class WithoutVersion:
    iterations, needs_data, score = 1, False, Sound.score


class NoIterations(Sound):
    iterations = 0


class DataUnsaid(Sound):
    needs_data = None


class WithoutScore:
    version, iterations, needs_data = 1, 1, False


class Forgetful(Sound):
    def score(self, view: View) -> dict[str, Tensor]:
        return dict(list(super().score(view).items())[1:])


class Generous(Sound):
    def score(self, view: View) -> dict[str, Tensor]:
        return {**super().score(view), "elsewhere": torch.zeros(1)}


class Flat(Sound):
    def score(self, view: View) -> dict[str, Tensor]:
        return {name: values.flatten() for name, values in super().score(view).items()}


class Whole(Sound):
    def score(self, view: View) -> dict[str, Tensor]:
        return {name: (values * 1000).long() for name, values in super().score(view).items()}


class Infinite(Sound):
    def score(self, view: View) -> dict[str, Tensor]:
        return {name: 1 / (values * 0) for name, values in super().score(view).items()}


class Attached(Sound):
    def score(self, view: View) -> dict[str, Tensor]:
        return {name: weight.abs() for name, weight in view.weights.items()}


class Aliased(Sound):
    def score(self, view: View) -> dict[str, Tensor]:
        return {name: weight.detach() for name, weight in view.weights.items()}


class Drawing(Sound):
    def score(self, view: View) -> dict[str, Tensor]:
        return {name: torch.rand(weight.shape) for name, weight in view.weights.items()}


class Changing(Sound):
    def score(self, view: View) -> dict[str, Tensor]:
        scores = super().score(view)
        with torch.no_grad():
            for weight in view.weights.values():
                weight.abs_()
        return scores


class Shown(Sound):
    """Lets the model see its example on the way, so that what it changes is the model's state."""

    def score(self, view: View) -> dict[str, Tensor]:
        self.show(view)
        return super().score(view)

    def show(self, view: View) -> Tensor:
        return view.forward(view.model, view.example)


class Counting(Shown):
    def show(self, view: View) -> Tensor:
        modes = [(module, module.training) for module in view.model.modules()]
        view.model.train()
        outputs = view.forward(view.model, {"x": torch.cat([view.example["x"]] * 2)})
        for module, training in modes:
            module.training = training
        return outputs


class InTrainMode(Shown):
    def show(self, view: View) -> Tensor:
        view.model.train()
        return torch.zeros(())


class LeavingGradients(Shown):
    def show(self, view: View) -> Tensor:
        outputs = super().show(view)
        outputs.sum().backward()
        return outputs


class Freezing(Shown):
    def show(self, view: View) -> Tensor:
        view.model.requires_grad_(False)
        return torch.zeros(())


class Hooking(Shown):
    def show(self, view: View) -> Tensor:
        view.model.register_forward_hook(lambda module, inputs, output: output)
        return torch.zeros(())


class SecretlyReading(Sound):
    def score(self, view: View) -> dict[str, Tensor]:
        list(view.batches())
        return super().score(view)


class NotReading(Sound):
    needs_data = True


class CountingSizes(Sound):
    needs_data = True

    def score(self, view: View) -> dict[str, Tensor]:
        torch.stack([batch["x"] for batch in view.batches()])
        return super().score(view)


class OnlyConvolutions(Sound):
    def score(self, view: View) -> dict[str, Tensor]:
        if "conv.weight" not in view.weights:
            raise CellError("there is no convolution")
        return super().score(view)


BROKEN_CRITERIA = {
    WithoutVersion: "it has no 'version'",
    NoIterations: "its 'iterations' is 0, where a number from 1 belongs",
    DataUnsaid: "its 'needs_data' is None, where True or False belongs",
    WithoutScore: "it has no method 'score'",
    Forgetful: "there are no scores for ['conv.weight']",
    Generous: "there are scores for ['elsewhere'], which it was not given",
    Flat: "scores of 'conv.weight' have shape (108,), the weight (6, 2, 3, 3)",
    Whole: "scores of 'conv.weight' are torch.int64, not floating-point numbers",
    Infinite: "scores of 'conv.weight' are NaN or infinite",
    Attached: "scores of 'conv.weight' still require gradients",
    Aliased: "scores of 'conv.weight' lie in the weight's own memory",
    Drawing: "two scorings of 'conv.weight' differ",
    Changing: "scoring changes the parameter 'conv.weight'",
    Counting: "scoring changes the buffer 'norm.running_mean'",
    InTrainMode: "scoring changes the mode (train or eval) of 'the model'",
    LeavingGradients: "scoring leaves another gradient on 'conv.weight'",
    Freezing: "scoring changes requires_grad of 'conv.weight'",
    Hooking: "scoring leaves a hook on 'the model'",
    SecretlyReading: "needs_data is False, and it asks for batches",
    NotReading: "needs_data is True, and it never asks for a batch",
    CountingSizes: "it raises RuntimeError: stack expects each tensor to be equal size",
    OnlyConvolutions: "it raises CellError: there is no convolution",
}


def problems(plug_in: Pruner | type[Criterion]) -> list[str]:
    return [finding.problem for finding in check_pruner(plug_in) if not finding.ok]


def test_a_sound_criterion_has_no_problems() -> None:
    assert problems(Sound) == []


@pytest.mark.parametrize("criterion", BROKEN_CRITERIA, ids=lambda criterion: criterion.__name__)
def test_what_a_criterion_breaks_is_said(criterion: type[Criterion]) -> None:
    found = problems(criterion)
    assert any(problem.startswith(BROKEN_CRITERIA[criterion]) for problem in found), found


def test_a_criterion_that_names_what_it_cannot_score_keeps_the_contract() -> None:
    class Refusing(Sound):
        def score(self, view: View) -> dict[str, Tensor]:
            if "idle.weight" in view.weights:
                raise CellError("nothing is computed from 'idle.weight'")
            return super().score(view)

    assert problems(Refusing) == []
    assert "it names the weight that it cannot score" in " ".join(finding.check for finding in check_pruner(Refusing))


def with_recipe(recipe: object, **changes: object) -> Pruner:
    return replace(Pruner("made", "magnitude", recipe, needs_data=False), **changes)  # type: ignore[arg-type]


def steps(pruner: Pruner, target: float, budget: Budget) -> Path:
    return tuple(one_shot(pruner, target, budget))


def random_stream(pruner: Pruner, target: float, budget: Budget) -> Path:
    schedule = replace(budget.train, stream=str(next(DRAWS)))
    return (*steps(pruner, target, budget)[:2], Train(schedule, schedule.length))


def _draws() -> Iterator[float]:
    while True:
        yield random.random()


DRAWS = _draws()
SCORE = Score("magnitude", 1, 0, 0)
BROKEN_RECIPES = {
    "empty": (lambda p, t, b: (), "the path for target 0.3 is empty"),
    "init": (lambda p, t, b: (Init(), *steps(p, t, b)), "the path holds Init, which the planner adds by itself"),
    "never cut": (lambda p, t, b: steps(p, t, b)[2:], "the path for sparsity 0.3 has no Cut"),
    "off target": (
        lambda p, t, b: (SCORE, Cut(t / 2), *steps(p, t, b)[2:]),
        "the last Cut is to 0.15 where the target",
    ),
    "score at the end": (lambda p, t, b: (*steps(p, t, b), SCORE), "the path ends with a Score that nothing is cut by"),
    "cut later": (lambda p, t, b: (SCORE, *steps(p, t, b)[2:], Cut(t)), "a Score is not followed by its Cut"),
    "back": (lambda p, t, b: (SCORE, Cut(0.95), *steps(p, t, b)), "a Cut asks for less sparsity than the one before"),
    "unsteady": (random_stream, "two calls with the same target give two paths"),
    "one for all": (lambda p, t, b: steps(p, 0.5, b), "two targets have one path"),
}


@pytest.mark.parametrize("name", BROKEN_RECIPES)
def test_what_a_recipe_breaks_is_said(name: str) -> None:
    recipe, expected = BROKEN_RECIPES[name]
    found = problems(with_recipe(recipe))
    assert any(problem.startswith(expected) for problem in found), found


def test_a_pruner_of_trained_models_trains_first() -> None:
    untrained = with_recipe(lambda p, t, b: steps(replace(p, when="init"), t, b), when="trained")
    assert "when = 'trained', and the path begins with Score" in problems(untrained)
