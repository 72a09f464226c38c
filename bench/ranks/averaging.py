"""One training step on several processes: each derives its part of the batch, and the gradients are summed.

A part's loss is weighted by its share of the batch, so that the sum of the gradients is the whole batch's, whatever
the parts' sizes. The running statistics of batch norms are averaged likewise, step by step; other buffers are rank 0's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from bench import ranks
from bench.errors import UsageError
from bench.ranks.team import STEPPED, Team, buckets

if TYPE_CHECKING:
    from tasks.base import Batch, Task


class Averaging:
    """The backward passes of one training."""

    def __init__(self, team: Team, model: nn.Module, parameters: Sequence[Tensor], batch_size: int) -> None:
        if batch_size < team.size:
            raise UsageError(
                f"a batch of {batch_size} is less than a row for each of {team.size} processes",
                mend="Give a larger --batch-size, or start fewer.",
            )
        self.team, self._parameters = team, parameters
        self._norms = [
            module for module in model.modules() if isinstance(module, _NormBase) and module.running_mean is not None
        ]

    def backward(
        self, task: Task, model: nn.Module, batch: Batch, precision: AbstractContextManager[object], stop: bool
    ) -> tuple[Tensor, bool]:
        """Gradients of the whole ``batch``'s loss, in every process; the loss, and whether rank 0 is to ``stop``."""
        team = self.team
        failed: Exception | None = None
        weight = 0.0
        value = torch.zeros((), device=team.device)
        try:
            part, weight = ranks.part_of(task, batch, team.rank, team.size)
            if weight:
                team.dividing = True
                with precision:
                    held = {name: tensor.to(team.device, non_blocking=True) for name, tensor in part.items()}
                    loss = task.loss(task.forward(model, held), held) * weight
                loss.backward()  # type: ignore[no-untyped-call]
                value = loss.detach().float()
        except Exception as error:
            failed = error
        finally:
            team.dividing = False
        touched = [parameter.grad is not None for parameter in self._parameters]
        told = team.meet(STEPPED, failed, int(stop), _number(touched))
        if len({row[1] for row in told}) > 1:
            touched = self._anywhere(touched)
        self._sum(touched, value, weight)
        return value, bool(told[0][0])

    def _anywhere(self, touched: list[bool]) -> list[bool]:
        """Which parameters the loss of any part depends upon: the others have no gradient, and are passed over."""
        counts = torch.tensor(touched, dtype=torch.float32, device=self.team.device)
        self.team.sum_up(counts)
        return [count > 0 for count in counts.tolist()]

    def _sum(self, touched: Sequence[bool], value: Tensor, weight: float) -> None:
        """Sums gradients, losses and weighted statistics over all processes, in place."""
        tensors = [value]
        for parameter, anywhere in zip(self._parameters, touched, strict=True):
            if anywhere:
                if parameter.grad is None:
                    parameter.grad = torch.zeros_like(parameter)
                tensors.append(parameter.grad)
        for norm in self._norms:
            if norm.training:
                for statistic in (norm.running_mean, norm.running_var):
                    assert statistic is not None
                    tensors.append(statistic.mul_(weight))
        for places in buckets(tensors):
            flat = torch.cat([tensors[place].reshape(-1) for place in places])
            self.team.sum_up(flat)
            parts = torch.split(flat, [tensors[place].numel() for place in places])
            for place, part in zip(places, parts, strict=True):
                tensors[place].copy_(part.view(tensors[place].shape))


def _number(touched: Sequence[bool]) -> int:
    """Of 56 bits, the same for the same marks."""
    return int.from_bytes(hashlib.blake2b(bytes(touched), digest_size=7).digest(), "big")


def gathered(team: Team, own: Tensor, rows: slice, count: int) -> Tensor:
    """All ``count`` rows, of which this process has ``rows``; the derivatives go back to where a row comes from."""
    found: Tensor = _Gathered.apply(own, team, rows, count)  # type: ignore[no-untyped-call]
    return found


class _Gathered(torch.autograd.Function):
    """Rows from all processes. Every other one is zero here, so that the sum is a concatenation."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, team: Team, rows: slice, count: int) -> Tensor:
        ctx.team, ctx.rows = team, rows
        whole = _precise(own).new_zeros((count, *own.shape[1:]))
        whole[rows] = own
        team.sum_up(whole)
        return whole.to(own.dtype)

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None, None]:
        total = _precise(slopes[0]).clone(memory_format=torch.contiguous_format)
        ctx.team.sum_up(total)
        return total[ctx.rows].to(slopes[0].dtype), None, None, None


def _precise(tensor: Tensor) -> Tensor:
    """In float32 at least."""
    return tensor.float() if tensor.element_size() < 4 else tensor
