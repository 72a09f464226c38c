"""The steps that a cell is made of, and the keys of their prefixes.

A cell is a path of steps; equal prefixes of two paths are one computation. A step is a frozen
dataclass, so it *is* its canonical JSON, and the key of a prefix is a hash over the steps up to there:

    key(step n) = sha256(key(step n-1), canonical JSON of step n)

with one refinement: ``Train`` names the position that it trains *to*, so training to 100 and then to 500
under one schedule is the same computation as training to 500, and has the same key.

Imports nothing of ours and nothing heavy.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

SEMANTICS = 1
"""Version of what the steps mean. Raised when the harness would compute something else for the same path."""


OPTIMIZERS = ("adam", "adamw", "sgd")
LONGEST = 1_000_000_000
"""Of a schedule, in steps or epochs, and of a batch, in examples."""
DECAYS = ("constant", "linear", "cosine", "milestones")


@dataclass(frozen=True)
class Schedule:
    """How to train: length, batches, optimiser and learning rate. Part of every key it appears in.

    A preset may give ``epochs``; ``resolved`` turns them into ``steps``, and only resolved schedules reach a path.
    """

    lr: float
    batch_size: int
    steps: int | None = None
    epochs: float | None = None
    optimizer: str = "adam"
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    momentum: float = 0.0
    nesterov: bool = False
    weight_decay: float = 0.0
    warmup: int = 0
    """Steps over which the learning rate rises linearly from 0."""
    decay: str = "constant"
    """``constant``, ``linear`` or ``cosine`` down to ``floor * lr``, or ``milestones``."""
    floor: float = 0.0
    milestones: tuple[float, ...] = ()
    """Fractions of the length at which the learning rate is multiplied by ``gamma``."""
    gamma: float = 0.1
    clip: float | None = None
    """Largest global gradient norm, or None."""
    stream: str = "train"
    """Names the random streams (data order, dropout), so that a second phase sees other batches than the first."""

    def problem(self) -> str | None:
        """What of the settings cannot be, or None."""
        numbers = {"lr": self.lr, "eps": self.eps, "momentum": self.momentum, "weight_decay": self.weight_decay}
        numbers |= {"floor": self.floor, "gamma": self.gamma, "epochs": self.epochs or 0, "clip": self.clip or 0}
        for name, value in numbers.items():
            if not (math.isfinite(value) and value >= 0):
                return f"{name} is {value}: give a finite number, 0 or more"
        whole = {"steps": (self.steps or 0, 0), "warmup": (self.warmup, 0), "batch_size": (self.batch_size, 1)}
        for name, (count, least) in whole.items():
            if count < least:
                return f"{name} is {count}: give {least} or more"
            if count > LONGEST:
                return f"{name} is {count}: give {LONGEST:,} or less"
        if (self.epochs or 0) > LONGEST:
            return f"epochs is {self.epochs:g}: give {LONGEST:,} or less"
        if self.clip == 0:
            return "clip is 0: give a positive number, or none"
        if not all(0 <= beta < 1 for beta in self.betas) or len(self.betas) != 2:
            return f"betas are {self.betas}: give two numbers from 0 to below 1"
        for name, chosen, known in (("optimizer", self.optimizer, OPTIMIZERS), ("decay", self.decay, DECAYS)):
            if chosen not in known:
                return f"{name} is {chosen!r}: give one of {', '.join(known)}"
        return None

    def resolved(self, examples: int) -> Schedule:
        """The same schedule in steps, for a training set of ``examples``."""
        if self.steps is not None:
            return replace(self, epochs=None)
        if self.epochs is None:
            raise ValueError("a schedule needs steps or epochs")
        return replace(self, steps=round(self.epochs * max(1, math.ceil(examples / self.batch_size))), epochs=None)

    def renamed(self, stream: str) -> Schedule:
        """The same schedule on random streams of its own."""
        return replace(self, stream=stream)

    @property
    def length(self) -> int:
        """Steps in all, of a resolved schedule."""
        if self.steps is None:
            raise ValueError("the schedule is not resolved: it has epochs, not steps")
        return self.steps

    def rate(self, step: int) -> float:
        """Learning rate of step ``step`` (0-based)."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        span = max(1, self.length - self.warmup)
        done = min(1.0, (step - self.warmup) / span)
        if self.decay == "constant":
            factor = 1.0
        elif self.decay == "linear":
            factor = self.floor + (1 - self.floor) * (1 - done)
        elif self.decay == "cosine":
            factor = self.floor + (1 - self.floor) * (1 + math.cos(math.pi * done)) / 2
        elif self.decay == "milestones":
            factor = self.gamma ** sum(step >= m * self.length for m in self.milestones)
        else:
            raise ValueError(f"unknown decay {self.decay!r}")
        return self.lr * factor


@dataclass(frozen=True)
class Init:
    """Build the model and draw its initial weights from the seed's init stream."""


Option = str | int | float | bool | None
Options = tuple[tuple[str, Option], ...]
"""Names and values, sorted by name: a mapping that can stand in a frozen step."""


