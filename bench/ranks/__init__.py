"""Several processes that compute one cell together, as ``torchrun`` and ``accelerate launch`` start them.

Rank 0 does what a single process does: it walks the tree, decides, reads and writes. The others wait until it comes to
what can be shared, a stretch of training, a scoring on data or an evaluation, are given the state that it starts from
and carry it out together with it. So there is nothing to agree upon, no other process opens the results folder, and
nothing outside this package knows of ranks, beyond what it shares by the functions below.

In one process these are plain loops, and nothing is imported. Imports no torch.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, TypeVar

from bench.errors import BenchError, UsageError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from bench.ranks.averaging import Averaging
    from bench.ranks.team import Team
    from bench.state import State
    from bench.tree import Plan
    from tasks.base import Batch, Task

T = TypeVar("T")

_team: Team | None = None
"""The processes that this one has joined: as process-wide as torch's own process group."""


class LostError(BenchError):
    """Another process of the team ended or does not answer: none can go on alone."""

    exit_code = 1


class Concluded(BaseException):
    """What is left to do is rank 0's alone."""


# What the launcher says


def size() -> int:
    """Processes that were started together; 1 where no launcher says otherwise."""
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return 1
    return max(1, _number("WORLD_SIZE", 1))


def rank() -> int:
    """This process's number among them, from 0."""
    return _number("RANK", 0) if size() > 1 else 0


def follows() -> bool:
    """Whether rank 0 is another process: this one is silent, decides nothing and writes nothing."""
    return rank() > 0


def on_this_machine() -> int:
    """Processes of the team that share this machine's cores."""
    return max(1, _number("LOCAL_WORLD_SIZE", 1)) if size() > 1 else 1


def _number(name: str, otherwise: int) -> int:
    text = os.environ.get(name, "") or str(otherwise)
    if not text.isdecimal():
        raise UsageError(f"{text!r} is no number", where=f"${name}", mend="torchrun and accelerate launch set it.")
    return int(text)


# For what runs a grid


@contextmanager
def joined(device: str = "auto") -> Iterator[None]:
    """The processes started together as one team while it lasts; where there is but one, nothing.

    ``device`` as ``--device`` takes it. When rank 0 leaves, the others are told that all is done; when an error makes
    it leave, that they are to end. Raises ``UsageError`` where they cannot be joined.
    """
    global _team
    if size() == 1:
        yield
        return
    if _team is None:
        from bench.ranks.team import join

        _team = join(device)
    try:
        yield
    except BaseException:
        _team.dismiss(ended=True)
        raise
    _team.dismiss()


def agreed(work: Callable[[], T], told: Callable[[T], str]) -> T:
    """``work()``, which every process does for itself. ``told`` gives what must be the same in all of them.

    Raises the error of the first process that has one, and ``UsageError`` where they do not agree.
    """
    return work() if _team is None else _team.agreed(work, told)


def follow(plan: Plan, dtype: torch.dtype) -> None:
    """What every process but rank 0 does of a grid: its part of what rank 0 shares, until that has finished."""
    from bench.ranks.following import follow

    assert _team is not None
    follow(_team, plan, dtype)


def device() -> torch.device | None:
    """The device of this process in its team; None outside of one."""
    return None if _team is None else _team.device


def together(key: str, state: State) -> AbstractContextManager[None]:
    """Carries out with the other processes what the node of this key does from ``state`` on.

    An error of any of them ends it for all; rank 0 raises it, a ``CellError`` where it was another's.
    """
    return nullcontext() if _team is None else _team.together(key, state)


# For what is shared


def shared() -> bool:
    """Whether other processes carry out with this one what it does at this moment."""
    return _team is not None and _team.active


def spread(items: Iterable[T], work: Callable[[T], Sequence[Tensor]]) -> Iterator[Sequence[Tensor]]:
    """``work(item)`` of each item, in their order: of an evaluation's batches, say.

    Of several processes each works on its share (item i is rank i mod size's), and all are given what the others
    found, on the CPU. ``items`` must be the same in all of them, and cheap: each goes through all of them.
    """
    return one_by_one(items, work) if _team is None or not _team.active else iter(_team.spread(items, work))


