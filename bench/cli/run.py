"""``bench run``: computes what is missing of a grid and prints its table."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

from bench import ranks
from bench.cli import flags
from bench.cli.output import write
from bench.cli.report import FORMATS, check_format, rendered, terminal_width
from bench.grid import Request

if TYPE_CHECKING:
    from bench.api import Execution
    from bench.store import Store
    from bench.tree import Plan


@flags.takes_grid
def run(
    request: Request,
    folder: str,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 or auto.")] = "auto",
    threads: flags.Threads = None,
    jobs: flags.Jobs = None,
    executor: flags.Executor = None,
    ray_address: flags.RayAddress = "auto",
    gpus_per_job: flags.GpusPerJob = 0.0,
    limit: Annotated[int | None, typer.Option(min=1, help="Compute at most this many cells now.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed cells again.")] = False,
    fail_fast: Annotated[bool, typer.Option("--fail-fast", help="Stop at the first cell that fails.")] = False,
    measure: Annotated[
        str | None, typer.Option(help="By the clock as well: latency, or latency:32 for a batch of 32.")
    ] = None,
    track: Annotated[
        str | None, typer.Option(help="Push finished cells to tensorboard, mlflow or wandb as well, comma-separated.")
    ] = None,
    format_: Annotated[str, typer.Option("--format", help="Of the table.", metavar="|".join(FORMATS))] = "text",
) -> None:
    """Run a grid of pruners on a task and print its table.

    What is done already is not done again, and what another run on the same folder is at is waited for. With --jobs
    worker processes share the steps, with --executor ray those of a cluster: the records are the same.
    """
    from bench.api import Execution, check_measures

    check_format(format_)
    measures = check_measures(_names(measure))
    execution = Execution(
        device, threads, limit, retry_failed, fail_fast, measures, executor, jobs, ray_address, gpus_per_job
    )
    assert execution.kind  # a wrong one is told before anything is planned
    done = computed(request, folder, execution, dry_run=dry_run, track=_names(track))
    if done is not None:
        _print(*done, format_)


def computed(
    request: Request, folder: str, execution: Execution, *, dry_run: bool = False, track: Sequence[str] = ()
) -> tuple[Plan, Store] | None:
    """What a verb that runs a grid does: plans it and computes what is missing. None after a dry run, which prints the
    plan, and in a process that computes with rank 0, which has the results."""
    if dry_run and ranks.follows():
        return None
    with nullcontext() if dry_run else ranks.joined(execution.device):
        return _computed(request, folder, execution, dry_run=dry_run, track=track)


def _computed(
    request: Request, folder: str, execution: Execution, *, dry_run: bool, track: Sequence[str]
) -> tuple[Plan, Store] | None:
    from bench.cli.plan import remarks, stored, text_of
    from bench.cli.progress import Progress
    from bench.execution import execute, follow, forecast_of, pending, planned
    from bench.store import Store
    from bench.trackers import Tracked, open_trackers

    plan = planned(request)
    if ranks.follows():
        follow(plan, execution, request.dtype)
        return None
    if dry_run:
        write(text_of(plan, stored(folder), request, execution) + "\n")
        return None
    for remark in remarks(plan, request):
        typer.echo(remark, err=True)
    store = Store(folder, create=True)
    retry, measures = execution.retry_failed, execution.measure
    wanted = pending(plan, store, retry_failed=retry, measure=measures)[: execution.limit]
    forecast = forecast_of(plan, store, execution, wanted)
    progress = Progress(forecast.train_steps, len(wanted), forecast)
    listener = Tracked(progress, open_trackers(track, store.root) if track else {})
    with _stoppable(progress.said) as stopped, closing(listener):
        execute(plan, store, execution, request.dtype, listener, stopped, progress, forecast)
    if stopped() and pending(plan, store, measure=measures):
        raise KeyboardInterrupt
    return plan, store


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _print(plan: Plan, store: Store, format_: str) -> None:
    """Prints the table; exit code 1 where a cell failed."""
    found = {record.key: record for record in store.records([cell.key for cell in plan.cells])}
    records = [found[cell.key] for cell in plan.cells if cell.key in found]
    write(rendered(store, records, format_, terminal_width()))
    failed = sum(record.status == "failed" for record in records)
    left = len(plan.cells) - len(records)
    if left:
        typer.echo(f"{left} cells are left: the same command without --limit computes them.", err=True)
    if failed:
        typer.echo(f"{failed} cells failed and are not tried again unless --retry-failed asks for it.", err=True)
        raise typer.Exit(1)


@contextmanager
def _stoppable(say: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Makes the first Ctrl-C (or SIGTERM) a request to stop after the training step, the second an end at once."""
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        say("Stopping after this step. Once more to stop at once.")

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
