"""How long the rest of a plan takes, by what such steps took: in cells of the same folder, then in the run itself.

Imports no torch.
"""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.foresight.rates import NOTHING, Kind, Rates, kind_of, likes_of, units_of
from bench.steps import Train

if TYPE_CHECKING:
    from bench.record import Record
    from bench.tree import Node, Plan

ENOUGH = 5.0
"""Seconds of a kind of step after which a run's own measurement counts for more than those before it."""
REFRESH = 5.0
"""Seconds for which the longest row of steps that is left is not looked for again,"""
SELDOM = 50
"""or so many times as long as that took."""


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
        likes = likes_of(plan)
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
        self._first: dict[Kind, tuple[int, float]] = {}
        """Of these the first ones and their seconds: libraries warm up in them."""
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
                self._first.setdefault(kind, (units, seconds))
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
        """Seconds a unit: as this run measures it once it has for a while, else as those before it did."""
        if not self._own(kind):
            return self._measured.seconds.get(kind)
        done, spent = self._done[kind], self._spent[kind]
        units, seconds = self._first[kind]
        return (spent - seconds) / (done - units) if done > units else spent / done

    def _own(self, kind: Kind) -> bool:
        """Whether this run's own measurement of such steps counts."""
        return self._done[kind] > 0 and (kind not in self._measured.seconds or self._spent[kind] >= ENOUGH)

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
        here = any(self._own(kind) for kind in units if kind.counts)
        before = any(not self._own(kind) and kind in self._measured.seconds for kind in units if kind.counts)
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
