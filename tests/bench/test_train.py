"""The one training loop: the same weights wherever it is stopped, masked weights at zero, batches paired."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from toy_plugin import Options, Toy

from bench.data import Memory
from bench.errors import CellError
from bench.state import State, capture, load, masked, restore, save
from bench.steps import Schedule
from bench.store import Store
from bench.streams import derive
from bench.train import REPORT_EVERY, Environment, train

ENVIRONMENT = Environment(seed=3, device=torch.device("cpu"))
STEPS = 61
BASE = Schedule(lr=0.01, batch_size=16, steps=STEPS)
SCHEDULES = {
    "adam": replace(BASE, warmup=5, decay="linear", betas=(0.9, 0.98)),
    "adamw, decay, clip": replace(BASE, optimizer="adamw", weight_decay=0.1, clip=0.5, decay="cosine", floor=0.1),
    "adam, L2": replace(BASE, weight_decay=0.01),
    "sgd": replace(BASE, optimizer="sgd", lr=0.1),
    "momentum": replace(BASE, optimizer="sgd", momentum=0.9, weight_decay=1e-3, decay="milestones", milestones=(0.5,)),
    "nesterov, clip": replace(BASE, optimizer="sgd", momentum=0.9, nesterov=True, clip=0.1, warmup=3),
}


@pytest.fixture(scope="module")
def toy() -> Toy:
    return Toy(Memory("toy", Toy.sample()), Options())  # type: ignore[arg-type]


def start(toy: Toy, share: float | None = 0.5) -> tuple[nn.Module, dict[str, Tensor]]:
    """A new model and masks that keep about ``share`` of each weight matrix; its masked weights are zero."""
    torch.manual_seed(1)
    model = toy.build(1)
    names = toy.prunable(model)
    weights = capture(model)
    masks = {} if share is None else {name: torch.rand(weights[name].shape) < share for name in names}
    restore(model, masked(weights, masks))
    return model, masks


def same(one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> bool:
    """Bit for bit: 0.0 and -0.0 are told apart."""
    return one.keys() == two.keys() and all(
        torch.equal(one[name].view(torch.int32), two[name].view(torch.int32)) for name in one
    )


@pytest.mark.parametrize("share", [None, 0.5], ids=["dense", "masked"])
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_training_in_stretches_is_training_in_one(
    toy: Toy, schedule: Schedule, share: float | None, tmp_path: Path
) -> None:
    """Through a saved file each time, into a new model, with other draws in between."""
    whole, masks = start(toy, share)
    last = train(toy, whole, masks, schedule, None, STEPS, ENVIRONMENT)  # type: ignore[arg-type]
    assert last.step == STEPS and last.optimizer == {}

    store = Store(tmp_path / "results", create=True)
    model, masks = start(toy, share)
    state = State(capture(model), masks)
    for to in (1, 8, 28, 61):
        model = toy.build(0)
        restore(model, state.weights)
        torch.rand(to)
        position = train(toy, model, state.masks, schedule, state.position, to, ENVIRONMENT)  # type: ignore[arg-type]
        store.put_state("ab", partial(save, replace(state, weights=capture(model), position=position)), partial=True)
        state = load(store.state("ab", partial=True))  # type: ignore[arg-type]
        assert state.position is not None and state.position.step == to
    assert same(state.weights, capture(whole))


def test_a_watcher_may_stop_training_after_any_step(toy: Toy) -> None:
    schedule = SCHEDULES["adam"]
    whole, masks = start(toy)
    train(toy, whole, masks, schedule, None, STEPS, ENVIRONMENT)  # type: ignore[arg-type]
    model, masks = start(toy)
    position, stretches = None, 0
    while position is None or position.step < STEPS:
        before = 0 if position is None else position.step
        asked = iter([False] * stretches + [True] * STEPS)
        position = train(toy, model, masks, schedule, position, STEPS, ENVIRONMENT, interrupt=lambda: next(asked))  # type: ignore[arg-type] # noqa: B023
        assert position.step == min(STEPS, before + stretches + 1)
        stretches += 1
    assert same(capture(model), capture(whole))


def test_training_to_where_it_stands_does_nothing(toy: Toy) -> None:
    model, masks = start(toy)
    position = train(toy, model, masks, BASE, None, 7, ENVIRONMENT)  # type: ignore[arg-type]
    before = capture(model)
    again = train(toy, model, masks, BASE, position, 7, ENVIRONMENT)  # type: ignore[arg-type]
    assert again.step == 7 and same(again.optimizer, position.optimizer)
    assert same(before, capture(model))


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_masked_weights_are_zero_after_every_step_and_the_others_move(toy: Toy, schedule: Schedule) -> None:
    model, masks = start(toy)
    first = capture(model)
    parameters = dict(model.named_parameters())
    seen = []

    def look() -> bool:
        seen.append(max(float(parameters[name].detach()[~mask].abs().max()) for name, mask in masks.items()))
        return False

    train(toy, model, masks, schedule, None, STEPS, ENVIRONMENT, interrupt=look)  # type: ignore[arg-type]
    assert seen == [0.0] * STEPS
    assert all(bool((parameters[name] != first[name])[mask].any()) for name, mask in masks.items())


def bare_loop(toy: Toy, model: nn.Module, schedule: Schedule, masks: Mapping[str, Tensor]) -> None:
    """The same training as anyone would write it in PyTorch."""
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    settings = (
        {"momentum": schedule.momentum, "nesterov": schedule.nesterov}
        if schedule.optimizer == "sgd"
        else {"betas": schedule.betas, "eps": schedule.eps}
    )
    optimizer = kinds[schedule.optimizer](
        model.parameters(), lr=schedule.lr, weight_decay=schedule.weight_decay, fused=True, **settings
    )
    model.train()
    seed = derive(ENVIRONMENT.seed, schedule.stream, "order")
    for step, batch in enumerate(islice(toy.batches("train", seed=seed, size=schedule.batch_size), schedule.length)):
        torch.manual_seed(derive(ENVIRONMENT.seed, schedule.stream, "dropout", step))
        optimizer.zero_grad()
        functional.cross_entropy(model(batch["points"]), batch["labels"]).backward()
        for name, parameter in model.named_parameters():
            if name in masks:
                parameter.grad *= masks[name]
        if schedule.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), schedule.clip)
        optimizer.param_groups[0]["lr"] = schedule.rate(step)
        optimizer.step()
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in masks:
                    parameter *= masks[name]


@pytest.mark.parametrize("share", [None, 0.5], ids=["dense", "masked"])
@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_a_bare_pytorch_loop_gives_the_same_weights(toy: Toy, schedule: Schedule, share: float | None) -> None:
    model, masks = start(toy, share)
    train(toy, model, masks, schedule, None, STEPS, ENVIRONMENT)  # type: ignore[arg-type]
    bare, masks = start(toy, share)
    bare_loop(toy, bare, schedule, masks)
    assert same(capture(model), capture(bare))


class Recording(Toy):
    """Notes what the loop shows and asks."""

    def __init__(self) -> None:
        super().__init__(Memory("toy", Toy.sample()), Options())  # type: ignore[arg-type]
        self.seen: list[Tensor] = []
        self.losses: list[float] = []

    def forward(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        self.seen.append(batch["points"])
        return super().forward(model, batch)

    def loss(self, outputs: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        loss = super().loss(outputs, batch)
        self.losses.append(loss.item())
        return loss


def batches_of(share: float | None, schedule: Schedule, environment: Environment = ENVIRONMENT) -> list[Tensor]:
    task = Recording()
    model, masks = start(task, share)
    train(task, model, masks, schedule, None, 20, environment)  # type: ignore[arg-type]
    return task.seen


def test_two_pruners_at_one_seed_see_the_same_batches_and_other_seeds_and_phases_do_not() -> None:
    one, two = batches_of(0.5, BASE), batches_of(0.1, BASE)
    assert all(map(torch.equal, one, two))
    assert all(map(torch.equal, one, batches_of(None, SCHEDULES["sgd"])))
    assert not any(map(torch.equal, one, batches_of(0.5, BASE, replace(ENVIRONMENT, seed=4))))
    assert not any(map(torch.equal, one, batches_of(0.5, replace(BASE, stream="recover"))))


def test_two_pruners_at_one_seed_see_the_same_dropout() -> None:
    """Whatever was drawn before: a criterion may take as many numbers as it likes."""
    outcomes = []
    for drawn in (0, 1000):
        task = Recording()
        model, masks = start(task)
        torch.rand(drawn)
        train(task, model, masks, BASE, None, 3, ENVIRONMENT)  # type: ignore[arg-type]
        outcomes.append(capture(model))
    assert same(*outcomes)


class Noisy(Recording):
    """Draws random numbers in a way that no module of the model shows."""

    def build(self, seed: int) -> nn.Module:
        return nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 4))

    def forward(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        outputs = super().forward(model, batch)
        return functional.dropout(outputs, 0.3, training=model.training)


def test_a_model_that_draws_in_its_own_way_is_as_reproducible() -> None:
    outcomes = []
    for stops in ((9,), (4, 9)):
        task = Noisy()
        model, masks = start(task)
        position = None
        for to in stops:
            torch.rand(to)
            position = train(task, model, masks, BASE, position, to, ENVIRONMENT)  # type: ignore[arg-type]
        outcomes.append(capture(model))
    assert same(*outcomes)


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
def test_the_learning_rates_applied_are_the_schedules(
    toy: Toy, schedule: Schedule, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[schedule.optimizer]
    applied, honest = [], kind.step

    def step(self: torch.optim.Optimizer) -> None:
        applied.append(self.param_groups[0]["lr"])
        honest(self)

    monkeypatch.setattr(kind, "step", step)
    model, masks = start(toy)
    position = train(toy, model, masks, schedule, None, 10, ENVIRONMENT)  # type: ignore[arg-type]
    train(toy, model, masks, schedule, position, STEPS, ENVIRONMENT)  # type: ignore[arg-type]
    assert applied == [schedule.rate(step) for step in range(STEPS)]


def test_the_watch_sees_the_mean_of_the_losses_since_it_last_looked() -> None:
    task, seen = Recording(), []
    model, masks = start(task)
    train(task, model, masks, BASE, None, 47, ENVIRONMENT, watch=lambda step, loss: seen.append((step, loss)))  # type: ignore[arg-type]
    assert REPORT_EVERY == 20
    assert [step for step, _ in seen] == [20, 40, 47]
    for (_, mean), part in zip(seen, (slice(0, 20), slice(20, 40), slice(40, 47)), strict=True):
        losses = task.losses[part]
        assert mean == pytest.approx(sum(losses) / len(losses), rel=1e-12)


class Exploding(Recording):
    """Its loss is NaN, or infinite, from a step on."""

    value = float("nan")

    def loss(self, outputs: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        loss = super().loss(outputs, batch)
        return loss * self.value if len(self.losses) >= 33 else loss


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize("stops", [(61,), (31, 61), (34, 61)])
def test_a_loss_that_is_no_number_fails_the_cell_with_the_same_words_wherever_training_was_cut(
    value: str, stops: tuple[int, ...]
) -> None:
    task = Exploding()
    task.value = float(value)
    model, masks = start(task)
    position = None
    with pytest.raises(CellError) as caught:
        for to in stops:
            position = train(task, model, masks, BASE, position, to, ENVIRONMENT)  # type: ignore[arg-type]
    found = "nan" if value == "nan" else "inf"
    assert str(caught.value) == f"the training loss became {found} at step 33. Lower --lr."
    assert caught.value.exit_code == 1


class Short(Recording):
    """Its batches end."""

    def batches(self, split: str, *, seed: int, size: int, start: int = 0) -> Iterator[Mapping[str, Tensor]]:
        return islice(super().batches(split, seed=seed, size=size, start=start), max(0, 5 - start))


def test_batches_that_end_fail_the_cell_and_count_for_no_step() -> None:
    task = Short()
    model, masks = start(task)
    with pytest.raises(CellError, match=r"batches ended before step 6 of 20\. They must be endless"):
        train(task, model, masks, BASE, None, 20, ENVIRONMENT)  # type: ignore[arg-type]
    model, masks = start(task)
    position = train(task, model, masks, BASE, None, 5, ENVIRONMENT)  # type: ignore[arg-type]
    with pytest.raises(CellError, match="before step 6 of 20"):
        train(task, model, masks, BASE, position, 20, ENVIRONMENT)  # type: ignore[arg-type]


def test_an_unknown_optimizer_is_one_line(toy: Toy) -> None:
    model, masks = start(toy)
    with pytest.raises(CellError, match=r"unknown optimizer 'adagrad'\. There is: adam, adamw, sgd\."):
        train(toy, model, masks, replace(BASE, optimizer="adagrad"), None, 5, ENVIRONMENT)  # type: ignore[arg-type]


def test_gradients_that_a_criterion_left_behind_do_not_enter_training(toy: Toy) -> None:
    clean, masks = start(toy)
    train(toy, clean, masks, BASE, None, 3, ENVIRONMENT)  # type: ignore[arg-type]
    model, masks = start(toy)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    train(toy, model, masks, BASE, None, 3, ENVIRONMENT)  # type: ignore[arg-type]
    assert same(capture(model), capture(clean))


class Spare(Toy):
    """A model with a layer that the loss never touches."""

    def build(self, seed: int) -> nn.Module:
        model = super().build(seed)
        model.spare = nn.Linear(4, 4)
        model.forward = lambda points: nn.Sequential.forward(nn.Sequential(*list(model)[:6]), points)  # type: ignore[method-assign]
        return model


def test_a_mask_on_an_unused_weight_does_not_set_the_optimizer_on_it() -> None:
    """Without a mask it has no gradient and weight decay passes over it; a mask must not change that."""
    schedule = replace(SCHEDULES["adamw, decay, clip"], clip=None)
    spares = []
    for masked_too in (False, True):
        task = Spare(Memory("toy", Toy.sample()), Options())  # type: ignore[arg-type]
        torch.manual_seed(1)
        model = task.build(1)
        masks = {"spare.weight": torch.ones(4, 4, dtype=torch.bool)} if masked_too else {}
        train(task, model, masks, schedule, None, 5, ENVIRONMENT)  # type: ignore[arg-type]
        spares.append(dict(model.named_parameters())["spare.weight"].detach())
    assert torch.equal(*spares)
