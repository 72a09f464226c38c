"""The face that every task shows the harness.

A task is opened on data (``Files``) with its options; it then offers batches, outputs, a loss and an evaluation.
Nothing here is heavy: a task's module imports torch and transformers inside the methods that need them, so that
listing and planning stay fast.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

from bench.checkpoints import Checkpoint
from bench.data import DataIdentity, Files
from bench.masks.couplings import Coupling
from bench.sources import DataSet
from bench.steps import Schedule

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    Batch = Mapping[str, Tensor]


T = TypeVar("T")
LATER = "later"


def later(default: T) -> T:
    """A field of a task's options that came after its first records. At its default it is in no key and no record, so
    that all computed before stays what it was."""
    return field(default=default, metadata={LATER: True})


@dataclass(frozen=True)
class Metric:
    """A figure of merit. ``name`` is the field's own (ir-measures' names for ranking); fractions, not percent."""

    name: str
    higher_is_better: bool = True
    percent: bool = False
    """Tables print it times 100, and say so."""


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found."""

    metrics: Mapping[str, float]
    """Metric name to value. A NaN fails the cell."""
    examples: Mapping[str, np.ndarray] = field(default_factory=dict)
    """Metric name to its per-example values, float32, in one fixed order of the examples: shape (n,), or as many as
    the note ``examples_of_a_part`` says by metric, where it is of a part of them alone (one of two test sets)."""
    n: int = 0
    """Number of examples evaluated."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Files to leave beside the record: suffix (``run`` for a TREC run file) to text."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """Plain JSON facts that belong in the record (tie rate, a cap on recall, truncated inputs). ``samples`` lists kinds
    of ``files`` that are tab-separated tables under a header: ``bench show KEY`` prints their first rows."""


@dataclass(frozen=True)
class Preset:
    """A named set of settings. Each can be given by flag; all end up in the key."""

    options: Any
    """The task's own frozen dataclass of options: whatever the weights, batches or metrics depend upon."""
    train: Schedule
    recover: Schedule
    """Training after a cut of trained weights."""
    score_batches: int = 1
    score_batch_size: int = 64
    """Batches that a data-driven criterion sees."""


@dataclass(frozen=True)
class Reference:
    """A method without a network on the same data (BM25, say): a row of its own in the task's table."""

    name: str
    metrics: Mapping[str, float]
    note: str = ""


class Task(Protocol):
    """One task, opened on its data. Construction only stores its arguments."""

    name: ClassVar[str]
    title: ClassVar[str]
    version: ClassVar[int]
    """Raised when the same options would give other numbers."""
    dataset: ClassVar[str]
    """Folder of the data set's official layout, under the data root."""
    required: ClassVar[Sequence[str]]
    """Files that must be there."""
    metrics: ClassVar[Sequence[Metric]]
    """The first is the one that tables lead with."""
    presets: ClassVar[Mapping[str, Preset]]
    notes: Sequence[str]
    """Sentences that belong under every table of this task; of an open task, with its options."""

    def __init__(self, files: Files, options: Any) -> None: ...

    @staticmethod
    def sample() -> Mapping[str, bytes]:
        """The embedded sample: file name to content, in the official format, the same bytes every time."""
        ...

    def identity(self) -> DataIdentity:
        """Which data this is. Needs no torch."""
        ...

    def examples(self) -> int:
        """Number of training examples in one epoch. Needs no torch."""
        ...

    def build(self, seed: int) -> nn.Module:
        """The model with its initial weights, in train mode, on the CPU. Draws from torch's global generator,
        which the harness has seeded with ``seed``."""
        ...

    def batches(self, split: str, *, seed: int, size: int, start: int = 0) -> Iterator[Batch]:
        """Batches of up to ``size`` examples, from batch number ``start``: endless and shuffled for ``train``, one pass
        in order otherwise. Batch i is a function of (seed, i) alone, so that training can go on anywhere."""
        ...

    def forward(self, model: nn.Module, batch: Batch) -> Tensor:
        """The raw outputs (logits) on a batch, shape (examples, ...)."""
        ...

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Scalar loss of these outputs, mean over examples; differentiable twice."""
        ...

    def evaluate(self, model: nn.Module, split: str) -> Evaluation:
        """Metrics and their per-example values. The model is in eval mode, without gradients."""
        ...

    def prunable(self, model: nn.Module) -> Sequence[str]:
        """Full names of the parameters offered for pruning, in model order."""
        ...

    def example(self) -> Batch:
        """One example at the task's stated lengths, for FLOPs and latency."""
        ...

    def evaluation_options(self) -> Mapping[str, str | int | float | bool | None]:
        """Options that only the evaluation depends upon: they enter the key of ``Evaluate``, not the root's."""
        ...

    def references(self) -> Sequence[Reference]:
        """Baselines without a network, measured on the same evaluation data; may be empty."""
        ...


