"""Walks the tree depth first in this process.

A state is computed only when something below needs it and nothing nearer is stored, and is let go when its last child
is done. What is stored: training without masks (the dense model, which later grids start from), whatever more than one
child needs, and whatever took long. All but the first is dropped once everything below it has its record.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol

import torch

from bench import runner
from bench.errors import BenchError, CellError
from bench.evaluation import blank, evaluate, measure
from bench.record import Failure, Record
from bench.state import State
from bench.steps import AdaptiveCut, Cut, Evaluate, Init, Rewind, Train, first_schedule
from bench.store import Store
from bench.train import Environment
from bench.tree import Cell, Node, Plan, Root
from bench.workbench import Hooks, Interrupted, Workbench


class Listener(Protocol):
    """Who watches a run."""

    def started(self, node: Node) -> None:
        """A step begins."""
        ...

    def trained(self, node: Node, step: int, loss: float) -> None:
        """Training stands at ``step`` with this mean loss."""
        ...

    def finished(self, record: Record) -> None:
        """A cell has its record."""
        ...

    def said(self, text: str) -> None:
        """Something worth a line."""
        ...


class Walk:
    """One run of a plan."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        device: torch.device,
        dtype: torch.dtype,
        listener: Listener,
        *,
        wanted: Callable[[str], bool],
        fail_fast: bool = False,
        interrupted: Callable[[], bool] = lambda: False,
        measure: Sequence[str] = (),
    ) -> None:
        self.measure = measure
        self.plan, self.store, self.device, self.dtype, self.listener = plan, store, device, dtype, listener
        self.wanted, self.fail_fast = wanted, fail_fast
        self.hooks = Hooks(listener.trained, interrupted)

    def run(self) -> None:
        """Computes every wanted cell. Raises ``Interrupted`` when asked to stop, ``BenchError`` for what stops them all
        (a full disk)."""
        for root in self.plan.roots:
            self._root(root)

    def _root(self, root: Root) -> None:
        if not any(self.wanted(cell.key) for cell in root.node.cells()):
            return
        bench = Workbench(root.task, Environment(root.seed, self.device, self.dtype), self.store, self.hooks)
        bench.check(cell for cell in root.node.cells() if self.wanted(cell.key))
        for child in root.node.children:
            self._walk(child, bench, _Held(lambda: None, 1))

    def final(self, root: Root) -> tuple[Workbench, State]:
        """The state that the only cell of ``root`` is evaluated on, from the nearest one that is stored."""
        (last,) = (node for node in root.node.walk() if node.cell is not None)
        bench = Workbench(root.task, Environment(root.seed, self.device, self.dtype), self.store, self.hooks)
        assert last.parent is not None
        steps = [node.key for node in root.node.walk() if node.step is not None and node.cell is None]
        before = {key for key in steps if self.store.state(key) is not None}
        try:
            state = self._climb(last.parent, bench)
        except _StepError as failed:
            raise failed.error from failed
        for node in root.node.walk():
            if node.key in steps and node.key not in before and not _trunk(node):
                self.store.drop_state(node.key)
        assert state is not None
        return bench, state

    def _climb(self, node: Node, bench: Workbench) -> State | None:
        """The state after ``node``, None at the root."""
        parent = node.parent
        if parent is None:
            return None
        return self._state(node, bench, _Held(lambda: self._climb(parent, bench), 1))

    def _walk(self, node: Node, bench: Workbench, before: _Held) -> None:
        """Computes the wanted cells at and below ``node``; ``before`` gives the parent's state."""
        if not any(self.wanted(cell.key) for cell in node.cells()):
            before.done()
            return
        try:
            if node.cell is not None:
                self._evaluate(node, node.cell, bench, before)
            else:
                after = _Held(lambda: self._state(node, bench, before), len(node.children))
                for child in node.children:
                    self._walk(child, bench, after)
        except _StepError as failed:
            if failed.node is not node:
                raise
            self._fail(node, bench, failed.error)
        before.done()
        if not isinstance(node.step, Evaluate) and not _trunk(node):
            self.store.drop_state(node.key)

    def _state(self, node: Node, bench: Workbench, before: _Held) -> State:
        """The state after ``node``: stored, or computed and, where it is worth it, stored."""
        stored = self.store.state(node.key)
        if stored is not None:
            return bench.load(stored)
        if self.hooks.interrupted():
            raise Interrupted
        earlier = before.get()
        self.listener.started(node)
        with _blamed(node):
            state = runner.apply(bench, node, earlier, self._origin(node, bench))
        spent = sum(state.seconds.values()) - (sum(earlier.seconds.values()) if earlier else 0.0)
        shared = sum(any(self.wanted(cell.key) for cell in child.cells()) for child in node.children) > 1
        if _trunk(node) or (shared and not isinstance(node.step, Init)) or spent > runner.CHECKPOINT_SECONDS:
            bench.save(node.key, state)
        self.store.drop_state(node.key, partial=True)
        return state

    def _origin(self, node: Node, bench: Workbench) -> State | None:
        """What a ``Rewind`` goes back to: the state after its path's first training to that step, or after ``Init``."""
        if not isinstance(node.step, Rewind):
            return None
        to = node.step.to
        origin = next(
            place
            for place in node.chain
            if (isinstance(place.step, Init) if to == 0 else isinstance(place.step, Train) and place.step.to == to)
        )
        return self._climb(origin, bench)

    def _evaluate(self, node: Node, cell: Cell, bench: Workbench, before: _Held) -> None:
        assert isinstance(node.step, Evaluate)
        state = before.get()
        if self.hooks.interrupted():
            raise Interrupted
        assert state is not None
        self.listener.started(node)
        with _blamed(node):
            record, state = evaluate(bench, cell, node.step, state)
            measured = measure(bench, state, self.measure)
            if measured:
                self.store.put_measurement(cell.key, measured)
            self.store.put_record(record, state.seconds)
        self.listener.finished(record)

    def _fail(self, node: Node, bench: Workbench, error: Exception) -> None:
        """Gives every wanted cell at and below ``node`` a failed record."""
        kind = type(node.step).__name__
        text = str(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {error}"
        for cell in node.cells():
            if self.wanted(cell.key):
                log = self.store.put_log(cell.key, "".join(traceback.format_exception(error)))
                record = replace(blank(bench, cell), failure=Failure(text.splitlines()[0], kind, log))
                self.store.put_record(record, {})
                self.listener.finished(record)
        if self.fail_fast:
            raise CellError(f"a cell failed: {text.splitlines()[0]}", mend="Finished cells stay.") from error


class _StepError(Exception):
    """A step failed; every cell below it fails with it, and the rest of the grid goes on."""

    def __init__(self, node: Node, error: Exception) -> None:
        super().__init__(str(error))
        self.node, self.error = node, error


@contextmanager
def _blamed(node: Node) -> Iterator[None]:
    """Turns what fails one step into ``_StepError``; what no cell can go on with passes through."""
    try:
        yield
    except Interrupted:
        raise
    except Exception as error:
        if isinstance(error, BenchError) and not isinstance(error, CellError):
            raise
        raise _StepError(node, error) from error


class _Held:
    """A state that is computed when first wanted and let go after its last use."""

    def __init__(self, compute: Callable[[], State | None], uses: int) -> None:
        self._compute, self._uses = compute, uses
        self._state: State | None = None
        self._known = False

    def get(self) -> State | None:
        if not self._known:
            self._state, self._known = self._compute(), True
        return self._state

    def done(self) -> None:
        """One child is finished with it."""
        self._uses -= 1
        if self._uses == 0:
            self._state = None


def _trunk(node: Node) -> bool:
    """Whether the node is a stretch of the dense model's own training, kept for later grids."""
    if not isinstance(node.step, Train) or node.step.learner is not None:
        return False
    above = node.path
    return node.step.schedule == first_schedule(above) and not any(isinstance(s, Cut | AdaptiveCut) for s in above)
