"""``bench paper``: published tables, the grids that reproduce them, and ours beside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench import ranks
from bench.cli import flags
from bench.cli.output import block, write, write_json
from bench.cli.report import terminal_width
from bench.errors import UsageError

if TYPE_CHECKING:
    from reports.papers.beside import Beside
    from reports.papers.published import Paper

FORMATS = ("text", "md", "latex")
WIDTH = 110
"""Columns of the sentences below a table where no terminal tells."""

app = typer.Typer(help="Published tables: list them, compute them, show ours beside.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="A table's name: 'bench paper list'.")]
Out = Annotated[
    str | None,
    typer.Option("--out", "-o", metavar="FOLDER", help="Results folder or URL.  [default: results/papers/NAME]"),
]


@app.command("list")
def list_papers(
    json: Annotated[bool, typer.Option("--json", help="Print one JSON array instead.")] = False,
) -> None:
    """List the published tables."""
    from bench import registry
    from reports.papers import published

    known = registry.names("tasks")
    papers = [published.load(name) for name in published.names()]
    if json:
        write_json([{"name": one.name, "title": one.title, "tasks": [*one.tasks], "source": one.source,
                     "installed": bool(one.tasks) and set(one.tasks) <= {*known}} for one in papers])  # fmt: skip
        return
    write(block(["paper", "tasks", ""], [[one.name, _tasks(one, known), one.title] for one in papers]))


@app.command("run")
def run(
    name: Name,
    preset: Annotated[str | None, typer.Option(help="Another than the published settings: smoke or small.")] = None,
    data: flags.Data = None,
    out: Out = None,
    pruner: flags.Pruners = None,
    model: flags.Model = None,
    grid: flags.Grid = None,
    seeds: flags.Seeds = None,
    set_: flags.Set = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1 or auto.")] = "auto",
    threads: flags.Threads = None,
    jobs: flags.Jobs = None,
    executor: flags.Executor = None,
    ray_address: flags.RayAddress = "auto",
    gpus_per_job: flags.GpusPerJob = 0.0,
    limit: Annotated[int | None, typer.Option(min=1, help="Compute at most this many cells of each grid now.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    track: Annotated[str | None, typer.Option(help="As in 'bench run'.")] = None,
) -> None:
    """Compute a table's grid, by default with the published settings, and print ours beside it.

    What is done already is not done again; flags narrow or change the grid.
    """
    from bench.api import Execution
    from bench.cli.run import computed
    from reports.papers import published

    paper = published.load(name)
    _check_runs(paper)
    given = {
        "preset": preset,
        "data": data,
        "pruner": pruner,
        "model": model,
        "grid": grid,
        "seeds": seeds,
        "set_": set_,
    }
    folder = str(out or _place(name))
    trackers = [one.strip() for one in (track or "").split(",") if one.strip()]
    execution = Execution(
        device, threads, limit, executor=executor, jobs=jobs, ray_address=ray_address, gpus_per_job=gpus_per_job
    )
    failed = 0
    for entry in paper.grids:
        request, _ = flags.request(_values(entry, given))
        done = computed(request, folder, execution, dry_run=dry_run, track=trackers)
        if done is not None:
            plan, store = done
            records = [*store.records({cell.key for cell in plan.cells})]
            failed += sum(record.status == "failed" for record in records)
    if dry_run or ranks.follows():
        return
    write(_rendered(_beside(paper, folder), "text"))
    if failed:
        raise typer.Exit(1)


@app.command("show")
def show(
    name: Name,
    out: Out = None,
    format_: Annotated[str, typer.Option("--format", help="Of the table.", metavar="|".join(FORMATS))] = "text",
) -> None:
    """Print a published table, with what a results folder holds of it beside."""
    from bench.registry import suggestion
    from reports.papers import published

    if format_ not in FORMATS:
        raise UsageError(f"unknown format {format_!r}", where="--format", mend=suggestion(format_, FORMATS))
    paper = published.load(name)
    write(_rendered(_beside(paper, out or _place(name), required=out is not None), format_))


def _place(name: str) -> str:
    return f"results/papers/{name}"


def _beside(paper: Paper, folder: str, *, required: bool = True) -> Beside:
    """The paper beside the folder's records, or alone where no folder was named and none is there."""
    from bench.cli.reading import reading
    from bench.store import Store
    from reports.papers.beside import beside

    if not (required or Store.at(folder)):
        return beside(paper, ())
    with reading(folder) as store:
        return beside(paper, store.records())


def _rendered(found: Beside, format_: str) -> str:
    from reports import latex, markdown, text
    from reports.papers.rendering import block

    if format_ == "latex":
        return latex.document([block(found)])
    return markdown.block(block(found)) if format_ == "md" else text.block(block(found), terminal_width() or WIDTH)


def _check_runs(paper: Paper) -> None:
    """Raises ``UsageError`` where the table has no grid, or its task is not installed."""
    from bench import registry

    shown = f"'bench paper show {paper.name}' prints the published figures."
    if not paper.grids:
        raise UsageError(f"cannot be computed: {paper.doubt}", where=f"paper {paper.name}", mend=shown)
    missing = [task for task in paper.tasks if task not in registry.names("tasks")]
    if missing:
        raise UsageError(
            f"needs the task {missing[0]!r}, which is not installed", where=f"paper {paper.name}", mend=shown
        )


def _values(entry: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A grid's entry as flags, with those of the command line in their place."""
    from reports.papers.published import PRESET

    values: dict[str, Any] = {name: _text(value) for name, value in entry.items() if name != "set"}
    chosen = {name: value for name, value in given.items() if value is not None}
    settings = [f"{name}={value}" for name, value in entry.get("set", {}).items()]
    # Settings that complete the published preset have no place in another one.
    kept = settings if chosen.get("preset", PRESET) == PRESET else []
    return {"preset": PRESET, **values, **chosen, "set_": [*kept, *chosen.get("set_", [])]}


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _tasks(paper: Paper, known: list[str]) -> str:
    said = [task if task in known else f"{task} (not installed)" for task in paper.tasks]
    return ", ".join(said) or "none"
