"""``bench report``: the tables of a results folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.output import write
from bench.errors import StoreError, UsageError

if TYPE_CHECKING:
    from bench.record import Record
    from bench.store import Store

FORMATS = ("text", "md", "csv", "jsonl")
PER_CELL = ("csv", "jsonl")
NARROWEST, WIDEST = 100, 160


def report(
    folder: Annotated[Path, typer.Argument(help="A results folder: the --out of a 'bench run'.")] = Path("results"),
    format: Annotated[
        str,
        typer.Option(help="text or md: tables over seeds; csv or jsonl: one line a cell.", metavar="|".join(FORMATS)),
    ] = "text",
    task: Annotated[str | None, typer.Option(help="Only these tasks, separated by commas.")] = None,
    pruner: Annotated[
        str | None, typer.Option(help="Only these pruners, separated by commas. Tables keep the dense reference.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Write to this file instead of stdout.")] = None,
) -> None:
    """Print the tables of a results folder.

    text and md average over seeds, beside the dense reference; csv and jsonl have one line a cell.
    """
    from bench.store import Store

    check_format(format)
    store = Store(folder)
    records = [*store.records()]
    if not records:
        raise StoreError("no finished cell yet", where=str(folder), mend="Run 'bench run' with this --out first.")
    records = selected(records, task, pruner, dense=format not in PER_CELL)
    text = rendered(store, records, format, None if output else terminal_width())
    if output is None:
        write(text)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot be written ({error.strerror or error})", where=f"--output {output}") from error


def check_format(name: str) -> None:
    """Raises ``UsageError`` for a format that there is not."""
    from bench.registry import suggestion

    if name not in FORMATS:
        raise UsageError(f"unknown format {name!r}", where="--format", mend=suggestion(name, FORMATS))


def selected(records: Sequence[Record], tasks: str | None, pruners: str | None, *, dense: bool) -> list[Record]:
    """The records of the named tasks and pruners; with ``dense`` the dense cells of these tasks as well."""
    from bench.record import DENSE

    wanted_tasks = _wanted("--task", tasks, sorted({record.task for record in records}))
    wanted_pruners = _wanted("--pruner", pruners, sorted({record.pruner for record in records}))
    if dense:
        wanted_pruners = [*wanted_pruners, DENSE]
    return [record for record in records if record.task in wanted_tasks and record.pruner in wanted_pruners]


def rendered(store: Store, records: Sequence[Record], format: str, width: int | None = None) -> str:
    """The records in a format, at ``width`` columns where it is text."""
    from reports.latency import measured

    if format in PER_CELL:
        from reports import tabular

        cells, latency = tabular.timed(store, records), measured(store, records)
        return tabular.comma_separated(cells, latency) if format == "csv" else tabular.jsonl(cells, latency)
    from reports import latency as clock
    from reports import markdown, text
    from reports.rows import tables

    found = tables(records, store.references())
    below = clock.render(records, measured(store, records), markdown=format == "md", width=width or text.WIDTH)
    return (markdown.render(found) if format == "md" else text.render(found, width or text.WIDTH)) + below


def _wanted(flag: str, given: str | None, known: Sequence[str]) -> list[str]:
    from bench.registry import suggestion

    if given is None:
        return [*known]
    names = [name.strip() for name in given.split(",") if name.strip()]
    for name in names:
        if name not in known:
            raise UsageError(f"no cell of {name!r} in the folder", where=flag, mend=suggestion(name, known))
    return names


def terminal_width() -> int | None:
    """Columns of the terminal that stdout is, within reason; None where it is none."""
    import shutil
    import sys

    if not sys.stdout.isatty():
        return None
    return min(WIDEST, max(NARROWEST, shutil.get_terminal_size().columns))
