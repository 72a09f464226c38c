"""``bench compare``: what regressed between two sets of cells."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bench.cli.output import write, write_json
from bench.errors import StoreError, UsageError

if TYPE_CHECKING:
    from reports.compare.sides import Side


def compare(
    base: Annotated[
        str, typer.Argument(help="A results folder or its URL, or a baseline file that --update-baseline wrote.")
    ],
    head: Annotated[str, typer.Argument(help="The same, of the code to be judged.")],
    margin: Annotated[
        list[str] | None,
        typer.Option(help="How much worse a metric may get: accuracy=0.005, loss=5% (of the base), or for all 0.01."),
    ] = None,
    speed: Annotated[
        tuple[Path, Path] | None,
        typer.Option(help="Two files of pytest --benchmark-json to compare as well.", metavar="BASE HEAD"),
    ] = None,
    speed_margin: Annotated[
        float | None, typer.Option(min=1.0, help="Ratio of medians allowed.  [default: 1.5]")
    ] = None,
    markdown: Annotated[
        Path | None, typer.Option(help="Write a summary for a job or a pull request to this file.")
    ] = None,
    junit: Annotated[Path | None, typer.Option(help="Write JUnit XML to this file.")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead.")] = False,
    update_baseline: Annotated[
        bool, typer.Option("--update-baseline", help="Write HEAD's cells to the file BASE; the exit code is 0.")
    ] = False,
) -> None:
    """Compare the cells of HEAD with those of BASE.

    Exit codes: 0 no regression found; 3 a regression; 4 something is not comparable; 2 bad input.
    """
    from reports.compare import rendering, sides
    from reports.compare import speed as clock
    from reports.compare.comparing import compare as compared
    from reports.compare.margins import parse

    margins = parse(margin or ())
    theirs = sides.read(head)
    if update_baseline:
        _check_updatable(base, theirs)
    if update_baseline and not Path(base).exists():
        _update(base, theirs)
        return
    timed = clock.compare(*speed, margin=speed_margin or clock.MARGIN) if speed else ()
    found = compared(sides.read(base), theirs, margins, timed)
    if markdown is not None:
        _written("--markdown", markdown, rendering.markdown(found))
    if junit is not None:
        _written("--junit", junit, rendering.junit(found))
    if json:
        write_json(rendering.plain(found))
    else:
        write(rendering.text(found))
    if update_baseline:
        _update(base, theirs)
    elif found.exit_code:
        raise typer.Exit(found.exit_code)


def _check_updatable(base: str, head: Side) -> None:
    """Raises ``UsageError`` where ``base`` is no file, ``StoreError`` where ``head`` is not whole."""
    from bench.storage import is_url

    if is_url(base) or Path(base).is_dir():
        raise UsageError(
            "is a folder, not a baseline file", where=f"--update-baseline {base}", mend="Give a file as BASE."
        )
    for name, why in head.left_out.items():
        raise StoreError(why, where=f"{head.name}, {name}", mend="'bench run' computes it again: a baseline is whole.")


def _update(base: str, head: Side) -> None:
    from reports.compare import baseline

    baseline.write(Path(base), [(cell.record, cell.examples()) for cell in head.cells])
    typer.echo(f"{base}: written with {len(head.cells)} cells.", err=True)


def _written(flag: str, path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot be written ({error.strerror or error})", where=f"{flag} {path}") from error
