"""Carries out a plan: what is missing of it, on which executor, under which leases. Imports torch where it must."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import ranks
from bench.errors import Interrupted, StoreError, UsageError
from bench.executors.base import Executor, Listener, Noting
from bench.executors.messages import Work, fingerprint
from bench.executors.schedule import LONGEST, Schedule
from bench.executors.segments import Segment, above, divide, trunk
from bench.foresight.forecast import Forecast
from bench.foresight.rates import NOTHING, rates
from bench.foresight.runs import Announced
from bench.grid import Request
from bench.leases import Leases
from bench.machine import free_memory
from bench.plan import make
from bench.registry import suggestion
from bench.steps import canonical
from bench.store import Store
from bench.threads import limit
from bench.tree import OpenTask, Plan

if TYPE_CHECKING:
    from bench.executors.walk import Walk

INLINE, PROCESSES, RAY = EXECUTORS = ("inline", "processes", "ray")


@dataclass(frozen=True)
class Execution:
    """How a plan is carried out; none of it changes what is computed, but for the last bits."""

    device: str = "auto"
    threads: int | None = None
    """Intra-op threads of each worker; None: what ``default_threads`` says."""
    limit: int | None = None
    """Most cells to compute now."""
    retry_failed: bool = False
    fail_fast: bool = False
    measure: tuple[str, ...] = ()
    """What to measure by the clock: ``latency`` of one example, or ``latency:32`` of so many.
    A finished cell without it is computed again."""
    executor: str | None = None
    """``inline``, ``processes`` or ``ray``; None: ``processes`` where there are several ``jobs``."""
    jobs: int | None = None
    """Workers; None: one, or of a Ray cluster as many as it has room for."""
    ray_address: str = "auto"
    gpus_per_job: float = 0.0
    """GPUs that Ray sets aside for a worker: 0.5 lets two share one."""

    @property
    def kind(self) -> str:
        """The executor's name. Raises ``UsageError`` for one that there is not, or settings that do not go with it."""
        kind = self.executor or (PROCESSES if (self.jobs or 1) > 1 else INLINE)
        if kind not in EXECUTORS:
            raise UsageError("no such executor", where=f"--executor {kind}", mend=suggestion(kind, EXECUTORS))
        if kind == INLINE and (self.jobs or 1) > 1:
            raise UsageError(
                "inline is one worker: this process", where=f"--jobs {self.jobs}", mend="Leave --executor out."
            )
        if kind != INLINE and ranks.size() > 1:
            raise UsageError(
                "several processes compute each cell together here", where=f"--executor {kind}", mend="Leave it out."
            )
        if kind != RAY and self.gpus_per_job:
            raise UsageError(
                "only Ray sets GPUs aside", where=f"--gpus-per-job {self.gpus_per_job:g}", mend="Add --executor ray."
            )
        return kind


def pending(plan: Plan, store: Store, *, retry_failed: bool = False, measure: Sequence[str] = ()) -> list[str]:
    """Keys of the cells that have no record yet, or only a failed one where those are to be tried again, or lack one of
    the measurements asked for."""
    keys = [cell.key for cell in plan.cells]
    statuses = store.statuses(keys)

    def complete(key: str) -> bool:
        if statuses.get(key) == "failed":
            return not retry_failed
        return key in statuses and _measured(store, key, measure)

    return [key for key in keys if not complete(key)]


def _failed(plan: Plan, store: Store) -> frozenset[str]:
    statuses = store.statuses([cell.key for cell in plan.cells])
    return frozenset(key for key, status in statuses.items() if status == "failed")


def _has(store: Store, key: str, measure: Sequence[str]) -> bool:
    """Whether a cell has its record, and where it is done the measurements too."""
    if not measure:
        return store.has_record(key)
    record = store.record(key)
    return record is not None and (record.status == "failed" or _measured(store, key, measure))


def _measured(store: Store, key: str, measure: Sequence[str]) -> bool:
    return not measure or not set(measure) - {str(found.get("asked")) for found in store.measurement(key).values()}


