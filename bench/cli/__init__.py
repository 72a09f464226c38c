"""The command line: one file a verb. A verb's module is light; what it needs is imported when it runs.

Exit codes: 0 fine; 1 some cells failed; 2 usage or bad input; 3 a regression; 4 not comparable; 70 a defect of
prunebench itself; 130 interrupted; 141 the reader of a pipe went away.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Annotated

import typer

from bench import ranks
from bench.cli import check, compare, data, doctor, export, list, paper, plan, report, run, show, status
from bench.cli.output import BROKEN_PIPE, PipeClosedError, close_quietly
from bench.cli.ownership import check_packages
from bench.errors import BenchError

USAGE, DEFECT, INTERRUPTED = 2, 70, 130
TOGETHER = {"run", "paper", "export"}
"""Verbs that several processes carry out together, where a launcher started them; any other is rank 0's alone."""

app = typer.Typer(
    name="bench",
    help="One benchmark for neural-network pruning: every task, every pruner, one table.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("plan")(plan.plan)
app.command("list")(list.list_names)
app.command("show")(show.show)
app.command("status")(status.status)
app.command("report")(report.report)
app.command("compare")(compare.compare)
app.command("export")(export.export)
app.add_typer(data.app, name="data")
app.add_typer(paper.app, name="paper")
app.command("doctor")(doctor.doctor)
app.command("check")(check.check)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"prunebench {version('prunebench')}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks. Stands anywhere.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """One benchmark for neural-network pruning: every task, every pruner, one table."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs ``bench`` with ``arguments``, by default the process's own; returns the exit code."""
    given = [*(sys.argv[1:] if arguments is None else arguments)]
    debug = "--debug" in given
    given = [argument for argument in given if argument != "--debug"]
    try:
        follows = ranks.follows()
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return error.exit_code
    if follows and not {*given[:1]} & TOGETHER:
        return 0
    with _silence() if follows and not debug else nullcontext():
        return _main(given, debug)


@contextmanager
def _silence() -> Iterator[None]:
    """Rank 0 speaks for all processes that compute a cell together, of their errors as well."""
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        yield


def _main(given: Sequence[str], debug: bool) -> int:
    try:
        check_packages()
        code = typer.main.get_command(app).main(given or ["--help"], prog_name="bench", standalone_mode=False)
        sys.stdout.flush()
        return _finished(code if isinstance(code, int) else 0)
    except (PipeClosedError, BrokenPipeError):
        close_quietly()
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return _finished(INTERRUPTED)
    except SystemExit as request:
        return request.code if isinstance(request.code, int) else USAGE
    except Exception as error:
        if debug:
            traceback.print_exc()
        line, code = _explained(error)
        print(f"bench: {line}", file=sys.stderr)
        return code


def _finished(code: int) -> int:
    if code == INTERRUPTED:
        print("bench: interrupted. Finished cells are kept: the same command goes on from there.", file=sys.stderr)
    return code


def _explained(error: Exception) -> tuple[str, int]:
    """One line for an error, and the exit code."""
    if isinstance(error, BenchError):
        return " ".join(str(error).split()), error.exit_code
    # typer brings click along, or its own copy of it: either's usage errors have this method.
    message = getattr(error, "format_message", None)
    if message is not None:
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "bench"
        said = " ".join(str(message()).split())
        return f"{said}{'' if said.endswith(('.', '?')) else '.'} See '{command} --help'.", USAGE
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return f"a defect of prunebench: {said}. Run again with --debug for the traceback.", DEFECT
