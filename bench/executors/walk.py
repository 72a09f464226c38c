"""Walks segments of the tree in this process.

A state is computed only when something below needs it and nothing nearer is at hand, in memory or stored. What is
stored: training without masks (the dense model, which later grids start from), whatever other segments start from, and
whatever took long. All but the first is dropped once everything below it has its record.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

import torch

from bench import room, runner
from bench.errors import BenchError, CellError, Interrupted
from bench.evaluation import blank, evaluate, measure
from bench.executors.base import Done, Failed, Job, Listener, Verdict
from bench.executors.segments import Segment, trunk
from bench.record import Failure, Record
from bench.state import State
from bench.steps import Evaluate, Init, Rewind, Train
from bench.store import Store
from bench.train import Environment
from bench.tree import Cell, Node, Root
from bench.workbench import Hooks, Workbench


class Walk:
    """What one process computes of a plan."""

    def __init__(
        self,
        segments: Sequence[Segment],
        store: Store,
        device: torch.device,
        dtype: torch.dtype,
        listener: Listener,
        *,
        interrupted: Callable[[], bool] = lambda: False,
        measure: Sequence[str] = (),
        memory: int | None = None,
        workers: int = 1,
        number: int = 0,
    ) -> None:
        """``memory``: bytes that this process can take, None where that is not known. It is the ``number``-th of
        ``workers``."""
        self._memory, self._workers, self._number = memory, workers, number
        self._checked: set[int] = set()
        """Ids of the tasks of which it is known that there is room for them."""
        self._segments, self._store, self._device, self._dtype = segments, store, device, dtype
        self._listener, self._measure = listener, measure
        self._hooks = Hooks(listener.trained, interrupted)
        self._branching = {segment.start.key for segment in segments if segment.start is not None}
        self._bench: Workbench | None = None
        self._root: Root | None = None
        self._held: dict[str, State] = {}
        """States in memory by key: the last one, and those above it that other segments start from."""

    def carry_out(self, job: Job) -> Done | Failed:
        """Computes the job's cells, and the state that other segments start from.

        Raises ``Interrupted`` when asked to stop, and ``BenchError`` for what no cell can go on with (a full disk).
        """
        segment = job.segment
        bench = self._opened(segment.root)
        above = {node.key for node in segment.nodes[0].chain}
        self._held = {key: state for key, state in self._held.items() if key in above}
        if job.verdict is not None:
            return self._give_up(job, bench, job.verdict)
        try:
            for node in segment.nodes:
                if node.cell is not None and node.cell.key in job.cells:
                    self._evaluate(node, node.cell, bench)
            if segment.end is not None:
                self._after(segment.end, bench)
        except _StepError as failed:
            return self._fail(job, failed.node, bench, failed.error)
        return Done(job)

    def final(self, root: Root) -> tuple[Workbench, State]:
        """The state that the only cell of ``root`` is evaluated on, from the nearest one that is stored."""
        (last,) = (node for node in root.node.walk() if node.cell is not None)
        assert last.parent is not None
        bench = self._opened(root, check=False)
        before = self._store.state_keys()
        try:
            state = self._after(last.parent, bench)
        except _StepError as failed:
            raise failed.error from failed
        for node in last.parent.chain:
            if node.key not in before and not trunk(node):
                self._store.drop_state(node.key)
        return bench, state

    def _opened(self, root: Root, *, check: bool = True) -> Workbench:
        if self._bench is None or self._root is not root:
            self._held = {}
            environment = Environment(root.seed, self._device, self._dtype)
            self._bench, self._root = Workbench(root.task, environment, self._store, self._hooks), root
            if check:
                wanted = {key for segment in self._segments if segment.root is root for key in segment.cells}
                self._bench.check(cell for cell in root.node.cells() if cell.key in wanted)
                self._check_room(self._bench)
        return self._bench

    def _check_room(self, bench: Workbench) -> None:
        """Raises ``BenchError`` where a task's cells, all seeds of them, cannot fit; once a task."""
        task = bench.task
        segments = [segment for segment in self._segments if segment.root.task is task]
        if id(task) not in self._checked:
            self._checked.add(id(task))
            say = (lambda text: None) if self._number else self._listener.said  # one speaks for all
            room.check(bench, segments, self._store, self._memory, self._workers, say)

    def _after(self, node: Node, bench: Workbench) -> State:
        """The state after ``node``: at hand, or computed from the nearest one above that is."""
        missing: list[Node] = []
        place: Node | None = node
        state = None
        while place is not None and place.step is not None:
            state = self._at_hand(place, bench)
            if state is not None:
                break
            missing.append(place)
            place = place.parent
        for place in reversed(missing):
            state = self._step(place, state, bench)
            self._hold(place, state)
        assert state is not None
        return state

    def _at_hand(self, node: Node, bench: Workbench) -> State | None:
        if node.key in self._held:
            return self._held[node.key]
        path = self._store.state(node.key)
        if path is None:
            return None
        try:
            state = bench.load(path)
        except FileNotFoundError:  # another process was done with it
            return None
        self._hold(node, state)
        return state

    def _hold(self, node: Node, state: State) -> None:
        """Keeps the state in memory, and lets the one before it go unless other segments start from it."""
        self._held[node.key] = state
        if node.parent is not None and node.parent.key not in self._branching:
            self._held.pop(node.parent.key, None)

    def _step(self, node: Node, before: State | None, bench: Workbench) -> State:
        """The state after ``node``, computed and, where it is worth it, stored."""
        if self._hooks.interrupted():
            raise Interrupted
        origin = self._origin(node, bench)
        self._listener.started(node)
        with _blamed(node):
            state = runner.apply(bench, node, before, origin)
        spent = sum(state.seconds.values()) - (sum(before.seconds.values()) if before else 0.0)
        shared = node.key in self._branching and not isinstance(node.step, Init)
        if trunk(node) or shared or spent > runner.CHECKPOINT_SECONDS:
            bench.save(node.key, state)
        if isinstance(node.step, Train):
            self._store.drop_state(node.key, partial=True)
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
        state = self._after(origin, bench)
        if origin.key not in self._branching:
            del self._held[origin.key]
        return state

    def _evaluate(self, node: Node, cell: Cell, bench: Workbench) -> None:
        assert isinstance(node.step, Evaluate) and node.parent is not None
        state = self._after(node.parent, bench)
        if self._hooks.interrupted():
            raise Interrupted
        self._listener.started(node)
        with _blamed(node):
            record, state = evaluate(bench, cell, node.step, state)
            measured = measure(bench, state, self._measure)
            if measured:
                self._store.put_measurement(cell.key, measured)
            self._store.put_record(record, state.seconds)
        self._listener.finished(record)

    def _fail(self, job: Job, node: Node, bench: Workbench, error: Exception) -> Failed:
        """Gives every wanted cell at and below ``node`` a failed record with the error and its traceback."""
        if node not in job.segment.nodes:  # a state that was lost could not be computed again
            node = job.segment.nodes[0]
        text = (str(error) if isinstance(error, BenchError) else f"{type(error).__name__}: {error}").splitlines()[0]
        trace = "".join(traceback.format_exception(error))
        for cell in _wanted_below(job.segment, node):
            failure = Failure(text, type(node.step).__name__, self._store.put_log(cell.key, trace))
            self._put_failure(replace(blank(bench, cell), failure=failure))
        return Failed(job, text)

    def _give_up(self, job: Job, bench: Workbench, verdict: Verdict) -> Failed:
        node = next((node for node in job.segment.nodes if node.key == verdict.node), job.segment.nodes[0])
        failure = Failure(verdict.error, type(node.step).__name__, verdict.log)
        for cell in _wanted_below(job.segment, node):
            self._put_failure(replace(blank(bench, cell), failure=failure))
        return Failed(job, verdict.error)

    def _put_failure(self, record: Record) -> None:
        """Keeps a failed record, but never in the place of a finished one: a measurement may fail as well."""
        there = self._store.record(record.key)
        if there is None or there.status != "done":
            self._store.put_record(record, {})
        self._listener.finished(record)


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
    except SystemExit as request:  # a plug-in's: it must not end the grid, nor look like success
        raise _StepError(node, CellError(f"it asked the process to end (exit code {request.code!r})")) from request
    except Exception as error:
        if isinstance(error, BenchError) and not isinstance(error, CellError):
            raise
        raise _StepError(node, error) from error


def _wanted_below(segment: Segment, node: Node) -> Iterator[Cell]:
    """The cells at and below a node of the segment that segments lead to."""
    wanted = {key for one in segment.walk() for key in one.cells}
    return (cell for cell in node.cells() if cell.key in wanted)