def execute(
    plan: Plan,
    store: Store,
    execution: Execution,
    dtype: str,
    listener: Listener,
    interrupted: Callable[[], bool] = lambda: False,
    watched: AbstractContextManager[object] | None = None,
    forecast: Forecast | None = None,
) -> None:
    """Computes the cells of ``plan`` that are not done, or waits for the runs on the same folder that do. ``forecast``
    is kept up to date meanwhile."""
    kind = execution.kind
    if kind != RAY and execution.device not in ("auto", "cpu"):
        device_of(execution.device)  # one that cannot be used is told before anything begins, or where nothing is left
    missing = pending(plan, store, retry_failed=execution.retry_failed, measure=execution.measure)
    wanted = missing[: execution.limit]
    _tidy(plan, store, missing)
    unmeasured = [task for task in _tasks(plan) if store.reference(reference_key(task)) is None]
    if not wanted and not unmeasured:
        return
    if kind != INLINE and not store.storage.shared:
        raise UsageError("no other process sees it", where=store.where(), mend="Run inline, or give another --out.")
    execution = replace(execution, threads=execution.threads or default_threads(plan, kind, execution.jobs or 1))
    if kind == INLINE or unmeasured:
        limit(execution.threads or 1)
    if kind == INLINE:
        device_of(execution.device)
    forecast = forecast or forecast_of(plan, store, execution, wanted)
    noting = Noting(forecast, listener)
    with watched or nullcontext(), Leases(store) as leases, suppress(Interrupted):
        elsewhere = [task for task in unmeasured if not _measure_references(task, store, leases, noting)]
        if wanted:
            segments = divide(plan, frozenset(wanted).__contains__)
            work = _work(plan, store, execution, dtype, wanted)
            with _started(work, execution, plan, segments, store, noting, interrupted, leases.owner.id) as executor:
                forecast.workers = executor.workers
                with Announced(store.storage, forecast, wanted):
                    Schedule(
                        segments,
                        store,
                        leases,
                        executor,
                        noting,
                        has=lambda key: _has(store, key, execution.measure),
                        again=_failed(plan, store).intersection(wanted) if execution.retry_failed else (),
                        fail_fast=execution.fail_fast,
                        interrupted=interrupted,
                    ).run()
        for task in elsewhere:
            while not (interrupted() or _measure_references(task, store, leases, noting)):
                time.sleep(LONGEST)


def forecast_of(plan: Plan, store: Store, execution: Execution, wanted: Sequence[str]) -> Forecast:
    """What is left of a plan, and how long such steps took in the cells that the folder holds."""
    threads = execution.threads or default_threads(plan, execution.kind, execution.jobs or 1)
    return Forecast(
        plan,
        wanted,
        store.state_keys(),
        rates(store, plan, execution.device, threads) if wanted else NOTHING,
        workers=execution.jobs or 1,
        resumed=store.partials(),
    )


def _tidy(plan: Plan, store: Store, missing: Sequence[str]) -> None:
    """Removes what a killed run did not come to: its leases, and states from which all was computed."""
    with suppress(StoreError):  # a folder that can only be read may keep them
        Leases(store).live()
    stored = store.state_keys()
    nodes = (node for root in plan.roots for node in root.node.walk())
    left = [node for node in nodes if node.key in stored and not trunk(node)]
    if left:
        needed = {node for root in plan.roots for node in above(root, frozenset(missing).__contains__)}
        with suppress(StoreError):
            for node in left:
                if node not in needed:
                    store.drop_state(node.key)


def _work(plan: Plan, store: Store, execution: Execution, dtype: str, wanted: Sequence[str]) -> Work:
    # Of the machines of a cluster each knows its own memory alone.
    beside = 1 if execution.kind == RAY else max(execution.jobs or 1, ranks.on_this_machine())
    free = None if execution.kind == RAY else free_memory()
    return Work(
        request=plan.request,
        store=store.storage.address,
        folder=str(Path.cwd()),
        plan=fingerprint(plan),
        device=execution.device,
        dtype=dtype,
        threads=execution.threads or 1,
        measure=execution.measure,
        wanted=None if len(wanted) == len(plan.cells) else tuple(wanted),
        workers=beside,
        memory=None if free is None else free // beside,
    )


@contextmanager
def _started(
    work: Work,
    execution: Execution,
    plan: Plan,
    segments: Sequence[Segment],
    store: Store,
    listener: Listener,
    interrupted: Callable[[], bool],
    run: str,
) -> Iterator[Executor]:
    """The executor asked for; its workers end with the context."""
    if execution.kind == INLINE:
        from bench.executors.inline import Inline

        yield Inline(walk_of(work, segments, store, listener, interrupted))
        return
    from bench.executors.pool import Pool

    with _links(execution, work) as (start, workers):
        pool = Pool(start, min(workers, len(segments)), work, plan, store, listener, run)
        try:
            yield pool
        finally:
            pool.close()


