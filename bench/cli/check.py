"""``bench check``: whether a plug-in keeps the contract; for those who write one."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from bench.cli.output import write, write_json


def check(
    kind: Annotated[Literal["pruner", "task"], typer.Argument(help="What NAME is.")],
    name: Annotated[str, typer.Argument(help="Registered name of the plug-in.")],
    json: Annotated[bool, typer.Option("--json", help="Print one JSON array instead.")] = False,
) -> None:
    """Check a pruner or a task against the contract, on toy data.

    Prints a line a check, 'ok' or 'FAILED' and why. Exit code 1 where one failed.
    """
    from bench import registry

    registry.known(f"{kind}s", name)
    from bench.checks import check_pruner, check_task

    findings = check_pruner(name) if kind == "pruner" else check_task(name)
    if json:
        write_json([{"check": found.check, "ok": found.ok, "problem": found.problem} for found in findings])
    else:
        write("".join(f"ok      {f.check}\n" if f.ok else f"FAILED  {f.check}: {f.problem}\n" for f in findings))
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)
