"""``bench.run`` for programs; the command line calls the same functions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import ranks
from bench.checkpoints import TRUST
from bench.errors import UsageError
from bench.execution import Execution, device_of, execute, follow, pending, planned
from bench.grid import Request, default_grid, parse_grid, split_settings
from bench.store import Store
from bench.tree import Plan

if TYPE_CHECKING:
    from bench.record import Record
    from bench.tree import Node
    from reports.table import Table

__all__ = ["Execution", "Result", "Silent", "check_measures", "device_of", "execute", "pending", "result", "run"]


class Silent:
    """A listener that says nothing."""

    def started(self, node: Node, worker: int = 0) -> None: ...

    def trained(self, node: Node, step: int, loss: float) -> None: ...

    def finished(self, record: Record) -> None: ...

    def elsewhere(self, record: Record) -> None: ...

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
    executor: str | None = None,
    jobs: int | None = None,
    ray_address: str = "auto",
    gpus_per_job: float = 0.0,
    trust_remote_code: bool = False,
) -> Result:
    """Runs a grid of cells, going on where an earlier run of it stopped, and returns its tables.

    ``grid`` holds sparsities in [0, 1), or text as ``--grid`` takes it; None: the usual ones, or an N:M structure's
    own. ``out`` is a folder, or a URL that fsspec reaches. With ``jobs`` that many worker processes share the work,
    with ``executor="ray"`` those of a cluster. ``trust_remote_code``: code that lies in a checkpoint may run. Raises
    ``BenchError`` for bad input; a cell that fails is in the table with its error. In a script that ``torchrun``
    starts as several processes all compute each cell together, and rank 0 alone has the result: it is empty elsewhere.
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
        processes=ranks.size(),
    )
    execution = Execution(
        device,
        threads,
        None,
        retry_failed,
        fail_fast,
        check_measures(_several(measure)),
        executor,
        jobs,
        ray_address,
        gpus_per_job,
    )
    with ranks.joined(device):
        plan = planned(request)
        if ranks.follows():
            follow(plan, execution, dtype)
            return Result((), ())
        store = Store(out, create=True)
        execute(plan, store, execution, dtype, Silent())
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

    found = {record.key: record for record in store.records([cell.key for cell in plan.cells])}
    records = [found[cell.key] for cell in plan.cells if cell.key in found]
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
