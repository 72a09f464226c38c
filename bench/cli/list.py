"""``bench list``: what there is. Imports no plug-in."""

from __future__ import annotations

from typing import Annotated

import typer

from bench.cli.output import block, write, write_json
from bench.errors import UsageError


def list_names(
    kind: Annotated[
        str | None, typer.Argument(help="tasks, pruners, allocations or structures; all of them by default.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON array instead.")] = False,
) -> None:
    """List the tasks, pruners, allocations and structures."""
    from bench.registry import GROUPS, suggestion

    if kind is not None and kind not in GROUPS:
        raise UsageError(f"unknown kind {kind!r}", mend=suggestion(kind, GROUPS))
    found = [entry for group in ([kind] if kind else GROUPS) for entry in _entries(group)]
    if json:
        write_json(found)
        return
    parts = []
    for group in dict.fromkeys(entry["kind"] for entry in found):
        inside = [entry for entry in found if entry["kind"] == group]
        parts.append(block([group, ""], [[f"  {entry['name']}", _said(entry)] for entry in inside]))
    write("\n".join(parts))


def _said(entry: dict[str, str]) -> str:
    ours = entry["distribution"].split(" ")[0] == "prunebench"
    return entry["description"] + ("" if ours else f" ({entry['distribution']})")


def _entries(group: str) -> list[dict[str, str]]:
    from bench import registry
    from bench.cli.descriptions import describe

    found = []
    for name in registry.names(group):
        try:
            owner, description = registry.distribution(group, name), describe(registry.source(group, name))
        except UsageError as error:
            owner, description = "several", str(error)
        found.append({"kind": group, "name": name, "description": description, "distribution": owner})
    return found