@dataclass(frozen=True)
class Learner:
    """A registered rule that learns masks while the weights are trained (movement pruning, say)."""

    name: str
    version: int | str
    sparsity: float
    """What it heads for; the ``Cut`` that follows its training lands there exactly."""
    options: Options = ()
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True)
class Train:
    """Train under ``schedule`` until position ``to`` (steps from the schedule's start).

    With a ``learner`` the forward passes see masked weights, the weights keep their values, and the scores that were
    learned are what the ``Cut`` after it selects from.
    """

    schedule: Schedule
    to: int
    learner: Learner | None = None


@dataclass(frozen=True)
class Score:
    """Score every prunable weight with a criterion, larger = keep.

    With ``iterations`` N > 1 the pass is repeated: after pass i < N the weights are cut to density
    ``(1 - sparsity) ** (i / N)`` and scored again (Tanaka et al. 2020, algorithm 1); the following ``Cut`` is pass N's.
    ``sparsity``, ``allocation`` and ``structure`` matter to such a criterion only and are None otherwise, so that one
    scoring serves every sparsity.
    """

    criterion: str
    version: int | str
    batches: int
    batch_size: int
    iterations: int = 1
    sparsity: float | None = None
    allocation: str | None = None
    structure: str | None = None
    exclude: tuple[str, ...] = ()
    """Patterns of parameter names that are not offered for pruning."""


@dataclass(frozen=True)
class Cut:
    """Keep exactly round((1 - sparsity) * n) of the n prunable weights: those of the largest scores."""

    sparsity: float
    allocation: str = "global"
    structure: str = "weights"


@dataclass(frozen=True)
class AdaptiveCut:
    """Cut as many weights as a registered rule finds fit (the PQ Index of SAP, say), not as many as asked for."""

    rule: str
    version: int
    options: Options = ()
    exclude: tuple[str, ...] = ()


@dataclass(frozen=True)
class Rewind:
    """Put surviving weights, optimiser and position back to where the path's first schedule stood at step ``to``.

    0 is the initial weights. Masks stay.
    """

    to: int


@dataclass(frozen=True)
class Evaluate:
    """Measure the model on a split and leave a record. ``options`` are the task's own, by name."""

    split: str = "test"
    options: Options = ()


Step = Init | Train | Score | Cut | AdaptiveCut | Rewind | Evaluate
Path = tuple[Step, ...]


def stretches(path: Sequence[Step]) -> list[int]:
    """Training steps that each step of ``path`` takes: a ``Train`` goes on from where its schedule stands."""
    taken: list[int] = []
    schedule: Schedule | None = None
    position = 0
    for step in path:
        steps = 0
        if isinstance(step, Train):
            steps = step.to - (position if step.schedule == schedule else 0)
            schedule, position = step.schedule, step.to
        elif isinstance(step, Rewind):
            schedule, position = first_schedule(path), step.to
        taken.append(steps)
    return taken


def excluded(path: Sequence[Step]) -> tuple[str, ...]:
    """Patterns of the parameters that a path's criterion, rule or learner is not offered."""
    for step in path:
        if isinstance(step, Score | AdaptiveCut):
            return step.exclude
        if isinstance(step, Train) and step.learner is not None:
            return step.learner.exclude
    return ()


def first_schedule(path: Sequence[Step]) -> Schedule | None:
    """The schedule that ``Rewind`` rewinds: that of the path's first training."""
    return next((step.schedule for step in path if isinstance(step, Train)), None)


def canonical(value: object) -> str:
    """Canonical JSON: sorted keys, no white space, NaN refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=True)


def describe(step: Step) -> dict[str, object]:
    """The step as plain data, its kind under ``step``."""
    return {"step": type(step).__name__, **asdict(step)}


def continued(before: Train, after: Train) -> bool:
    """Whether two steps in a row are stretches of one training."""
    return before.schedule == after.schedule and before.learner == after.learner


def root_key(identity: Mapping[str, object]) -> str:
    """Key of what all steps of a path presuppose: task, options, data, model, seed, dtype, semantics version."""
    return hashlib.sha256(canonical({"semantics": SEMANTICS, **identity}).encode()).hexdigest()


def keys(root: str, path: Sequence[Step]) -> list[str]:
    """The key after each step of ``path``, 64 hexadecimal digits each."""
    found: list[str] = []
    before_training = root
    for index, step in enumerate(path):
        previous = path[index - 1] if index else None
        continues = isinstance(step, Train) and isinstance(previous, Train) and continued(previous, step)
        if not continues:
            before_training = found[-1] if found else root
        found.append(hashlib.sha256(f"{before_training}\n{text(step)}".encode()).hexdigest())
    return found


def text(step: Step) -> str:
    """The step's canonical JSON, made once an object: one path serves all seeds of a grid.

    By the object and not by equal ones: 1 and 1.0 are equal and differ in JSON.
    """
    known: str | None = step.__dict__.get("_text")
    if known is None:
        known = step.__dict__["_text"] = canonical(describe(step))
    return known
