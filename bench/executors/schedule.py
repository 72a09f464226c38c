"""Hands the segments of a plan to workers, each once the segment that it starts from is done, and under a lease.

The one scheduler: whether its workers are this process, others of this machine or of a cluster is the executor's
business. Imports no torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from bench.errors import CellError, Interrupted
from bench.executors.base import Broken, Died, Done, Executor, Failed, Job, Noting, Outcome, Verdict
from bench.executors.segments import Segment, trunk
from bench.leases import Lease, Leases
from bench.store import Store
from bench.tree import Node

TRIES = 3
"""Deaths of a worker at one node, with no checkpoint between them, after which the cells below are given up."""
SHORTEST, LONGEST = 0.1, 2.0
"""Seconds between two looks at what others do, at first and after a while."""

Rank = Callable[[Segment], tuple[int, ...]]


class Schedule:
    """One run of a plan."""

    def __init__(
        self,
        segments: Sequence[Segment],
        store: Store,
        leases: Leases,
        executor: Executor,
        listener: Noting,
        *,
        has: Callable[[str], bool],
        again: Collection[str] = (),
        fail_fast: bool = False,
        interrupted: Callable[[], bool] = lambda: False,
    ) -> None:
        """``has`` tells whether a cell has all that is asked for; ``again`` are those tried again although they have.
        ``listener`` is the executor's as well."""
        self._store, self._leases, self._executor, self._listener = store, leases, executor, listener
        self._has, self._fail_fast, self._interrupted = has, fail_fast, interrupted
        self._again = set(again)
        self._open = dict.fromkeys(segments)
        """What is not done, in the order of the tree."""
        self._ready = dict.fromkeys(segment for segment in segments if segment.parent is None)
        """What of it can begin."""
        self._leased: dict[Segment, str] = {}
        """What of that others compute, and who."""
        self._running: dict[Segment, str] = {}
        """What has begun, and its lease."""
        self._last: dict[int, Segment] = {}
        """What each worker did last."""
        self._deaths: Counter[tuple[str, str | None]] = Counter()
        """Of workers, by the node that they were at and how far its training was saved."""
        self._verdicts: dict[Segment, Verdict] = {}
        self._told: set[str] = set()
        self._error: Exception | None = None
        self._stopping = False

    def run(self) -> None:
        """Computes every cell of the segments, or waits for who does. Raises ``Interrupted`` when asked to stop,
        ``BenchError`` for what stops them all (a full disk)."""
        pause = SHORTEST
        while self._running if self._stopping else self._open:
            if self._interrupted() or self._error is not None:
                self._stop()
            else:
                self._hand_out()
            if self._open:
                outcomes = self._executor.outcomes(pause)
                for outcome in outcomes:
                    self._settle(outcome)
                pause = SHORTEST if outcomes else min(LONGEST, 1.2 * pause)
        if self._error is not None:
            raise self._error
        if self._open:
            raise Interrupted

    def _stop(self) -> None:
        if not self._stopping:
            self._stopping = True
            self._executor.stop()

    # Handing out

    def _hand_out(self) -> None:
        """Gives each idle worker the segment that suits it best of those that can begin and nobody else computes."""
        idle = self._executor.idle()
        if not idle or not self._ready:
            return
        leases = self._leases.live()
        others = {node: lease for lease in leases for node in lease.nodes}
        passed: set[Segment] = set()
        for worker in idle:
            rank = self._rank(worker)
            while free := [one for one in self._ready if one not in passed and not self._by_others(one, others)]:
                segment = min(free, key=rank)
                passed.add(segment)
                if self._given(segment, worker, leases):
                    break
        self._tell_who_works()

    def _by_others(self, segment: Segment, others: Mapping[str, Lease]) -> bool:
        """Whether another process computes the segment, or some of it."""
        lease = next((others[node.key] for node in segment.nodes if node.key in others), None)
        if lease is not None:
            self._leased[segment] = str(lease.owner or "another process")
        return lease is not None

    def _rank(self, worker: int) -> Rank:
        """What to do first: the dense model that all else waits for, then what starts from a state that the worker has
        in memory, then what the longest row of segments begins with. One worker alone goes depth first."""
        last = self._last.get(worker)
        at_hand = {} if last is None else {node: depth for depth, node in enumerate(last.nodes[-1].chain)}
        alone = self._executor.workers == 1

        def rank(segment: Segment) -> tuple[int, ...]:
            above: Node | None = segment.start
            while above is not None and above not in at_hand:
                above = above.parent
            near = -1 if above is None else at_hand[above]
            late = 0 if segment.trunk else 1
            return (*((-near, late) if alone else (late, -near)), -segment.work, segment.number)

        return rank

    def _given(self, segment: Segment, worker: int, others: Collection[Lease]) -> bool:
        """Whether there was something to do, nobody else does it, and so the worker was given it."""
        left = self._left(segment)
        if left:
            keys = [node.key for node in left]
            holder = self._leases.take(keys[0], keys, others)
            if holder is not None:
                self._leased[segment] = str(holder)
                return False
            if self._leased.pop(segment, None) is not None:
                self._again.difference_update(segment.cells)  # whoever had it has tried
            if [node.key for node in self._left(segment)] == keys:
                del self._ready[segment]
                self._running[segment] = keys[0]
                self._last[worker] = segment
                self._executor.give(worker, Job(segment, self._lacking(segment), self._verdicts.get(segment)))
                return True
            # Somebody has just done it, or some of it.
            self._leases.release(keys[0])
            return bool(self._left(segment)) and self._given(segment, worker, others)
        self._finish(segment)
        return False

    def _lacking(self, segment: Segment) -> frozenset[str]:
        """The segment's cells that are not done."""
        return frozenset(key for key in segment.cells if not self._is_done(key))

    def _is_done(self, key: str) -> bool:
        return key in self._listener.noted or (key not in self._again and self._has(key))

    def _left(self, segment: Segment) -> list[Node]:
        """The nodes that are to be computed for the segment, in the order of the path; none where it is done."""
        lacking = self._lacking(segment)
        cells = [node for node in segment.nodes if node.cell is not None and node.cell.key in lacking]
        wanted = [node.parent for node in cells if node.parent is not None]
        if segment.end is not None and any(self._lacking(below) for below in segment.walk() if below is not segment):
            wanted.append(segment.end)
        stored = self._store.state_keys() if wanted else frozenset()
        steps: dict[Node, None] = {}
        for place in wanted:
            row: list[Node] = []
            above: Node | None = place
            while above is not None and above.parent is not None and above.key not in stored and above not in steps:
                row.append(above)
                above = above.parent
            steps.update(dict.fromkeys(reversed(row)))
        # ``Init`` is drawn by each segment that begins with it: nobody has to wait for it.
        return [*(node for node in steps if node.parent is not None and node.parent.step is not None), *cells]

    def _tell_who_works(self) -> None:
        """Says whom this run waits for, once of each, where all that can be done is theirs."""
        owners = {self._leased[segment] for segment in self._ready if segment in self._leased}
        if not self._running and not owners <= self._told:
            self._told |= owners
            self._listener.said(f"Waiting for {' and '.join(sorted(owners))}, at work on the same folder.")

    # Settling

    def _settle(self, outcome: Outcome) -> None:
        if isinstance(outcome, Broken):
            self._error = self._error or outcome.error
        if outcome.job is None:
            return
        segment = outcome.job.segment
        lease = self._running.pop(segment)
        if isinstance(outcome, Done):
            self._finish(segment)
        elif isinstance(outcome, Failed):
            for below in [*segment.walk()]:
                self._finish(below)
            if self._fail_fast:
                self._error = CellError(f"a cell failed: {outcome.error}", mend="Finished cells stay.")
        else:
            self._ready[segment] = None
            if isinstance(outcome, Died):
                self._bury(outcome)
        self._leases.release(lease)

    def _bury(self, outcome: Died) -> None:
        """Sees to it that what killed several workers kills no more."""
        death = (outcome.node, self._store.partial(outcome.node))
        self._deaths[death] += 1
        if self._deaths[death] < TRIES:
            self._listener.said(f"A worker was lost ({outcome.how}). What it was at is begun again.")
            return
        error = f"its worker died {TRIES} times ({outcome.how})"
        self._verdicts[outcome.job.segment] = Verdict(outcome.node, error, outcome.log)

    def _finish(self, segment: Segment) -> None:
        """The segment is done, by whomever: what starts from it can begin, and what nothing needs any more goes."""
        if segment not in self._open:
            return
        del self._open[segment]
        self._ready.pop(segment, None)
        self._leased.pop(segment, None)
        for key in segment.cells:
            record = None if key in self._listener.noted else self._store.record(key)
            if record is not None:
                self._listener.elsewhere(record)
        self._ready.update(dict.fromkeys(child for child in segment.children if child in self._open))
        self._drop(segment)

    def _drop(self, segment: Segment) -> None:
        """Drops the states that no open segment starts from, but for the dense model's."""
        stored = self._store.state_keys()
        place: Segment | None = segment
        while place is not None and not any(child in self._open for child in place.children):
            for node in place.steps:
                if node.key in stored and not trunk(node):
                    self._store.drop_state(node.key)
            place = place.parent
