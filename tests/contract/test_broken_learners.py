"""Learners and rules that break the contract in one way each, and the sentence that says so."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from bench import registry
from bench.checks import check_pruner
from pruners.movement import Movement


class Idle(Movement):
    """Never moves a score."""

    def learn(self, step: int) -> None:
        before = {name: score.clone() for name, score in self.scores.items()}
        super().learn(step)
        self.scores.update(before)


class Careless(Movement):
    """Leaves masked weights at zero."""

    def learn(self, step: int) -> None:
        self._values = {name: weight.detach().clone() for name, weight in self.weights.items()}
        super().learn(step)


class Leaking(Movement):
    """Lets gradients reach masked weights."""

    def learn(self, step: int) -> None:
        super().learn(step)
        for weight in self.weights.values():
            if weight.grad is not None:
                weight.grad += 1


class Remembering(Movement):
    """Keeps something beside its scores."""

    seen = 0

    def pull(self, name: str, step: int) -> float:
        self.seen += 1
        return float(self.seen)


class Infinite(Movement):
    """Divides by nothing."""

    def pull(self, name: str, step: int) -> float:
        return float("nan")


@pytest.mark.parametrize(
    ("learner", "problem"),
    [
        (Idle, "no score ever moves"),
        (Careless, "is not what it was before mask()"),
        (Leaking, "get a gradient of their own"),
        (Remembering, "differ after a stop"),
        (Infinite, "are NaN or infinite"),
    ],
)
def test_a_broken_learner_is_told_what_is_wrong(
    learner: type[Movement], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "learner", lambda name: learner)
    problems = [finding.problem for finding in check_pruner("movement") if not finding.ok]
    assert any(problem in said for said in problems), problems


def reviving(*given: Any) -> Any:
    masks, facts = registry_rule(*given)
    return {name: torch.rand(mask.shape, generator=DRAW) > 0.5 for name, mask in masks.items()}, facts


def lazy(*given: Any) -> Any:
    masks, facts = registry_rule(*given)
    return {name: torch.ones_like(mask) for name, mask in masks.items()}, facts


def secretive(*given: Any) -> Any:
    masks, _ = registry_rule(*given)
    return masks, {"found": object()}


DRAW = torch.Generator().manual_seed(0)
registry_rule = registry.rule("pqi")


@pytest.mark.parametrize(
    ("rule", "problem"),
    [(reviving, "two calls give two masks"), (lazy, "nothing is cut"), (secretive, "it raises")],
)
def test_a_broken_rule_is_told_what_is_wrong(rule: Any, problem: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "rule", lambda name: rule)
    problems = [finding.problem for finding in check_pruner("sap") if not finding.ok]
    assert any(problem in said for said in problems), problems
