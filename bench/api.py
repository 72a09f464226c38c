"""``bench.run`` for programs; the command line calls the same functions."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.checkpoints import TRUST
from bench.errors import UsageError
from bench.grid import Request, default_grid, parse_grid, split_settings
from bench.plan import make
from bench.steps import canonical
from bench.store import Store
from bench.tree import OpenTask, Plan

if TYPE_CHECKING:
    from bench.executors.inline import Listener
    from bench.record import Record
    from bench.tree import Node
    from reports.table import Table


@dataclass(frozen=True)
class Execution:
    """How a plan is carried out; none of it changes what is computed, but for the last bits."""

    device: str = "auto"
    threads: int | None = None
    """Intra-op threads; None: what ``default_threads`` says."""
    limit: int | None = None
    """Most cells to compute now."""
    retry_failed: bool = False
    fail_fast: bool = False
    measure: tuple[str, ...] = ()
    """What to measure by the clock: ``latency`` of one example, or ``latency:32`` of so many.
    A finished cell without it is computed again."""


class Silent:
    """A listener that says nothing."""

    def started(self, node: Node) -> None: ...

    def trained(self, node: Node, step: int, loss: float) -> None: ...

    def finished(self, record: Record) -> None: ...

    def said(self, text: str) -> None: ...


def run(
    task: str | Iterable[str],
    pruner: str | Iterable[str],
    grid: str | float | Iterable[float] | None = None,
    seeds: int | Iterable[int] = 0,
    *,
    out: str | Path = "results",
    model: str | Iterable[str] = (),
    preset: str | None = None,
    data: str | Path | None = None,
    settings: Mapping[str, object] | None = None,
    exclude: str | Iterable[str] = (),
    when: str | None = None,
    allocation: str | None = None,
    structure: str | None = None,
    dtype: str = "float32",
    device: str = "auto",
    threads: int | None = None,
    retry_failed: bool = False,
    fail_fast: bool = False,
    measure: str | Iterable[str] = (),
    trust_remote_code: bool = False,
) -> Result:
    """Runs a grid of cells, going on where an earlier run of it stopped, and returns its tables.

    ``grid`` holds sparsities in [0, 1), or text as ``--grid`` takes it; None: the usual ones, or an N:M structure's
    own. ``trust_remote_code``: code that lies in a checkpoint may run. Raises ``BenchError`` for bad input; a cell that
    fails is in the table with its error.
    """
    grid = default_grid(structure) if grid is None else grid
    sparsities = parse_grid(grid if isinstance(grid, str) else ",".join(map(repr, _several(grid))))
    preset_settings, pruner_settings = split_settings(_settings(settings or {}, trust_remote_code))
    request = Request(
        tasks=tuple(_several(task)),
        pruners=tuple(_several(pruner)),
        sparsities=sparsities,
        seeds=tuple(_several(seeds)),
        models=tuple(map(str, _several(model))),
        preset=preset,
        when=when,
        allocation=allocation,
        structure=structure,
        settings=preset_settings,
        exclude=tuple(_several(exclude)),
        pruner_settings=pruner_settings,
        data=None if data is None else str(data),
        dtype=dtype,
    )
    plan = make(request)
    store = Store(out, create=True)
    execute(
        plan,
        store,
        Execution(device, threads, None, retry_failed, fail_fast, check_measures(_several(measure))),
        dtype,
        Silent(),
    )
    return result(plan, store)


def _settings(given: Mapping[str, object], trusted: bool) -> dict[str, str]:
    if any(name.rpartition(".")[2] == TRUST for name in given):
        raise UsageError("is no setting among others", where=TRUST, mend="Give the argument trust_remote_code.")
    return {**{name: str(value) for name, value in given.items()}, **({TRUST: "true"} if trusted else {})}


def _several(value: Any) -> list[Any]:
    return [value] if isinstance(value, str | int | float) else list(value)


@dataclass(frozen=True, repr=False)
class Result:
    """What a grid came to: ``print(result)`` shows its tables."""

    records: Sequence[Record]
    """One a cell, in the order of the plan."""
    tables: Sequence[Table]
    """Rows over seeds, one table a task and data set."""

    def __str__(self) -> str:
        from reports.text import render

        return render(self.tables)

    def __repr__(self) -> str:
        done = sum(record.status == "done" for record in self.records)
        return f"<Result: {done} cells done, {len(self.records) - done} failed; print() shows the tables>"


def result(plan: Plan, store: Store) -> Result:
    """The plan's cells that have records."""
    from reports.evidence import stored
    from reports.rows import tables

    records = [record for cell in plan.cells if (record := store.record(cell.key)) is not None]
    return Result(records, tables(records, store.references(), stored(store)))


