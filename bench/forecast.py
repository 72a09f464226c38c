"""How long the rest of a plan takes, by what such steps took: in cells of the same folder, then in the run itself.

A *kind* is what makes steps cost alike: of a training its batch size and optimiser, of a scoring its criterion and
batches. Its unit is a training step, a scoring pass, an evaluation. Where no step of a kind was measured, nothing is
said of it. Imports no torch.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
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
    from bench.tree import Node, Plan

LOOKED_AT = 60
"""Records of a folder that are read for their timings at most."""
OF_A_KIND = 3
"""Of these, cells whose steps are of the same kinds."""
REFRESH = 5.0
"""Seconds for which the longest row of steps that is left is not looked for again,"""
SELDOM = 50
"""or so many times as long as that took."""


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
    wanted = {*_likes(plan).values()}
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
    likes = _likes(plan)
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


def _likes(plan: Plan) -> dict[int, str]:
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


@dataclass(frozen=True)
class Estimate:
    """How long the rest takes."""

    seconds: float
    basis: str
    missing: tuple[str, ...] = ()
    """Steps that are left and of whose kind none was measured: they are not in ``seconds``."""

    @property
    def without(self) -> str:
        """What ``seconds`` leave out, as the end of a sentence."""
        return f", not counting {', '.join(self.missing)}: not measured yet" if self.missing else ""

    def __str__(self) -> str:
        """``about 12 min left (measured in this run)``"""
        return f"about {duration(self.seconds)} left ({self.basis}{self.without})"


def duration(seconds: float) -> str:
    """Seconds as a person says them: ``45 s``, ``12 min``, ``3 h 20 min``, ``2 d 5 h``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(5 * round(minutes / 5), 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(round(hours + minutes / 60), 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


class Forecast:
    """What is left of a plan, kept up to date by what a run tells a listener, and how long that takes."""

    def __init__(
        self,
        plan: Plan,
        wanted: Collection[str],
        stored: Collection[str] = (),
        measured: Rates = NOTHING,
        *,
        workers: int = 1,
        resumed: Collection[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``wanted`` are the cells to compute, ``stored`` the nodes whose state is kept, ``resumed`` those whose
        training was saved on its way."""
        self.workers = max(1, workers)
        self._measured, self._resumed, self._clock = measured, frozenset(resumed), clock
        self._open: dict[Node, tuple[Kind, int]] = {}
        """What must be computed, children before their parents."""
        self._units: Counter[Kind] = Counter()
        likes = _likes(plan)
        for root in plan.roots:
            like = likes[id(root.task)]
            for node in _needed(root.node, frozenset(wanted), frozenset(stored)):
                assert node.step is not None
                self._open[node] = kind, units = kind_of(node.step, like), units_of(node.step, node.train_steps)
                self._units[kind] += units
        self._by_key = {node.key: node for node in self._open}
        self.at: dict[int, Node] = {}
        """The step that each worker has in hand."""
        self.trained_steps: dict[Node, int] = {}
        """Training steps done of those in hand."""
        self._since: dict[int, float] = {}
        """When the worker last told of something."""
        self._spent: dict[Kind, float] = defaultdict(float)
        self._done: Counter[Kind] = Counter()
        """Units of which the run itself has measured the seconds."""
        self._longest: tuple[float, float] | None = None
        """Until when the longest row need not be looked for again, and its seconds."""

    @property
    def cells_left(self) -> int:
        """Cells without the record that they are to get."""
        return sum(units for kind, units in self._units.items() if kind.step == "Evaluate")

    @property
    def train_steps(self) -> int:
        """Training steps of what is left, those in hand as a whole."""
        return sum(units for kind, units in self._units.items() if kind.step == "Train")

    @property
    def kinds(self) -> frozenset[Kind]:
        """The kinds of what is left."""
        return frozenset(kind for kind, units in self._units.items() if units > 0)

    # What a run tells

    def started(self, node: Node, worker: int = 0) -> None:
        self._ended(worker)
        self.at[worker], self._since[worker] = node, self._clock()

    def trained(self, node: Node, step: int, loss: float) -> None:
        assert isinstance(node.step, Train)
        worker = next((number for number, at in self.at.items() if at is node), None)
        done = node.train_steps - (node.step.to - step)
        before = self.trained_steps.get(node, 0)
        if worker is not None:
            now = self._clock()
            if (node in self.trained_steps or node.key not in self._resumed) and done > before:
                self._count(node, done - before, now - self._since[worker])
            self._since[worker] = now
        self.trained_steps[node] = done

    def finished(self, record: Record) -> None:
        node = self._by_key.get(record.key)
        worker = next((number for number, at in self.at.items() if at is node), None)
        if worker is not None:
            self._ended(worker)
        self.elsewhere(record)

    def elsewhere(self, record: Record) -> None:
        """The cell needs nothing any more, nor does what led to it alone."""
        node = self._by_key.get(record.key)
        while node is not None and node.key in self._by_key:
            if any(child in self._open for child in node.children):
                return
            self._close(node)
            node = node.parent

    def said(self, text: str) -> None: ...

    def _ended(self, worker: int) -> None:
        """The worker is done with the step that it had in hand."""
        node = self.at.pop(worker, None)
        if node in self._open:
            units = 0 if isinstance(node.step, Train) else self._open[node][1]
            self._count(node, units, self._clock() - self._since[worker])
            self._close(node)

    def _count(self, node: Node, units: int, seconds: float) -> None:
        if node in self._open:
            kind, _ = self._open[node]
            if units or self._done[kind]:
                self._done[kind] += units
                self._spent[kind] += seconds

    def _close(self, node: Node) -> None:
        found = self._open.pop(node, None)
        if found is not None:
            self._units[found[0]] -= found[1]
        self.trained_steps.pop(node, None)

    # How long it takes

    def left(self) -> Estimate | None:
        """How long the rest takes; None where nothing of it was measured, or nothing is left."""
        rate = self._rate
        units = {kind: self._units[kind] for kind in self.kinds}
        missing = sorted({str(kind) for kind in units if kind.counts and rate(kind) is None})
        if not any(kind.counts and rate(kind) is not None for kind in units):
            return None
        total = sum(count * (rate(kind) or 0.0) for kind, count in units.items()) - self._in_hand()
        if self.workers > 1:
            total = max(total / self.workers, self._longest_row())
        return Estimate(max(0.0, total), self._basis(units), tuple(missing))

    def _rate(self, kind: Kind) -> float | None:
        """Seconds a unit: as this run measures it, else as those before it did."""
        if self._done[kind]:
            return self._spent[kind] / self._done[kind]
        return self._measured.seconds.get(kind)

    def _in_hand(self) -> float:
        """Seconds of what is left that have passed already."""
        passed = 0.0
        for worker, node in [*self.at.items()]:
            found = self._open.get(node)
            if found is None:
                continue
            kind, units = found
            rate = self._rate(kind) or 0.0
            if isinstance(node.step, Train):
                passed += rate * self.trained_steps.get(node, 0)
            else:
                passed += min(rate * units, self._clock() - self._since[worker])
        return passed

    def _longest_row(self) -> float:
        """Seconds of the longest row of steps that is left: more workers do not shorten it."""
        now = self._clock()
        if self._longest is None or now > self._longest[0]:
            below: dict[Node, float] = defaultdict(float)
            longest = 0.0
            for node, (kind, units) in [*self._open.items()]:
                own = (units - self.trained_steps.get(node, 0)) * (self._rate(kind) or 0.0) + below.pop(node, 0.0)
                longest = max(longest, own)
                if node.parent is not None:
                    below[node.parent] = max(below[node.parent], own)
            self._longest = now + max(REFRESH, SELDOM * (self._clock() - now)), longest
        return self._longest[1]

    def _basis(self, units: Iterable[Kind]) -> str:
        here = any(self._done[kind] for kind in units if kind.counts)
        before = any(not self._done[kind] and kind in self._measured.seconds for kind in units if kind.counts)
        said = [*(["this run"] if here else []), *([self._measured.basis] if before else [])]
        return f"measured in {' and '.join(said)}"


def _needed(top: Node, wanted: Collection[str], stored: Collection[str]) -> list[Node]:
    """The nodes that must be computed for the wanted cells, children before their parents."""
    needed: set[Node] = set()
    found: list[Node] = []
    for node in reversed([*top.walk()]):
        if node.cell is not None:
            open_ = node.cell.key in wanted
        else:
            open_ = node.key not in stored and any(child in needed for child in node.children)
        if open_ and node.step is not None:
            needed.add(node)
            found.append(node)
    return found
