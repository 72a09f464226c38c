"""What steps cost, by the timings of cells in the same folder.

A *kind* is what makes steps cost alike: of a training its batch size and optimiser, of a scoring its criterion and
batches. Its unit is a training step, a scoring pass, an evaluation. Where no step of a kind was measured, nothing is
said of it. Imports no torch.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.errors import StoreError
from bench.machine import cpu_name, has_gpu
from bench.rebuild import path_of
from bench.steps import Path, Score, Step, Train, canonical, stretches

if TYPE_CHECKING:
    from bench.record import Record
    from bench.store import Store
    from bench.tree import Plan

LOOKED_AT = 60
"""Records of a folder that are read for their timings at most."""
OF_A_KIND = 3
"""Of these, cells whose steps are of the same kinds."""


@dataclass(frozen=True)
class Kind:
    """What steps have in common that cost the same."""

    like: str
    """Of task, options and data."""
    step: str
    detail: str = ""

    @property
    def counts(self) -> bool:
        """Whether such steps are what time is spent on."""
        return self.step in ("Train", "Score", "Evaluate")

    def __str__(self) -> str:
        return f"{self.step}({self.detail.partition(',')[0]})" if self.detail else self.step


def _likeness(task: str, options: Mapping[str, Any], data: Mapping[str, Any]) -> str:
    """Equal for what trains the same model on the same data."""
    return hashlib.sha256(canonical([task, options, data.get("digest")]).encode()).hexdigest()[:16]


def kind_of(step: Step, like: str) -> Kind:
    """The kind of a step."""
    if isinstance(step, Train):
        learner = f", {step.learner.name}" if step.learner is not None else ""
        return Kind(like, "Train", f"batch size {step.schedule.batch_size}, {step.schedule.optimizer}{learner}")
    if isinstance(step, Score):
        return Kind(like, "Score", f"{step.criterion}, {step.batches} x {step.batch_size}")
    return Kind(like, type(step).__name__)


def units_of(step: Step, train_steps: int) -> int:
    """How many units the step is."""
    return train_steps if isinstance(step, Train) else step.iterations if isinstance(step, Score) else 1


def work_of(path: Path, like: str) -> Counter[Kind]:
    """Units by kind on a whole path."""
    work: Counter[Kind] = Counter()
    for step, taken in zip(path, stretches(path), strict=True):
        work[kind_of(step, like)] += units_of(step, taken)
    return +work


@dataclass(frozen=True)
class Rates:
    """Measured seconds a unit, by kind."""

    seconds: Mapping[Kind, float]
    basis: str = ""
    """Where they were measured: ``5 cells of this folder, on ...``."""


NOTHING = Rates({})


def rates(store: Store, plan: Plan, device: str = "auto", threads: int | None = None) -> Rates:
    """What the folder's timings say of steps as the plan's, on the device, at the threads, that are asked for."""
    wanted = {*likes_of(plan).values()}
    kind = device.partition(":")[0] if device != "auto" else "cuda" if has_gpu() else "cpu"
    groups: dict[tuple[str, int], list[Record]] = defaultdict(list)
    for record in store.records(_worth_reading(store, plan)):
        made = record.provenance
        here = made.get("device") == kind and (kind != "cpu" or made.get("device_name") == cpu_name())
        same = kind != "cpu" or threads is None or made.get("threads") == threads
        alike = _computed_as(plan, made) and _likeness(record.task, record.options, record.data) in wanted
        if record.status == "done" and here and same and alike:
            groups[str(made.get("device_name")), int(made.get("threads", 1))].append(record)
    if not groups:
        return NOTHING
    (name, count), records = max(groups.items(), key=lambda group: len(group[1]))
    found = _solved(records, store.timings([record.key for record in records]))
    if not any(kind.counts for kind in found):
        return NOTHING
    cells = f"{len(records)} cell{'s' if len(records) != 1 else ''}"
    at = f"{count} thread{'s' if count != 1 else ''}"
    return Rates(found, f"{cells} of this folder, on {name}, {at}")


def _computed_as(plan: Plan, made: Mapping[str, Any]) -> bool:
    """Whether a record's provenance has the number type and the number of processes of the plan."""
    asked = plan.request
    return asked is None or (made.get("dtype"), made.get("processes", 1)) == (asked.dtype, asked.processes)


def _worth_reading(store: Store, plan: Plan) -> list[str]:
    """Keys of a few records for each row of kinds in the plan, and of some others of the folder."""
    there = store.keys()
    known = frozenset(there)
    few: Counter[frozenset[Kind]] = Counter()
    chosen: dict[str, None] = {}
    alike: dict[int, frozenset[Kind]] = {}
    likes = likes_of(plan)
    for cell in plan.cells:
        if cell.key in known and len(chosen) < LOOKED_AT:
            # Seeds of a grid share a path.
            kinds = alike.get(id(cell.path))
            if kinds is None:
                kinds = alike[id(cell.path)] = frozenset(work_of(cell.path, likes[id(cell.task)]))
            few[kinds] += 1
            if few[kinds] <= OF_A_KIND:
                chosen[cell.key] = None
    others = there[:: max(1, len(there) * 2 // LOOKED_AT)]
    return [*(chosen | dict.fromkeys(others[: max(0, LOOKED_AT - len(chosen))]))]


def likes_of(plan: Plan) -> dict[int, str]:
    """The likeness of each of the plan's tasks, by the object's id."""
    tasks = {id(root.task): root.task for root in plan.roots}
    return {number: _likeness(task.name, task.options, task.data) for number, task in tasks.items()}


def _solved(records: Sequence[Record], timings: Mapping[str, Mapping[str, float]]) -> dict[Kind, float]:
    """Seconds a unit of each kind. A timing has the seconds of all trainings on a path together: those of one kind
    tell its rate, and then those of which it is the only one not known yet."""
    rows: list[tuple[float, dict[Kind, int]]] = []
    for record in records:
        try:
            work = work_of(path_of(record), _likeness(record.task, record.options, record.data))
        except StoreError:  # of a version that had other steps
            continue
        for step, seconds in timings[record.key].items():
            counts = {kind: units for kind, units in work.items() if kind.step == step}
            if counts:
                rows.append((seconds, counts))
    found: dict[Kind, float] = {}
    while True:
        samples: dict[Kind, list[float]] = defaultdict(list)
        for seconds, counts in rows:
            unknown = [kind for kind in counts if kind not in found]
            if len(unknown) == 1:
                rest = seconds - sum(found[kind] * units for kind, units in counts.items() if kind in found)
                samples[unknown[0]].append(max(0.0, rest) / counts[unknown[0]])
        if not samples:
            return found
        found |= {kind: median(values) for kind, values in samples.items()}