class Divisible(Protocol):
    """What a task may offer beyond ``Task``: its training batches in parts, for several processes that train one model.

    A task without it is divided by rows where all tensors of its batches have one row an example. An evaluation is
    shared out by ``bench.ranks.spread``; one that does not call it is carried out whole in each process.
    """

    def part(self, batch: Batch, number: int, of: int) -> tuple[Batch, float]:
        """Part ``number`` of ``of`` of a training batch (``bench.ranks.bounds`` says which rows), and its weight: the
        losses of the parts, times their weights, sum to the batch's, and the weights to 1. One without a row has
        weight 0 and is not looked at."""
        ...


class Removable(Protocol):
    """What a task may offer beyond ``Task``: units of its model that can be removed for good.

    A task without units simply lacks these methods.
    """

    def couplings(self, model: nn.Module) -> Sequence[Coupling]:
        """The neurons, filters and heads of the model, by layer."""
        ...

    def narrowed(self, model: nn.Module, kept: Mapping[str, Tensor]) -> None:
        """Mends in place what the model knows of its sizes beyond its parameters (a number of heads) once units were
        removed; ``kept`` is boolean, of shape (units,), by name of the coupling. May be left out."""
        ...


class Pretrained(Protocol):
    """What a task may offer beyond ``Task``: weights that come from a checkpoint."""

    def checkpoint(self) -> Checkpoint | None:
        """The checkpoint that ``--model`` names, None where the model is one of the task's own. Needs no torch."""
        ...

    def other_checkpoints(self) -> Mapping[str, Checkpoint]:
        """Checkpoints that other options name, by name of the option. Needs no torch. May be left out."""
        ...


class Modelled(Protocol):
    """What a task may offer beyond ``Task``: names of its models where ``--model`` takes checkpoints as well."""

    models: ClassVar[Sequence[str]]


class Varied(Protocol):
    """What a task may offer beyond ``Task``: presets that differ between its models."""

    @staticmethod
    def presets_of(model: str) -> Mapping[str, Preset]:
        """The presets where ``--model`` names this model, their options' ``model`` among what it may change; the names
        are those of ``presets``, which are the default model's."""
        ...


class Portable(Protocol):
    """What a task may offer beyond ``Task``: its model in the form that others load."""

    def portable(self, model: nn.Module) -> nn.Module:
        """A model that computes the same and that its library loads from a folder by itself (``from_pretrained``)."""
        ...


class Placed(Protocol):
    """What a task may offer beyond ``Task``: its place among the tasks when reports put fields side by side."""

    family: ClassVar[str]
    """``IR``, ``NLP`` or ``vision``."""


class Sited(Protocol):
    """What a task may offer beyond ``Task``: a choice of data sets. ``dataset`` and ``required`` are the usual ones."""

    @staticmethod
    def source(options: Any) -> tuple[str, Sequence[str]]:
        """Folder and required files of the data set that the options name."""
        ...


class Obtainable(Protocol):
    """What a task may offer beyond ``Task``: where its data sets are to be had (``bench data``)."""

    @staticmethod
    def sources() -> Sequence[DataSet]:
        """The official sources of each data set that it can stand on."""
        ...


class Timed(Protocol):
    """What a task may offer beyond ``Task``: work after the forward pass whose latency is measured beside it."""

    def timed(self, model: nn.Module, examples: int) -> Mapping[str, Callable[[], None]]:
        """By name (a search in an index, say), what does the work once for this many examples."""
        ...
