"""The one training loop.

Step i of a schedule is a function of the state before it and of (seed, stream, i): training can stop after any step and
go on from a saved state with the same result, bit for bit on one platform.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from bench import ranks
from bench.errors import CellError
from bench.state import Position
from bench.steps import Schedule
from bench.streams import derive

if TYPE_CHECKING:
    from pruners.base import Learning
    from tasks.base import Batch, Task

REPORT_EVERY = 20
"""Steps between two looks at the loss: for progress, and to stop at a NaN."""


@dataclass(frozen=True)
class Environment:
    """What training and scoring run under."""

    seed: int
    device: torch.device
    dtype: torch.dtype = torch.float32

    def autocast(self) -> AbstractContextManager[object]:
        """Mixed precision, where a lower one was asked for."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def batches(self, task: Task, stream: str, size: int, start: int = 0) -> Iterator[Batch]:
        """Training batches of a stream, on the device."""
        return (to_device(batch, self.device) for batch in self.made(task, stream, size, start))

    def made(self, task: Task, stream: str, size: int, start: int = 0) -> Iterator[Batch]:
        """Training batches of a stream, where the task makes them."""
        return task.batches("train", seed=derive(self.seed, stream, "order"), size=size, start=start)


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch on the device."""
    if device.type == "cpu":
        return batch
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}


def train(
    task: Task,
    model: nn.Module,
    masks: Mapping[str, Tensor],
    schedule: Schedule,
    position: Position | None,
    to: int,
    environment: Environment,
    learning: Learning | None = None,
    watch: Callable[[int, float], None] = lambda step, loss: None,
    interrupt: Callable[[], bool] = lambda: False,
) -> Position:
    """Trains ``model`` in place under ``masks`` from ``position`` (None: the schedule's start) to step ``to``.

    ``watch(step, loss)`` is called every few steps with the mean loss since the last call. Training stops early,
    between two steps, once ``interrupt()`` is true; the position returned says where. Masked weights are zero after
    each step. Under a ``learning`` the forward passes see the weights that it masks, and it learns from the gradients.
    Of a team of processes each derives its part of every batch, with draws of its own.
    Raises ``CellError`` where the loss is no longer finite.
    """
    start = position.step if position is not None else 0
    optimizer = _optimizer(model, schedule)
    if position is not None:
        _load_optimizer(model, optimizer, position.optimizer)
    parameters = dict(model.named_parameters())
    weights: list[Tensor] = [parameters[name] for name in masks]
    kept = [_laid_out(masks[name], parameters[name], parameters[name].dtype) for name in masks]
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    model.train()
    # In place: small tensors kept from step to step hold on to the heap, and large ones then cost page faults.
    losses = torch.zeros(REPORT_EVERY, dtype=torch.float64, device=environment.device)
    slots = losses.unbind()
    reached, since = start, 0
    averaging = ranks.shared_training(model, trained, schedule.batch_size)
    given = environment.batches if averaging is None else environment.made
    batches = given(task, schedule.stream, schedule.batch_size, start)
    settings = _settings(schedule, environment.seed, start, to, () if averaging is None else (ranks.rank(),))
    precision = environment.autocast()
    # ``torch.manual_seed`` asks every back-end there is: 70 times as long as the CPU's own generator takes.
    seed_generators = torch.default_generator.manual_seed if environment.device.type == "cpu" else torch.manual_seed
    for (seed, rate), batch in zip(settings, islice(batches, to - start), strict=False):
        seed_generators(seed)
        for parameter in trained:  # what ``zero_grad`` does, without its entry in the profiler
            parameter.grad = None
        if learning is not None:
            learning.mask(reached)
        if averaging is None:
            with precision:
                loss = task.loss(task.forward(model, batch), batch)
            loss.backward()  # type: ignore[no-untyped-call]
        else:
            loss, stop = averaging.backward(task, model, batch, precision, interrupt())
        if learning is not None:
            learning.learn(reached)
        if weights:
            _mask_gradients(weights, kept)
        if schedule.clip is not None:
            nn.utils.clip_grad_norm_(trained, schedule.clip)
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        if weights:
            with torch.no_grad():
                torch._foreach_mul_(weights, kept)  # type: ignore[arg-type]
        slots[since].copy_(loss.detach())
        reached, since = reached + 1, since + 1
        if averaging is None:
            stop = interrupt()
        if stop or since == REPORT_EVERY or reached == to:
            watch(reached, _mean(losses[:since].tolist(), reached))
            since = 0
        if stop:
            break
    else:
        if reached < to:
            raise CellError(f"the task's batches ended before step {reached + 1} of {to}", mend="They must be endless.")
    optimizer.zero_grad(set_to_none=True)
    return Position(schedule, reached, _save_optimizer(model, optimizer) if reached < schedule.length else {})


def _settings(
    schedule: Schedule, seed: int, start: int, to: int, apart: tuple[int, ...]
) -> Iterator[tuple[int, float]]:
    """Seed of the draws (dropout), with what sets them ``apart``, and learning rate of each step. Computed some at
    a time: one at a time, between two passes through the network, they cost several times as much."""
    for first in range(start, to, REPORT_EVERY):
        steps = range(first, min(first + REPORT_EVERY, to))
        yield from [(derive(seed, schedule.stream, "dropout", step, *apart), schedule.rate(step)) for step in steps]


def _mask_gradients(weights: list[Tensor], kept: list[Tensor]) -> None:
    """Zeroes the gradients of masked weights. A weight that the loss did not touch has none, and the optimiser
    passes over it."""
    pairs = [(weight.grad, mask) for weight, mask in zip(weights, kept, strict=True) if weight.grad is not None]
    if pairs:
        torch._foreach_mul_([gradient for gradient, _ in pairs], [mask for _, mask in pairs])


def _mean(losses: list[float], reached: int) -> float:
    """Mean of the losses up to step ``reached``. The step that ``CellError`` names is the first that is not finite,
    wherever training was stopped and taken up again."""
    for step, value in enumerate(losses, reached - len(losses) + 1):
        if not math.isfinite(value):
            raise CellError(f"the training loss became {value} at step {step}", mend="Lower --lr.")
    return sum(losses) / len(losses)


def _optimizer(model: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if schedule.optimizer in ("adam", "adamw"):
        kind = torch.optim.Adam if schedule.optimizer == "adam" else torch.optim.AdamW
        return kind(
            parameters,
            lr=schedule.lr,
            betas=schedule.betas,
            eps=schedule.eps,
            weight_decay=schedule.weight_decay,
            fused=True,
        )
    if schedule.optimizer == "sgd":
        return torch.optim.SGD(
            parameters,
            lr=schedule.lr,
            momentum=schedule.momentum,
            nesterov=schedule.nesterov,
            weight_decay=schedule.weight_decay,
            fused=True,
        )
    raise CellError(f"unknown optimizer {schedule.optimizer!r}", mend="There is: adam, adamw, sgd.")


def _save_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    saved = {}
    for name, parameter in model.named_parameters():
        for kind, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                saved[f"{name}/{kind}"] = value.detach().clone()
    return saved


def _load_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer, saved: Mapping[str, Tensor]) -> None:
    parameters = dict(model.named_parameters())
    for full, value in saved.items():
        name, _, kind = full.rpartition("/")
        parameter = parameters[name]
        whole = value.shape == parameter.shape
        optimizer.state[parameter][kind] = _laid_out(value, parameter, value.dtype) if whole else value.clone()


def _laid_out(values: Tensor, parameter: Tensor, dtype: torch.dtype) -> Tensor:
    """A copy of ``values`` with the strides of ``parameter``.

    Fused optimisers go through memory in its order and take it that all tensors of a parameter are laid out alike: the
    moments of a channels-last weight, read row-major from a file, would silently be those of other entries.
    """
    return torch.empty_like(parameter, dtype=dtype, requires_grad=False).copy_(values)
