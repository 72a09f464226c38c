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

from bench.errors import CellError
from bench.state import Position
from bench.steps import Schedule
from bench.streams import derive

if TYPE_CHECKING:
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
        for batch in task.batches("train", seed=derive(self.seed, stream, "order"), size=size, start=start):
            yield to_device(batch, self.device)


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
    watch: Callable[[int, float], None] = lambda step, loss: None,
    interrupt: Callable[[], bool] = lambda: False,
) -> Position:
    """Trains ``model`` in place under ``masks`` from ``position`` (None: the schedule's start) to step ``to``.

    ``watch(step, loss)`` is called every few steps with the mean loss since the last call. Training stops early,
    between two steps, once ``interrupt()`` is true; the position returned says where. Masked weights are zero after
    each step. Raises ``CellError`` where the loss is no longer finite.
    """
    start = position.step if position is not None else 0
    optimizer = _optimizer(model, schedule)
    if position is not None:
        _load_optimizer(model, optimizer, position.optimizer)
    parameters = dict(model.named_parameters())
    weights: list[Tensor] = [parameters[name] for name in masks]
    kept = [masks[name].to(parameters[name].dtype) for name in masks]
    trained = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    random = _draws_randomly(model)
    model.train()
    total, since, step = torch.zeros((), device=environment.device), 0, start
    batches = environment.batches(task, schedule.stream, schedule.batch_size, start)
    for step, batch in enumerate(islice(batches, to - start), start):
        if random:
            torch.manual_seed(derive(environment.seed, schedule.stream, "dropout", step))
        with environment.autocast():
            loss = task.loss(task.forward(model, batch), batch)
        loss.backward()  # type: ignore[no-untyped-call]
        if weights:
            torch._foreach_mul_([_gradient(weight) for weight in weights], kept)  # type: ignore[arg-type]
        if schedule.clip is not None:
            nn.utils.clip_grad_norm_(trained, schedule.clip)
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate(step)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if weights:
            with torch.no_grad():
                torch._foreach_mul_(weights, kept)  # type: ignore[arg-type]
        total += loss.detach()
        since += 1
        stop = interrupt()
        if stop or since == REPORT_EVERY or step + 1 == to:
            mean = float(total) / since
            if not math.isfinite(mean):
                raise CellError(f"the training loss became {mean} by step {step + 1}", mend="Lower --lr.")
            watch(step + 1, mean)
            total.zero_()
            since = 0
        if stop:
            break
    reached = step + 1 if to > start else start
    return Position(schedule, reached, _save_optimizer(model, optimizer) if reached < schedule.length else {})


def _gradient(weight: Tensor) -> Tensor:
    if weight.grad is None:
        weight.grad = torch.zeros_like(weight)
    return weight.grad


def _draws_randomly(model: nn.Module) -> bool:
    """Whether training steps may draw random numbers: any dropout that is not zero, in a module or a configuration."""
    dropouts = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)
    if any(isinstance(module, dropouts) and module.p > 0 for module in model.modules()):
        return True
    return any(
        isinstance(value, float) and value > 0
        for module in model.modules()
        for name, value in vars(module).items()
        if "dropout" in name
    )


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
        optimizer.state[parameters[name]][kind] = value.clone()
