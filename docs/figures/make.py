"""Draws the curves of docs/pruners.md: ``python docs/figures/make.py [RESULTS]``, or ``make figures``.

Runs the grid in the results folder first (what is there already is not run again), on AG News's embedded sample.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import bench
from reports import curves
from reports.palette import Look, looks
from reports.rows import tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bench.record import Record
    from reports.curves import Chart, Series

PRUNERS = ("random", "magnitude", "snip", "grasp", "synflow", "wanda", "fisher")
RECIPES = ("tpr", "gmp", "imp", "iterative", "movement", "soft-movement")
SAP_ITERATIONS = 12
GRID = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
SEEDS = range(3)
CHANCE = 0.25
"""Of four classes."""
RESOLUTION = 200
"""Dots an inch: 660 across, as a page shows them."""
FIGURES = Path(__file__).parent
MOMENTS = {
    "{}, at init": Look("#0072B2", "circle"),
    "{}, trained, then recovery": Look("#D55E00", "triangle up"),
    "{}, trained, no recovery": Look("#009E73", "diamond"),
}
"""Lines of one pruner, by when it cuts."""


def results(out: Path) -> dict[str, Chart]:
    """Accuracy against sparsity by moment of the cut. The embeddings are prunable: the 256 weights of the linear layer
    alone would say nothing."""
    settings = {"prune_embeddings": True}
    grids = {
        "init": {"when": "init", "settings": settings},
        "trained": {"when": "trained", "settings": settings},
        "alone": {"when": "trained", "settings": {**settings, "recover.steps": 0}},
    }
    found = {
        moment: _chart(
            bench.run("ag-news", PRUNERS, GRID, SEEDS, data="sample", out=out, allocation="global", **grid).records  # type: ignore[arg-type]
        )
        for moment, grid in grids.items()
    }
    recipes = bench.run("ag-news", RECIPES, GRID, SEEDS, data="sample", out=out, settings=settings)
    return {**found, "recipe": _chart(recipes.records)}


def sap(out: Path) -> Figure:
    """Accuracy, density and PQ Index over SAP's iterations."""
    from reports.plots.iterations import trajectory

    settings = {"prune_embeddings": True, "sap.iterations": SAP_ITERATIONS}
    found = bench.run("ag-news", "sap", GRID, SEEDS, data="sample", out=out, settings=settings)
    return trajectory(curves.trajectories(tables(found.records)), looks(["sap"]))


def criterion(name: str, found: dict[str, Chart]) -> Figure:
    """One criterion's curves: cut at init, cut after training with recovery and without; random behind."""
    behind = [_named(found["init"], "random", "random, at init")] if name != "random" else []
    lines = [
        _named(found[moment], name, label.format(name))
        for moment, label in zip(("init", "trained", "alone"), MOMENTS, strict=True)
    ]
    drawn = dict(zip([line.pruner for line in lines], MOMENTS.values(), strict=True))
    return _drawn(found["init"], [*behind, *lines], {**drawn, "random, at init": looks(["random"])["random"]})


def recipe(name: str, found: dict[str, Chart]) -> Figure:
    """A recipe's curve beside magnitude cut once, and random."""
    beside = [_named(found["trained"], other, f"{other}, trained, then recovery") for other in ("random", "magnitude")]
    known = looks(["random", "magnitude", name])
    drawn = {line.pruner: known[other] for line, other in zip(beside, ("random", "magnitude"), strict=True)}
    return _drawn(found["init"], [*beside, _named(found["recipe"], name, name)], {**drawn, name: known[name]})


def _chart(records: Sequence[Record]) -> Chart:
    return next(chart for chart in curves.against_sparsity(tables(records)) if chart.metric.name == "accuracy")


def _named(chart: Chart, pruner: str, label: str) -> Series:
    """A pruner's line under a label of ours, which is drawn in a look of its own."""
    (line,) = [one for one in chart.series if one.pruner == pruner]
    return replace(line, pruner=label, label=label)


def _drawn(chart: Chart, lines: Sequence[Series], drawn: dict[str, Look]) -> Figure:
    from reports.plots.charts import curves as draw

    return draw(replace(chart, series=tuple(lines), chance=CHANCE), drawn)


def main() -> None:
    import matplotlib

    from reports.plots.style import content, styled

    out = Path(sys.argv[1] if len(sys.argv) > 1 else "results/figures")
    found = results(out)
    with styled(), matplotlib.rc_context({"savefig.dpi": RESOLUTION}):
        made = {name: criterion(name, found) for name in PRUNERS}
        made |= {name: recipe(name, found) for name in RECIPES}
        made["sap"] = sap(out)
        for name, figure in made.items():
            (FIGURES / f"{name}.png").write_bytes(content(figure, "png", f"{name} on AG News's embedded sample"))
    for moment, chart in found.items():
        for one in chart.series:
            means = (f"{p.target:g}: {100 * p.mean:.1f}" for p in one.points if p.mean is not None)
            print(moment, one.pruner, *means)


if __name__ == "__main__":
    main()
