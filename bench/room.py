"""Whether a task's cells fit into memory and onto the disk, asked once its model is built and before any step is taken.

Only what certainly cannot work is refused; what may not, for batches, their activations and the data come on top, is
said in a line.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch

from bench.errors import StoreError, UsageError
from bench.executors.segments import Segment, trunk
from bench.machine import human
from bench.state import live_tensors
from bench.steps import Schedule, Train
from bench.store import Store
from bench.tree import Node
from bench.workbench import Workbench

BESIDE_A_STATE = 8192
"""Bytes that a cell's record and timing take on the disk at least: two blocks."""


@dataclass(frozen=True)
class Need:
    """Bytes: what it takes at least, and what it comes to as far as that can be said beforehand."""

    least: int
    likely: int


@dataclass(frozen=True)
class Sizes:
    """Bytes of a model."""

    weights: int
    """Parameters and buffers."""
    trained: int
    """Parameters that have a gradient."""
    prunable: int


def sizes_of(bench: Workbench) -> Sizes:
    """The sizes of the live model."""
    trained = (parameter for parameter in bench.model.parameters() if parameter.requires_grad)
    return Sizes(_bytes(live_tensors(bench.model).values()), _bytes(trained), _bytes(bench.prunable().values()))


def memory(sizes: Sizes, schedules: Iterable[Schedule]) -> Need:
    """What one worker holds at a time: the model and the state before a step; for training gradients and the
    optimiser's tensors; then the state after it, masks and scores."""
    moments = max((1 + _moments(schedule) for schedule in schedules), default=0)
    least = 2 * sizes.weights + moments * sizes.trained
    return Need(least, least + sizes.weights + 3 * sizes.prunable + moments * sizes.trained)


def disk(sizes: Sizes, segments: Sequence[Segment], stored: Collection[str], workers: int) -> Need:
    """What the segments leave on the disk, but for the states and records that are ``stored``: dense models, which are
    kept, and records; for a while the states at the branches, and one of training on its way a worker."""
    there = frozenset(stored)
    kept = sum(trunk(node) and node.key not in there for segment in segments for node in segment.steps)
    cells = sum(key not in there for segment in segments for key in segment.cells)
    least = kept * sizes.weights + cells * BESIDE_A_STATE
    deepest = max((sum(1 for _ in _branches(segment)) for segment in segments), default=0)
    state = sizes.weights + sizes.prunable // 4
    moments = max((_moments(schedule) for schedule in schedules_of(segments)), default=0)
    return Need(least, least + workers * (deepest * state + state + moments * sizes.trained))


def schedules_of(segments: Iterable[Segment]) -> Iterator[Schedule]:
    """The schedules that the segments train under."""
    return (node.step.schedule for segment in segments for node in segment.nodes if isinstance(node.step, Train))


def check(
    bench: Workbench,
    segments: Sequence[Segment],
    store: Store,
    free: int | None,
    workers: int,
    say: Callable[[str], None],
) -> None:
    """Raises ``UsageError`` or ``StoreError`` where a task's segments cannot fit, and says where they may not.

    ``free`` is the memory that this process can take, in bytes, None where that is not known; ``workers`` share the
    disk.
    """
    sizes = sizes_of(bench)
    device = bench.environment.device
    room = _on_gpu(device) if device.type == "cuda" else free
    if room is not None:
        check_memory(memory(sizes, schedules_of(segments)), room, bench.task.name, workers, device.type, say)
    if store.storage.folder is not None:
        needed = disk(sizes, segments, [*store.state_keys(), *store.keys()], workers)
        check_disk(needed, shutil.disk_usage(store.root).free, store.where(), say)


def check_memory(need: Need, free: int, task: str, workers: int, device: str, say: Callable[[str], None]) -> None:
    """The part of ``check`` for memory."""
    each = " for each worker" if workers > 1 else ""
    fewer = f"Give fewer --jobs than {workers}, or a" if workers > 1 else "Give a"
    mend = f"{fewer} smaller --model{' or --device cpu' if device == 'cuda' else ''}."
    kind = "of the GPU's memory" if device == "cuda" else "of memory"
    if need.least > free:
        raise UsageError(
            f"needs at least {human(need.least)} {kind}{each}, and {human(free)} are free", where=task, mend=mend
        )
    if need.likely > free:
        say(f"{task} takes about {human(need.likely)} {kind}{each}, and {human(free)} are free. {mend}")


def check_disk(need: Need, free: int, where: str, say: Callable[[str], None]) -> None:
    """The part of ``check`` for the disk."""
    mend = "Free some space, or give another folder with --out."
    if need.least > free:
        raise StoreError(
            f"needs at least {human(need.least)} for models and records, and {human(free)} are free",
            where=where,
            mend=mend,
        )
    if need.likely > free:
        say(f"{where}: takes about {human(need.likely)} for a while, and {human(free)} are free. {mend}")


def _branches(segment: Segment) -> Iterator[Node]:
    """The states that lie on the disk while the segment is carried out, dense models left out."""
    place: Segment | None = segment
    while place is not None:
        if place.end is not None and not trunk(place.end):
            yield place.end
        place = place.parent


def _moments(schedule: Schedule) -> int:
    """Tensors of a parameter's size that the optimiser keeps of it."""
    return 2 if schedule.optimizer in ("adam", "adamw") else 1 if schedule.momentum else 0


def _bytes(tensors: Iterable[torch.Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _on_gpu(device: torch.device) -> int:
    """Bytes that this process can still take there, with what it holds already for this."""
    free: int = torch.cuda.mem_get_info(device)[0]
    return free + int(torch.cuda.memory_reserved(device))