def walk_of(
    work: Work, segments: Sequence[Segment], store: Store, listener: Listener, interrupted: Callable[[], bool]
) -> Walk:
    """What carries out segments in this process, be it the run's own or a worker."""
    import torch

    from bench.executors.walk import Walk

    device, dtype = device_of(work.device, work.number), getattr(torch, work.dtype)
    return Walk(
        segments,
        store,
        device,
        dtype,
        listener,
        interrupted=interrupted,
        measure=work.measure,
        memory=work.memory,
        workers=work.workers,
        number=work.number,
    )


@contextmanager
def _links(execution: Execution, work: Work) -> Iterator[tuple[Any, int]]:
    """What starts a worker process, and how many there are to be."""
    if execution.kind == PROCESSES:
        from bench.executors.processes import Process

        yield lambda ears: Process(ears, work.threads), execution.jobs or 1
        return
    try:
        from bench.executors.ray_cluster import Cluster
    except ImportError as error:
        raise UsageError(
            f"ray does not import ({error})", where="--executor ray", mend="pip install 'prunebench[ray]'."
        ) from error
    cluster = Cluster(execution.ray_address)
    try:
        room = cluster.room(work.threads, execution.gpus_per_job)
        yield lambda ears: cluster.start(ears, work.threads, execution.gpus_per_job), execution.jobs or room
    finally:
        cluster.close()


def default_threads(plan: Plan, kind: str = INLINE, jobs: int = 1) -> int:
    """One thread for the smoke presets, whose models are too small to share out, and for each worker on a cluster; else
    the cores at hand, divided among the jobs."""
    if kind == RAY or all(root.task.preset_name == "smoke" for root in plan.roots):
        return 1
    return max(1, len(os.sched_getaffinity(0)) // max(jobs, ranks.on_this_machine()))


def planned(request: Request) -> Plan:
    """The plan of a request, the same in each of several processes that compute it together."""
    return ranks.agreed(lambda: make(request), lambda plan: " ".join(cell.key for cell in plan.cells))


def follow(plan: Plan, execution: Execution, dtype: str) -> None:
    """What each process but rank 0 does where several compute a plan together."""
    import torch

    limit(execution.threads or default_threads(plan))
    device_of(execution.device)
    ranks.follow(plan, getattr(torch, dtype))


def reference_key(task: OpenTask) -> str:
    """Key of a task's baselines: its data, options and version."""
    identity = {"task": task.name, "version": task.task.version, "data": task.data["digest"]}
    return hashlib.sha256(canonical({**identity, "options": task.options}).encode()).hexdigest()


def _tasks(plan: Plan) -> list[OpenTask]:
    return list({reference_key(root.task): root.task for root in plan.roots}.values())


def _measure_references(task: OpenTask, store: Store, leases: Leases, listener: Listener) -> bool:
    """Whether the task's baselines are there now; another run may be about to measure them."""
    key = reference_key(task)
    with leases.held(key) as holder:
        if holder is not None or store.reference(key) is not None:
            return holder is None
        references = task.task.references()
        if references:
            listener.said(
                f"{task.name}: measured {', '.join(reference.name for reference in references)} on the same data"
            )
        store.put_reference(
            key,
            {
                "task": task.name,
                "task_version": task.task.version,
                "preset": task.preset_name,
                "data_digest": task.data["digest"],
                "options": task.options,
                "references": [asdict(reference) for reference in references],
            },
        )
    return True


def device_of(name: str, worker: int = 0) -> Any:
    """The device of this name, made deterministic; ``auto`` spreads the workers of a machine over its GPUs. In a team
    of processes it is this one's own.

    Raises ``UsageError`` where it cannot be used.
    """
    import torch

    own = ranks.device()
    name = name if own is None else str(own)
    if name == "auto":
        if not torch.cuda.is_available():
            return torch.device("cpu")
        name = "cuda" if torch.cuda.device_count() == 1 else f"cuda:{worker % torch.cuda.device_count()}"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"cannot be used ({str(error).splitlines()[0]})", where=f"--device {name}", mend="Give cpu, cuda or auto."
        ) from error
    if device.type == "cuda":
        torch.use_deterministic_algorithms(True, warn_only=True)
    return device
