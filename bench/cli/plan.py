"""``bench plan``: what a grid would compute, what that costs, and what of it is done."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli import flags
from bench.cli.chains import chain_from, line
from bench.cli.output import write, write_json
from bench.grid import Request
from bench.steps import Cut, Train

if TYPE_CHECKING:
    from bench.store import Store
    from bench.tree import Cell, Node, Plan

PASSED = re.compile(r"Evaluate( \[\w+\])?( >|\])")
"""An evaluation that other steps follow."""


@flags.takes_grid
def plan(
    request: Request,
    folder: str,
    device: Annotated[str, typer.Option(help="As in 'run': changes nothing of the plan.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="As in 'run': changes nothing of the plan.")] = None,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the tree of steps of a grid, its cost in training steps, and how much of it is done."""
    from bench.plan import make

    made = make(request)
    if json_:
        write_json(summary(made, stored(folder)))
    else:
        write(text_of(made, stored(folder), request) + "\n")


def stored(folder: str) -> Store | None:
    """The results folder, or None where there is none yet."""
    from bench.store import Store

    return Store(folder) if Store.at(folder) else None


def summary(plan: Plan, store: Store | None, again: Collection[str] = ()) -> dict[str, Any]:
    """The plan's cost and state as plain data; the steps that are left are those of the cells ``again`` too."""
    from bench.tree import score_passes

    statuses = store.statuses([cell.key for cell in plan.cells]) if store else {}
    states = store.state_keys() if store else frozenset()
    left = plan.train_steps_left(lambda key: key in statuses and key not in again, lambda key: key in states)
    return {
        "cells": len(plan.cells),
        "done": sum(status == "done" for status in statuses.values()),
        "failed": sum(status == "failed" for status in statuses.values()),
        "train_steps_shared": plan.train_steps_shared,
        "train_steps_cell_by_cell": plan.train_steps_cell_by_cell,
        "train_steps_left": left,
        "score_passes": score_passes(plan),
        "data": [
            {"task": task.name, "preset": task.preset_name, "model": task.model, **task.data}
            for task in {root.task.name: root.task for root in plan.roots}.values()
        ],
        "keys": [cell.key for cell in plan.cells],
    }


def text_of(plan: Plan, store: Store | None, request: Request) -> str:
    """The tree of one seed of each task, and the cost of all."""
    facts = summary(plan, store)
    seeds = sorted({root.seed for root in plan.roots})
    lines: list[str] = []
    for root in plan.roots:
        if root.seed != plan.roots[0].seed:
            continue
        data = root.task.data
        counts = ", ".join(f"{count:,} {what}" for what, count in data["counts"].items())
        lines.append(f"{root.task.name} ({root.task.model}, preset {root.task.preset_name})")
        lines.append(f"  data: {data['name']}, {data['kind']}: {counts}")
        lines += [f"  {branch}" for branch in _branches(root.node.children, store)]
        if len(seeds) > 1:
            lines.append(f"  the same for each of {len(seeds)} seeds: {', '.join(map(str, seeds))}")
        lines.append("")
    if any(PASSED.search(drawn) for drawn in lines):
        lines += [
            "An Evaluate in a row measures the model and leaves it as it was: what follows goes on from there.",
            "",
        ]
    said = remarks(plan, request)
    lines += [*said, ""] if said else []
    shared, apart = facts["train_steps_shared"], facts["train_steps_cell_by_cell"]
    lines += [
        f"cells                        {facts['cells']:>12,}   done {facts['done']:,}, failed {facts['failed']:,}",
        f"training steps, shared       {shared:>12,}   left {facts['train_steps_left']:,}",
        f"training steps, cell by cell {apart:>12,}   {apart / shared if shared else 1:.2f} times as many",
        f"scoring passes               {facts['score_passes']:>12,}",
    ]
    return "\n".join(lines)


def remarks(plan: Plan, request: Request) -> list[str]:
    """What of a request means something else than it may seem to."""
    counted = {cell.pruner.name: cell.pruner for cell in plan.cells if cell.pruner.counts_iterations}
    found = [
        f"{name} finds its own sparsities, one an iteration: --grid is not for it, {name}.iterations="
        f"{pruner.options.iterations} is."
        for name, pruner in sorted(counted.items())
    ]
    found += list(dict.fromkeys(said for cell in plan.cells if (said := _crowded(cell))))
    if request.data is None:
        found += _sampled(plan)
    if any(name.startswith("recover.") for name in request.settings) and request.settings.get("recover.steps") != "0":
        recovering = {cell.pruner.name for cell in plan.cells if _recovers(cell)}
        alone = {cell.pruner.name for cell in plan.cells if cell.target} - recovering
        found += [f"{name} has no recovery of its own: --recover is not for it." for name in sorted(alone)]
    return found


def _crowded(cell: Cell) -> str:
    """What there is to say where a schedule has room for fewer cuts than the pruner's ``cuts`` asks for."""
    asked = getattr(cell.pruner.options, "cuts", None)
    made = sum(isinstance(step, Cut) for step in cell.path)
    if asked is None or not cell.target or made >= asked:
        return ""
    return f"{cell.pruner.name} cuts {made} times, not {asked}: its schedule has room for no more; give it more steps."


def _sampled(plan: Plan) -> list[str]:
    """For each task on its sample, where nothing was said of data, how to get the real one."""
    from bench.data import SAMPLE
    from bench.sources import offers

    on_samples = {root.task.name: root.task.task for root in plan.roots if root.task.data["kind"] == SAMPLE}
    return [
        f"{name} stands on its embedded sample: 'bench data get {task.dataset}' fetches the real data."
        for name, task in on_samples.items()
        if offers(type(task), task.dataset)
    ]


def _recovers(cell: Cell) -> bool:
    stream = cell.task.budget.recover.stream
    return any(isinstance(step, Train) and step.schedule.stream.startswith(stream) for step in cell.path)


def _branches(children: Sequence[Node], store: Store | None, indent: str = "") -> Iterator[str]:
    """The tree below some node; a row of steps is one line."""
    for index, child in enumerate(children):
        last = index == len(children) - 1
        row, below = chain_from(child)
        yield f"{indent}{'└─ ' if last else '├─ '}{line(row, store)}"
        yield from _branches(below, store, indent + ("   " if last else "│  "))
