"""``bench plan``: what a grid would compute, what that costs, and what of it is done."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bench.cli import flags
from bench.cli.chains import chain_from, line
from bench.cli.output import write, write_json
from bench.cli.reading import say_left_out
from bench.grid import Request
from bench.steps import Cut, Train

if TYPE_CHECKING:
    from bench.execution import Execution
    from bench.store import Store
    from bench.tree import Cell, Node, Plan

PASSED = re.compile(r"Evaluate( \[\w+\])?( >|\])")
"""An evaluation that other steps follow."""


@flags.takes_grid
def plan(
    request: Request,
    folder: str,
    device: Annotated[str, typer.Option(help="As in 'run': how long it takes depends on it.")] = "auto",
    threads: Annotated[int | None, typer.Option(min=1, help="As in 'run': how long it takes depends on it.")] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="As in 'run': they share the time.")] = 1,
    json_: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show the tree of steps of a grid, its cost in training steps, and how much of it is done.

    And how long the rest takes, where the results folder has cells that tell how long such steps take.
    """
    from bench.execution import Execution
    from bench.plan import make

    made = make(request)
    execution = Execution(device, threads, jobs=jobs)
    store = stored(folder)
    if json_:
        write_json(summary(made, store, execution))
    else:
        write(text_of(made, store, request, execution) + "\n")
    if store is not None:
        say_left_out(store.left_out, folder)


def stored(folder: str) -> Store | None:
    """The results folder, or None where there is none yet."""
    from bench.store import Store

    return Store(folder) if Store.at(folder) else None


def summary(plan: Plan, store: Store | None, execution: Execution) -> dict[str, Any]:
    """The plan's cost and state as plain data."""
    from bench.execution import forecast_of
    from bench.foresight.forecast import Forecast
    from bench.tree import score_passes

    statuses = store.statuses([cell.key for cell in plan.cells]) if store else {}
    wanted = [cell.key for cell in plan.cells if cell.key not in statuses]
    forecast = forecast_of(plan, store, execution, wanted) if store else Forecast(plan, wanted)
    left = forecast.left()
    return {
        "cells": len(plan.cells),
        "done": sum(status == "done" for status in statuses.values()),
        "failed": sum(status == "failed" for status in statuses.values()),
        "train_steps_shared": plan.train_steps_shared,
        "train_steps_cell_by_cell": plan.train_steps_cell_by_cell,
        "train_steps_left": forecast.train_steps,
        "score_passes": score_passes(plan),
        "time_left": None if left is None else {**asdict(left), "jobs": forecast.workers},
        "data": [
            {"task": task.name, "preset": task.preset_name, "model": task.model, **task.data}
            for task in {root.task.name: root.task for root in plan.roots}.values()
        ],
        "keys": [cell.key for cell in plan.cells],
    }


def text_of(plan: Plan, store: Store | None, request: Request, execution: Execution) -> str:
    """The tree of one seed of each task, and the cost of all."""
    facts = summary(plan, store, execution)
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
        *_time_left(facts["time_left"]),
    ]
    return "\n".join(lines)


def _time_left(facts: dict[str, Any] | None) -> list[str]:
    """How long the rest takes, and what says so; nothing where nothing was measured."""
    from bench.foresight.forecast import Estimate, duration

    if facts is None:
        return []
    jobs = facts.pop("jobs")
    left = Estimate(**facts)
    by = f" by {jobs} jobs" if jobs > 1 else ""
    return [f"time left, about             {duration(left.seconds):>12}{by}   {left.basis}{left.without}"]


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
