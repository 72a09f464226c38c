"""What two processes do together, as a program: ``python -m tests.ranks.pair FOLDER``. Rank 0 writes what it found."""

from __future__ import annotations

import copy
import json
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench import ranks, registry
from bench.errors import CellError
from bench.state import State, capture, restore
from bench.steps import Learner, Schedule
from bench.streams import derive
from bench.train import Environment, train
from tasks.base import Evaluation, Task
from tests.ranks.opened import SMALL, built, opened

FOLDER = Path(sys.argv[-1])
ENVIRONMENT = Environment(seed=3, device=torch.device("cpu"))
ROWS = 7
STEPS = 23
SCHEDULE = Schedule(lr=0.01, batch_size=ROWS, steps=STEPS, optimizer="adamw", weight_decay=0.1, clip=0.5, warmup=3)
LEARNER = Learner("movement", 1, 0.5, (("allocation", "global"), ("cooldown", 0.1), ("score_lr", 1.0), ("warmup", 0.1)))


@dataclass(frozen=True)
class Clouds:
    """Points around two corners. Every eleventh batch has fewer rows; without a batch norm, which needs two in each
    part, it has a single one, so that one process has none."""

    dropout: float = 0.5

    def build(self) -> nn.Module:
        norm = nn.BatchNorm1d(16) if self.dropout else nn.Identity()
        return nn.Sequential(
            nn.Linear(2, 16), norm, nn.ReLU(), nn.Dropout(self.dropout), nn.Linear(16, 16), nn.Linear(16, 2)
        )

    def batches(self, split: str, *, seed: int, size: int, start: int = 0) -> Iterator[Mapping[str, Tensor]]:
        for number in range(start, 10**9):
            draw = np.random.default_rng([seed, number])
            few = 4 if self.dropout else 1
            labels = draw.integers(0, 2, few if number % 11 == 10 else size)
            points = draw.normal(size=(len(labels), 2)) + 2 * labels[:, None]
            yield {"points": torch.from_numpy(points).float(), "labels": torch.from_numpy(labels)}

    def forward(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
        outputs: Tensor = model(batch["points"])
        return outputs

    def loss(self, outputs: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        return functional.cross_entropy(outputs, batch["labels"])


class Mean(nn.Module):
    """A model of which some rows touch a parameter and others do not."""

    def __init__(self) -> None:
        super().__init__()
        self.always, self.first, self.never = (nn.Parameter(torch.tensor([value])) for value in (1.0, 2.0, 3.0))


class Rows:
    """Rows are numbers; those below 10 alone meet ``first``."""

    def batches(self, split: str, *, seed: int, size: int, start: int = 0) -> Iterator[Mapping[str, Tensor]]:
        while True:
            yield {"rows": torch.tensor([1.0, 2.0, 30.0])}

    def forward(self, model: Any, batch: Mapping[str, Tensor]) -> Tensor:
        rows = batch["rows"]
        low = rows < 10
        return (
            torch.cat([model.always * model.first * rows[low], model.always * rows[~low]])
            if low.any()
            else (model.always * rows)
        )

    def loss(self, outputs: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        return outputs.mean()


@cache
def model_of(case: str) -> tuple[Task, nn.Module]:
    """The task, and its model with other weights in each process, so that only rank 0's can give rank 0's results."""
    task = opened(case)
    model = built(task)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1 + ranks.rank())
    return task, model


def clouds(dropout: float) -> nn.Module:
    torch.manual_seed(1 + ranks.rank())
    return Clouds(dropout).build()


# What both do. Each gets the state that rank 0 handed over.


def gradients(case: str, state: State) -> dict[str, Tensor]:
    task, model = precisely(case)
    restore(model, state.weights)
    shared = ranks.shared_training(model, list(model.parameters()), ROWS)
    assert shared is not None
    _, stop = shared.backward(task, model, seven(task), ENVIRONMENT.autocast(), False)
    assert not stop
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def precisely(case: str) -> tuple[Task, nn.Module]:
    """In float64, so that what differs is not lost among what is rounded."""
    task, model = model_of(case)
    return task, copy.deepcopy(model).double()


def seven(task: Task) -> Mapping[str, Tensor]:
    made = next(task.batches("train", seed=5, size=ROWS))
    return {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in made.items()}


def evaluation(case: str, state: State) -> Evaluation:
    task, model = model_of(case)
    restore(model, state.weights)
    with torch.no_grad():
        return task.evaluate(model.eval(), "test")


def training(dropout: float, learned: bool, to: int, state: State) -> State:
    model = clouds(dropout)
    restore(model, state.weights)
    learning = _learning(model, state) if learned else None
    position = train(
        Clouds(dropout), model, {}, SCHEDULE, state.position, to, ENVIRONMENT, learning,  # type: ignore[arg-type]
        interrupt=lambda: ranks.follows(),  # what another process wants is not asked
    )  # fmt: skip
    return State(capture(model), scores=learning.scores if learning else {}, position=position)


def _learning(model: nn.Module, state: State) -> Any:
    weights = {name: p for name, p in model.named_parameters() if name in ("0.weight", "4.weight")}
    allocation = registry.allocation("global")
    return registry.learner("movement")(weights, state.scores, LEARNER, SCHEDULE, allocation)


def touched(state: State) -> list[str]:
    model = Mean()
    shared = ranks.shared_training(model, list(model.parameters()), 3)
    assert shared is not None
    batch = next(Rows().batches("train", seed=0, size=3))
    shared.backward(Rows(), model, batch, ENVIRONMENT.autocast(), False)  # type: ignore[arg-type]
    return [f"{name} {float(p.grad)}" for name, p in model.named_parameters() if p.grad is not None]


def spreads(state: State) -> list[list[float]]:
    """Tensors of several types and lengths, none at all, and fewer items than processes."""
    found = ranks.spread(range(5), lambda n: (torch.arange(n).double(), torch.tensor(n == 3), torch.zeros(0, 2)))
    texts = ranks.spread(["ä", "", "b\nc"], lambda text: (ranks.as_tensor([text, "x"]),))
    one = ranks.spread([7], lambda n: (torch.tensor([ranks.rank()]),))
    nothing = ranks.spread([], lambda n: (torch.tensor([n]),))
    return [
        [tensor.tolist() for part in found for tensor in part],
        [ranks.as_texts(tensor) for (tensor,) in texts],  # type: ignore[list-item]
        [tensor.tolist() for (tensor,) in one],  # type: ignore[list-item]
        [tensor.tolist() for (tensor,) in nothing],  # type: ignore[list-item]
    ]


def who_works(state: State) -> list[int]:
    return [int(tensor) for (tensor,) in ranks.spread(range(5), lambda n: (torch.tensor(ranks.rank()),))]


def fails(state: State) -> None:
    def work(number: int) -> tuple[Tensor]:
        if ranks.follows():
            raise ValueError(f"number {number} is odd\nand more")
        return (torch.zeros(1),)

    list(ranks.spread(range(4), work))


def fails_in_a_step(state: State) -> None:
    class Odd(Clouds):
        def forward(self, model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
            if ranks.follows():
                raise MemoryError("no room for the second half")
            return super().forward(model, batch)

    train(Odd(), clouds(0.0), {}, SCHEDULE, None, STEPS, ENVIRONMENT)  # type: ignore[arg-type]


def leaves_early(state: State) -> None:
    if not ranks.follows():
        list(ranks.spread(range(4), lambda number: (torch.zeros(1),)))


def counts_apart(state: State) -> None:
    list(ranks.spread(range(4 + ranks.rank()), lambda number: (torch.zeros(1),)))


def concludes(state: State) -> str:
    ranks.conclude()
    assert not ranks.follows()
    return "rank 0 went on"


JOBS: dict[str, Callable[[State], Any]] = {
    **{f"gradients of {case}": partial(gradients, case) for case in SMALL},
    **{f"evaluation of {case}": partial(evaluation, case) for case in SMALL},
    **{
        f"training {dropout} {learned} {to}": partial(training, dropout, learned, to)
        for dropout in (0.0, 0.5)
        for learned in (False, True)
        for to in (9, STEPS)
    },
    "touched": touched,
    "spreads": spreads,
    "who works": who_works,
    "fails": fails,
    "fails in a step": fails_in_a_step,
    "leaves early": leaves_early,
    "counts apart": counts_apart,
    "concludes": concludes,
}


# What rank 0 alone does


def both(name: str, state: State | None = None) -> Any:
    """Has all processes do a job on rank 0's state."""
    given = state or State({})
    with ranks.together(name, given):
        return JOBS[name](given)


def whole_gradients(case: str) -> dict[str, Tensor]:
    """Of the whole batch, in this process alone."""
    task, model = precisely(case)
    batch = seven(task)
    task.loss(task.forward(model, batch), batch).backward()  # type: ignore[no-untyped-call]
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def by_hand(dropout: float, learned: bool, state: State) -> State:
    """Two halves one after the other: each with draws and batch statistics of its own, gradients weighted and added."""
    model = clouds(dropout)
    restore(model, state.weights)
    learning = _learning(model, state) if learned else None
    model.train()
    norm = model[1]
    running = [norm.running_mean, norm.running_var] if dropout else []
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=SCHEDULE.lr, betas=SCHEDULE.betas, eps=SCHEDULE.eps, weight_decay=0.1, fused=True
    )
    made = Clouds(dropout).batches("train", seed=derive(ENVIRONMENT.seed, "train", "order"), size=ROWS)
    for step, batch in enumerate(islice(made, STEPS)):
        if learning:
            learning.mask(step)
        before = {name: buffer.clone() for name, buffer in norm.named_buffers()}
        gradients, statistics, rows = [], [], len(batch["labels"])
        for rank, half in enumerate((slice(0, (rows + 1) // 2), slice((rows + 1) // 2, rows))):
            for name, buffer in norm.named_buffers():
                buffer.copy_(before[name])
            torch.manual_seed(derive(ENVIRONMENT.seed, "train", "dropout", step, rank))
            share = (half.stop - half.start) / rows
            if not share:
                continue
            loss = functional.cross_entropy(model(batch["points"][half]), batch["labels"][half]) * share
            gradients.append(torch.autograd.grad(loss, list(model.parameters())))
            statistics.append([buffer * share for buffer in running])
        for parameter, *parts in zip(model.parameters(), *gradients, strict=True):
            parameter.grad = sum(parts[1:], parts[0])
        for buffer, *parts in zip(running, *statistics, strict=True):
            buffer.copy_(sum(parts[1:], parts[0]))
        if learning:
            learning.learn(step)
        nn.utils.clip_grad_norm_(model.parameters(), SCHEDULE.clip or 1.0)
        for group in optimizer.param_groups:
            group["lr"] = SCHEDULE.rate(step)
        optimizer.step()
    return State(capture(model), scores=learning.scores if learning else {})


def apart(one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> float:
    """Largest difference, over the largest value; infinite where the names differ."""
    if one.keys() != two.keys():
        return float("inf")
    most = max(float(tensor.abs().max()) for tensor in two.values())
    return max(float((one[name] - two[name]).abs().max()) for name in two) / most


def same(one: Mapping[str, Tensor], two: Mapping[str, Tensor]) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def told(name: str) -> str:
    try:
        both(name)
    except CellError as error:
        (FOLDER / name).write_text("".join(getattr(error, "__notes__", [])))
        return str(error)
    return "nothing"


def equal(one: Evaluation, two: Evaluation) -> list[str]:
    """What of two evaluations differs."""
    left, right = ({**asdict(found), "examples": None} for found in (one, two))
    names = [name for name in left if left[name] != right[name]]
    values = one.examples.keys() | two.examples.keys()
    return names + [name for name in sorted(values) if not np.array_equal(one.examples[name], two.examples[name])]


def found() -> dict[str, Any]:
    results: dict[str, Any] = {}
    for case in SMALL:
        _, model = model_of(case)
        state = State(capture(model))
        doubled = State(capture(precisely(case)[1]))
        results[f"gradients of {case}"] = apart(both(f"gradients of {case}", doubled), whole_gradients(case))
        shared = both(f"evaluation of {case}", state)
        with torch.no_grad():
            results[f"evaluation of {case}"] = equal(shared, opened(case).evaluate(model, "test"))
    for learned in (False, True):
        for dropout in (0.0, 0.5):
            start = State(capture(clouds(dropout)))
            at_once = both(f"training {dropout} {learned} {STEPS}", start)
            halfway = both(f"training {dropout} {learned} 9", start)
            stretched = both(f"training {dropout} {learned} {STEPS}", halfway)
            hand = by_hand(dropout, learned, start)
            results[f"training {dropout} {learned}"] = {
                "by hand": same(at_once.weights, hand.weights) and same(at_once.scores, hand.scores),
                "in stretches": same(at_once.weights, stretched.weights) and same(at_once.scores, stretched.scores),
                "moved": apart(at_once.weights, start.weights),
                "scores": len(at_once.scores),
            }
    results |= {name: told(name) for name in ("fails", "fails in a step", "leaves early", "counts apart")}
    results |= {name: both(name) for name in ("touched", "spreads", "who works", "concludes")}
    return results


def main() -> None:
    torch.set_num_threads(1)
    with ranks.joined("cpu"):
        if ranks.follows():
            assert ranks._team is not None
            ranks._team.calls(_done)
            return
        (FOLDER / "found.json").write_text(json.dumps(found()))


def _done(key: str, state: State) -> None:
    with ranks.together(key, state):
        try:
            JOBS[key](state)
        except Exception:
            traceback.print_exc()
            raise


if __name__ == "__main__":
    main()