MEASURES = ("latency",)


def check_measures(names: Iterable[str]) -> tuple[str, ...]:
    """``names``, or ``UsageError`` for one that there is not."""
    found = tuple(names)
    for name in found:
        kind, colon, size = name.partition(":")
        if kind not in MEASURES or (colon and not (size.isdecimal() and int(size) > 0)):
            raise UsageError(
                f"cannot measure {name!r}",
                where="--measure",
                mend="There is: latency, of one example, or latency:32, of a batch of 32.",
            )
    return found


def pending(plan: Plan, store: Store, *, retry_failed: bool = False, measure: Sequence[str] = ()) -> list[str]:
    """Keys of the cells that have no record yet, or only a failed one where those are to be tried again, or lack one of
    the measurements asked for."""
    missing = []
    for cell in plan.cells:
        record = store.record(cell.key)
        again = record is not None and (
            retry_failed if record.status == "failed" else set(measure) - _measured(store, cell.key)
        )
        if record is None or again:
            missing.append(cell.key)
    return missing


def _measured(store: Store, key: str) -> set[str]:
    """The measurements that a cell has, as they were asked for."""
    return {str(found.get("asked")) for found in store.measurement(key).values()}


def execute(
    plan: Plan,
    store: Store,
    execution: Execution,
    dtype: str,
    listener: Listener,
    interrupted: Callable[[], bool] = lambda: False,
    watched: AbstractContextManager[object] | None = None,
) -> None:
    """Computes the cells of ``plan`` that are not done. Imports torch only where there is something to do."""
    wanted = pending(plan, store, retry_failed=execution.retry_failed, measure=execution.measure)[: execution.limit]
    unmeasured = [task for task in _tasks(plan) if store.reference(reference_key(task)) is None]
    if not wanted and not unmeasured:
        return
    import torch

    from bench.executors.inline import Walk
    from bench.workbench import Interrupted

    torch.set_num_threads(execution.threads or default_threads(plan))
    place = device_of(execution.device)
    with watched or nullcontext(), suppress(Interrupted):
        for task in unmeasured:
            _measure_references(task, store, listener)
        if wanted:
            keys = set(wanted)
            Walk(
                plan,
                store,
                place,
                getattr(torch, dtype),
                listener,
                wanted=keys.__contains__,
                fail_fast=execution.fail_fast,
                interrupted=interrupted,
                measure=execution.measure,
            ).run()


def default_threads(plan: Plan) -> int:
    """One thread for the smoke presets, whose models are too small to share out; else one for each core at hand."""
    if all(root.task.preset_name == "smoke" for root in plan.roots):
        return 1
    return len(os.sched_getaffinity(0))


def reference_key(task: OpenTask) -> str:
    """Key of a task's baselines: its data, options and version."""
    identity = {"task": task.name, "version": task.task.version, "data": task.data["digest"]}
    return hashlib.sha256(canonical({**identity, "options": task.options}).encode()).hexdigest()


def _tasks(plan: Plan) -> list[OpenTask]:
    return list({reference_key(root.task): root.task for root in plan.roots}.values())


def _measure_references(task: OpenTask, store: Store, listener: Listener) -> None:
    references = task.task.references()
    if references:
        listener.said(f"{task.name}: measured {', '.join(reference.name for reference in references)} on the same data")
    store.put_reference(
        reference_key(task),
        {
            "task": task.name,
            "task_version": task.task.version,
            "preset": task.preset_name,
            "data_digest": task.data["digest"],
            "options": task.options,
            "references": [asdict(reference) for reference in references],
        },
    )


def device_of(name: str) -> Any:
    """The device of this name, made deterministic. Raises ``UsageError`` where it cannot be used."""
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
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