def one_by_one(items: Iterable[T], work: Callable[[T], Sequence[Tensor]]) -> Iterator[Sequence[Tensor]]:
    """What ``spread`` is in one process."""
    return map(work, items)


def as_tensor(texts: Sequence[str]) -> Tensor:
    """Texts as what ``spread`` hands over."""
    import torch

    return torch.frombuffer(bytearray(json.dumps(texts).encode()), dtype=torch.uint8)


def as_texts(tensor: Tensor) -> list[str]:
    """The texts of ``as_tensor``."""
    texts: list[str] = json.loads(tensor.numpy().tobytes())
    return texts


def conclude() -> None:
    """What follows in an evaluation is rank 0's alone, as nothing more is spread: metrics, indexes, texts. Other
    processes leave here."""
    if _team is not None and _team.active and _team.rank:
        raise Concluded


def in_turn(
    items: Iterable[T], work: Callable[[T], tuple[Sequence[Tensor], int]], like: Sequence[Tensor]
) -> Iterator[tuple[Sequence[Tensor], int]]:
    """``work(item)`` of each item, in their order: tensors of the shapes, types and device of ``like``, and a number.

    Of several processes each works on every so-manieth item, and hands what it finds to all: whoever sums it up adds
    the same numbers in the same order as a single process, to the same bits.
    """
    return map(work, items) if _team is None or not _team.active else _team.in_turn(items, work, like)


def shared_training(model: nn.Module, parameters: Sequence[Tensor], batch_size: int) -> Averaging | None:
    """How a training step is shared; None where this process trains alone. Raises ``UsageError`` where a batch has
    fewer rows than there are processes."""
    if _team is None or not _team.active:
        return None
    from bench.ranks.averaging import Averaging

    return Averaging(_team, model, parameters, batch_size)


def divided(work: Callable[[slice], Tensor], rows: int) -> Tensor:
    """``work`` on all of ``rows`` rows, shape (rows, ...): for what every example of a training batch needs.

    In a training step of several processes each computes a share of the rows and is given the rest, derivatives
    included. Elsewhere it is ``work(slice(None))``.
    """
    if _team is None or not _team.dividing or rows < _team.size:
        return work(slice(None))
    from bench.ranks.averaging import gathered

    own = bounds(rows, _team.rank, _team.size)
    return gathered(_team, work(own), own, rows)


def bounds(rows: int, number: int, of: int) -> slice:
    """Which of ``rows`` rows part ``number`` of ``of`` has; the first parts have one more where they do not divide."""
    first, last = (-(-rows * place // of) for place in (number, number + 1))
    return slice(first, last)


def part_of(task: Task, batch: Batch, number: int, of: int) -> tuple[Batch, float]:
    """Part ``number`` of ``of`` of a training batch as the task divides it, else by rows; and its weight."""
    own: Callable[[Batch, int, int], tuple[Batch, float]] | None = getattr(task, "part", None)
    return (own or part_of_rows)(batch, number, of)


def part_of_rows(batch: Batch, number: int, of: int) -> tuple[Batch, float]:
    """Part ``number`` of ``of`` of a batch all of whose tensors have one row an example, and its share of the rows.

    Raises ``UsageError`` for a batch whose tensors differ in length.
    """
    lengths = {len(tensor) if tensor.dim() else 0 for tensor in batch.values()}
    if len(lengths) != 1:
        raise UsageError(
            f"a training batch cannot be divided among {of} processes: its tensors differ in length",
            mend="The task needs a method part(batch, number, of); or run in one process.",
        )
    (rows,) = lengths
    own = bounds(rows, number, of)
    return {name: tensor[own] for name, tensor in batch.items()}, (own.stop - own.start) / rows if rows else 0.0
