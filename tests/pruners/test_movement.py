"""Movement pruning: scores follow equation 6, masked weights go on being scored and can come back."""

from __future__ import annotations

import pytest
import torch

from bench.steps import Learner, Schedule
from pruners.allocation import global_, uniform
from pruners.movement import Movement, SoftMovement

SCHEDULE = Schedule(lr=0.1, batch_size=4, steps=100)
OPTIONS = (("cooldown", 0.3), ("regularization", 10.0), ("score_lr", 0.5), ("warmup", 0.1))


def started(kind=Movement, weights=None, sparsity=0.5, scores=None, allocation=uniform):
    weights = weights or {"w": torch.nn.Parameter(torch.tensor([[1.0, -2.0], [3.0, -4.0]]))}
    return kind(weights, scores or {}, Learner("movement", 1, sparsity, OPTIONS), SCHEDULE, allocation), weights["w"]


def test_sparsity_follows_the_cubic_schedule_with_warm_up_and_cool_down() -> None:
    learning, _ = started(sparsity=0.9)
    assert [learning.sparsity(step) for step in (0, 10)] == [0.0, 0.0]
    assert learning.sparsity(40) == pytest.approx(0.9 * (1 - (1 - 30 / 60) ** 3))
    assert [learning.sparsity(step) for step in (70, 99)] == [0.9, 0.9]


def test_scores_move_against_gradient_times_weight_also_where_masked() -> None:
    learning, weight = started(scores={"w": torch.tensor([[0.4, 0.3], [0.2, 0.1]])})
    before = {name: score.clone() for name, score in learning.scores.items()}
    values = weight.detach().clone()
    learning.mask(80)  # half of four weights is masked by now: the two smallest scores
    assert weight.detach().tolist() == [[1.0, -2.0], [0.0, 0.0]]
    gradient = torch.tensor([[0.1, 0.2], [-0.3, 0.4]])
    weight.grad = gradient.clone()
    learning.learn(80)
    # S -= score_lr * dL/dW' * W, with the weight's own value although it was masked
    assert torch.allclose(learning.scores["w"], before["w"] - 0.5 * gradient * values)
    assert (learning.scores["w"][1] != before["w"][1]).all()
    assert torch.equal(weight.detach(), values)
    assert weight.grad.tolist() == [[pytest.approx(0.1), pytest.approx(0.2)], [0.0, 0.0]]


def test_a_masked_weight_comes_back_when_its_score_overtakes() -> None:
    learning, weight = started(scores={"w": torch.tensor([[0.4, 0.3], [0.2, 0.1]])})
    learning.mask(80)
    weight.grad = torch.tensor([[0.0, 0.0], [-1.0, 0.0]])  # pulls the masked weight of value 3 away from zero
    learning.learn(80)
    assert learning.masks(81)["w"].tolist() == [[True, False], [True, False]]


def test_uniform_masks_each_layer_alike_and_global_ranks_over_all() -> None:
    weights = {"w": torch.nn.Parameter(torch.ones(2, 2)), "v": torch.nn.Parameter(torch.ones(2, 2))}
    scores = {"w": torch.full((2, 2), 1.0), "v": torch.tensor([[4.0, 3.0], [2.0, 1.5]])}
    each, _ = started(weights=weights, scores=scores)
    assert [int(mask.sum()) for mask in each.masks(99).values()] == [2, 2]
    over_all, _ = started(weights=weights, scores=scores, allocation=global_)
    assert [int(mask.sum()) for mask in over_all.masks(99).values()] == [0, 4]


def test_the_soft_pull_is_the_gradient_of_the_mean_sigmoid() -> None:
    learning, _ = started(SoftMovement, scores={"w": torch.tensor([[0.4, -0.3], [2.0, 0.0]])})
    scores = learning.scores["w"].clone().requires_grad_()
    (10.0 * torch.sigmoid(scores).mean()).backward()  # the coefficient is reached in full after the schedule
    assert torch.allclose(learning.pull("w", 90), scores.grad)
    assert float(torch.as_tensor(learning.pull("w", 5)).abs().sum()) == 0  # none yet in the warm-up


def test_learning_goes_on_from_saved_scores() -> None:
    saved = {"w": torch.tensor([[0.4, 0.3], [0.2, 0.1]])}
    learning, _ = started(scores=saved)
    assert torch.equal(learning.scores["w"], saved["w"])
    assert learning.scores["w"] is not saved["w"]
