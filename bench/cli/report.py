"""``bench report``: the tables of a results folder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.output import write
from bench.errors import BenchError, StoreError, UsageError

if TYPE_CHECKING:
    from bench.record import Record
    from bench.store import Store
    from reports.table import Table

FORMATS = ("text", "md", "latex", "html", "csv", "jsonl", "parquet")
PER_CELL = ("csv", "jsonl", "parquet")
BINARY = "parquet"
FOREIGN = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What values that no run leaves can raise in what shows them."""
FIGURE_FORMATS = ("png", "svg", "pdf")
ALL = "all"
"""Metrics."""
NARROWEST, WIDEST = 100, 160


def report(
    folder: Annotated[
        str, typer.Argument(metavar="[FOLDER]", help="A results folder: the --out of a 'bench run'.")
    ] = "results",
    format: Annotated[
        str,
        typer.Option(
            help="text, md or latex: tables over seeds; html: a page with figures and each cell; "
            "csv, jsonl or parquet: one line a cell.",
            metavar="|".join(FORMATS),
        ),
    ] = "text",
    summary: Annotated[
        bool, typer.Option("--summary", help="Over tasks: how sparse each pruner gets at 99 % and 95 % of dense.")
    ] = False,
    task: Annotated[str | None, typer.Option(help="Only these tasks, separated by commas.")] = None,
    pruner: Annotated[
        str | None, typer.Option(help="Only these pruners, separated by commas. Tables keep the dense reference.")
    ] = None,
    output: Annotated[Path | None, typer.Option(help="Write to this file instead of stdout.")] = None,
    figures: Annotated[
        Path | None,
        typer.Option(help="Also draw figures into this folder; with --summary those over tasks.", metavar="DIR"),
    ] = None,
    figure_format: Annotated[
        str | None,
        typer.Option(
            help="Of the figures: png, svg or pdf, separated by commas. Default: all.", metavar=",".join(FIGURE_FORMATS)
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(help="Of the figures: these metrics, separated by commas, or 'all'. Default: the leading one."),
    ] = None,
) -> None:
    """Print the tables of a results folder.

    text, md, latex and html average over seeds, beside the dense reference; csv, jsonl and parquet have one line a
    cell. With --summary: which pruner is safe where, one line a task and pruner. With --figures: curves over sparsity
    and FLOPs, Pareto fronts, layers' densities, SAP's iterations (docs/reports.md).
    """
    from bench.cli.reading import reading

    check_format(format, to_stdout=output is None)
    for flag, given in (("--figure-format", figure_format), ("--metric", metric)):
        if given is not None and figures is None:
            raise UsageError("says how figures are drawn, and none are", where=flag, mend="Give --figures DIR as well.")
    if metric is not None and summary:
        raise UsageError("figures over tasks are of each leading metric", where="--metric", mend="Leave out --summary.")
    kinds = figure_formats(",".join(FIGURE_FORMATS) if figure_format is None else figure_format)
    with uncollected(), reading(folder) as store:
        records = [*store.records(layers=format != "csv" or summary or figures is not None)]
        if not records and store.left_out:
            name, why = next(iter(store.left_out.items()))
            raise StoreError(
                f"none of its {len(store.left_out)} records is whole: {name} {why}",
                where=folder,
                mend="Put back what is missing, or 'bench run' computes them again.",
            )
        if not records:
            raise StoreError("no finished cell yet", where=folder, mend="Run 'bench run' with this --out first.")
        pruners = [record.pruner for record in records]
        wanted = selected(records, task, pruner, dense=True)
        if figures is not None:
            draw(store, wanted, figures, kinds, metric, pruners, summary=summary)
        records = wanted if summary or format not in PER_CELL else selected(records, task, pruner, dense=False)
        made = (summarised if summary else rendered)(store, records, format, None if output else terminal_width())
    if output is None:
        write(made)
        return
    try:
        output.write_bytes(made if isinstance(made, bytes) else made.encode())
    except OSError as error:
        raise UsageError(f"cannot be written ({error.strerror or error})", where=f"--output {output}") from error


@contextmanager
def uncollected() -> Iterator[None]:
    """Without the search for cycles, of which records have none: it takes a fifth of the time of reading many."""
    import gc

    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


def check_format(name: str, *, to_stdout: bool = True) -> None:
    """Raises ``UsageError`` for a format that there is not, and for a binary one that would go to stdout."""
    from bench.registry import suggestion

    if name not in FORMATS:
        raise UsageError(f"unknown format {name!r}", where="--format", mend=suggestion(name, FORMATS))
    if name == BINARY and to_stdout:
        mend = "Give 'bench report' a file with --output."
        raise UsageError("is a binary format", where=f"--format {name}", mend=mend)


def figure_formats(given: str) -> list[str]:
    """The formats of figures. Raises ``UsageError`` for one that there is not."""
    from bench.registry import suggestion

    found = [name.strip() for name in given.split(",") if name.strip()]
    for name in found:
        if name not in FIGURE_FORMATS:
            raise UsageError(f"unknown format {name!r}", where="--figure-format", mend=suggestion(name, FIGURE_FORMATS))
    if not found:
        raise UsageError("names no format", where="--figure-format", mend=f"There is: {', '.join(FIGURE_FORMATS)}.")
    return [*dict.fromkeys(found)]


def draw(
    store: Store,
    records: Sequence[Record],
    folder: Path,
    formats: Sequence[str],
    metrics: str | None,
    pruners: Sequence[str],
    *,
    summary: bool,
) -> None:
    """Draws figures of the records into ``folder`` and says on stderr which. ``pruners`` are all of the results folder,
    so that a selection changes no one's colour.

    Raises ``UsageError`` where matplotlib is not installed, a metric is unknown, or there is nothing to draw.
    """
    try:
        from reports.plots import book
    except ImportError as error:
        raise UsageError(
            f"matplotlib does not import ({error})",
            where=f"--figures {folder}",
            mend="Install it with: pip install 'prunebench[figures]'.",
        ) from error
    from reports.latency import measured
    from reports.palette import looks
    from reports.rows import tables

    found = tables(records)
    if summary:
        made = book.of_summary(found, looks(pruners))
    else:
        made = book.of_tasks(_with_metrics(found, metrics), measured(store, records), looks(pruners))
    if not made.figures:
        raise UsageError(
            "nothing to draw: no pruned cell is done", where=f"--figures {folder}", mend="Run a pruner first."
        )
    book.write(made, folder, formats)
    endings = formats[0] if len(formats) == 1 else f"{{{','.join(formats)}}}"
    for named in made.figures:
        typer.echo(f"{folder / named.name}.{endings}", err=True)
    if made.missing:
        typer.echo(f"Not drawn: {'; '.join(made.missing)}.", err=True)


def _with_metrics(found: Sequence[Table], asked: str | None) -> list[Table]:
    """The tables with the leading metric alone, or with those asked for."""
    if asked is None:
        return [replace(table, metrics=table.metrics[:1]) for table in found]
    if asked.strip() == ALL:
        return [*found]
    names = _wanted("--metric", asked, list(dict.fromkeys(info.name for table in found for info in table.metrics)))
    return [replace(table, metrics=tuple(info for info in table.metrics if info.name in names)) for table in found]


def selected(records: Sequence[Record], tasks: str | None, pruners: str | None, *, dense: bool) -> list[Record]:
    """The records of the named tasks and pruners; with ``dense`` the dense cells of these tasks as well.

    Raises ``UsageError`` where no cell is of both.
    """
    from bench.record import DENSE

    wanted_tasks = _wanted("--task", tasks, sorted({record.task for record in records}))
    wanted_pruners = _wanted("--pruner", pruners, sorted({record.pruner for record in records}))
    found = [record for record in records if record.task in wanted_tasks and record.pruner in wanted_pruners]
    if not found:
        raise UsageError(
            "no cell is of these tasks and these pruners",
            where="--task and --pruner",
            mend="'bench status' counts cells.",
        )
    if not dense:
        return found
    return [r for r in records if r.task in wanted_tasks and r.pruner in (*wanted_pruners, DENSE)]


def rendered(store: Store, records: Sequence[Record], format: str, width: int | None = None) -> str | bytes:
    """The records in a format, at ``width`` columns where it is text; bytes where the format is binary. Raises
    ``StoreError`` where one cannot be shown."""
    return _shown(records, lambda chosen: _rendered(store, chosen, format, width))


def summarised(store: Store, records: Sequence[Record], format: str, width: int | None = None) -> str | bytes:
    """The cross-task answer in a format. Raises ``StoreError`` where a record cannot be shown."""
    return _shown(records, lambda chosen: _summarised(store, chosen, format, width))


def _shown(records: Sequence[Record], make: Callable[[Sequence[Record]], str | bytes]) -> str | bytes:
    """``make(records)``. A record's checksum says that it is as it was written, not that prunebench wrote it: one with
    values that no run leaves is named in one line."""
    try:
        return make(records)
    except FOREIGN as error:
        others = ([one for one in records if one is not left] for left in records)
        alone = next((record for record in records if _fails(make, [record])), None)
        if alone is None and len(records) <= FEW:
            alone = next((left for left, rest in zip(records, others, strict=True) if not _fails(make, rest)), None)
        if alone is None and len(records) <= FEW:
            raise
        raise unshowable(f"record {alone.key[:12]}" if alone is not None else "a record", error) from error


FEW = 50
"""Records up to which the one is looked for that fits the others badly."""


def unshowable(where: str, error: Exception) -> StoreError:
    """The line about a record that cannot be shown."""
    return StoreError(
        f"holds values that no run leaves ({type(error).__name__}: {str(error)[:80]})",
        where=where,
        mend="Move its file out of records/: 'bench run' computes the cell again.",
    )


def _fails(make: Callable[[Sequence[Record]], str | bytes], records: Sequence[Record]) -> bool:
    try:
        make(records)
    except FOREIGN:
        return True
    except BenchError:
        return False
    return False


def _rendered(store: Store, records: Sequence[Record], format: str, width: int | None) -> str | bytes:
    from reports.latency import measured

    if format in PER_CELL:
        from reports import parquet, tabular

        cells, latency = tabular.timed(store, records), measured(store, records)
        if format == BINARY:
            return parquet.content(cells, latency)
        return tabular.comma_separated(cells, latency) if format == "csv" else tabular.jsonl(cells, latency)
    if format == "html":
        return _page(store, records)
    from reports import latency as clock
    from reports import latex, markdown, text
    from reports.evidence import stored
    from reports.rows import tables

    found = tables(records, store.references(), stored(store))
    clocked = clock.blocks(records, measured(store, records))
    if format == "latex":
        return latex.render(found, clocked)
    if format == "md":
        return markdown.render(found) + "".join(f"\n{markdown.block(block)}" for block in clocked)
    width = width or text.WIDTH
    return text.render(found, width) + "".join(f"\n{text.block(block, width)}" for block in clocked)


def _summarised(store: Store, records: Sequence[Record], format: str, width: int | None) -> str | bytes:
    from bench.record import DENSE

    if all(record.pruner == DENSE for record in records):
        raise UsageError("no pruned cell in the folder", where="--summary", mend="Run a pruner with this --out first.")
    if format == "html":
        return _page(store, records, whole=False)
    from reports import latex, markdown, parquet, summary, text
    from reports.answers import answers
    from reports.rows import tables

    found = answers(tables(records))
    if format == BINARY:
        return parquet.summary(found)
    if format in PER_CELL:
        return summary.comma_separated(found) if format == "csv" else summary.jsonl(found)
    blocks = summary.blocks(found)
    if format == "latex":
        return latex.document(blocks)
    drawn = [markdown.block(block) if format == "md" else text.block(block, width or text.WIDTH) for block in blocks]
    return "\n".join(drawn)


def _page(store: Store, records: Sequence[Record], *, whole: bool = True) -> str:
    from bench.reproduce import Commands
    from reports import html

    return html.render(store, records, Commands().of, whole=whole)


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
