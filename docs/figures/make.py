"""Draws the curves of docs/pruners.md: ``python docs/figures/make.py [RESULTS]``, or ``make figures``.

Runs the grid in the results folder first (what is there already is not run again), on AG News's embedded sample.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import bench

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bench.record import Record

PRUNERS = ("random", "magnitude", "snip", "grasp", "synflow", "wanda", "fisher")
RECIPES = ("tpr", "gmp", "imp", "iterative", "movement", "soft-movement")
SAP_ITERATIONS = 12
GRID = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
SEEDS = range(3)
STUDENT = 4.303
"""Of three seeds: 97.5 % quantile of Student's t with two degrees of freedom."""
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#767676"
"""Okabe and Ito's colours, which those who see red and green alike can tell apart."""
Curve = dict[float, list[float]]


def results(out: Path) -> dict[str, dict[str, Curve]]:
    """Accuracies in percent by moment of the cut, pruner and sparsity. The embeddings are prunable: the 256 weights of
    the linear layer alone would say nothing."""
    settings = {"prune_embeddings": True}
    grids = {
        "init": {"when": "init", "settings": settings},
        "trained": {"when": "trained", "settings": settings},
        "alone": {"when": "trained", "settings": {**settings, "recover.steps": 0}},
    }
    found = {
        moment: _curves(
            bench.run("ag-news", PRUNERS, GRID, SEEDS, data="sample", out=out, allocation="global", **grid).records  # type: ignore[arg-type]
        )
        for moment, grid in grids.items()
    }
    recipes = bench.run("ag-news", RECIPES, GRID, SEEDS, data="sample", out=out, settings=settings)
    return {**found, "recipe": _curves(recipes.records)}


def sap(out: Path) -> list[Record]:
    """SAP's cells, one an iteration and seed."""
    settings = {"prune_embeddings": True, "sap.iterations": SAP_ITERATIONS}
    found = bench.run("ag-news", "sap", GRID, SEEDS, data="sample", out=out, settings=settings)
    return [record for record in found.records if record.iteration is not None and record.status == "done"]


def _curves(records: Iterable[Record]) -> dict[str, Curve]:
    curves: dict[str, Curve] = {}
    for record in records:
        if record.status == "done":
            points = curves.setdefault(record.pruner, {})
            points.setdefault(record.target_sparsity or 0.0, []).append(100 * record.metrics["accuracy"])
    return curves


def draw_recipe(name: str, found: dict[str, dict[str, Curve]], path: Path) -> None:
    """A recipe's curve beside magnitude cut once, and random."""
    figure, axes = _frame(found)
    _line(axes, found["trained"]["random"], GREY, "random, trained, then recovery", "s", "--")
    _line(axes, found["trained"]["magnitude"], ORANGE, "magnitude, trained, then recovery", "^", "-.")
    _line(axes, found["recipe"][name], BLUE, name, "o", "-")
    _finish(figure, axes, path)


def draw_sap(records: list[Record], path: Path) -> None:
    """Accuracy and PQ Index over SAP's iterations, and the sparsity that it found."""
    from matplotlib import pyplot

    figure, (above, below) = pyplot.subplots(2, 1, figsize=(5.6, 4.4), dpi=100, layout="constrained", sharex=True)
    iterations = sorted({record.iteration for record in records if record.iteration is not None})

    def over(axes: Axes, color: str, marker: str, label: str, value: Callable[[Record], float]) -> None:
        points = [[value(record) for record in records if record.iteration == number] for number in iterations]
        errors = [STUDENT * statistics.stdev(point) / len(point) ** 0.5 for point in points]
        means = [statistics.mean(point) for point in points]
        axes.errorbar(
            iterations, means, errors, color=color, marker=marker, markersize=4, label=label, linewidth=1.4, capsize=2
        )

    over(above, BLUE, "o", "accuracy", lambda record: record.metrics["accuracy"])
    over(above, ORANGE, "^", "sparsity found", lambda record: record.sparsity or 0.0)
    over(below, GREEN, "D", "PQ Index before the cut", lambda record: float(record.trace[-1]["pqi"]))
    above.set_ylim(0, 1.03)
    below.set_xlabel("iteration")
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize=8, frameon=False)
    figure.savefig(path, metadata={"Software": None})
    pyplot.close(figure)


def draw(name: str, found: dict[str, dict[str, Curve]], path: Path) -> None:
    """One pruner's curves: cut at init, cut after training with recovery and without; random and dense behind."""
    figure, axes = _frame(found)
    if name != "random":
        _line(axes, found["init"]["random"], GREY, "random, at init", "s", "--")
    _line(axes, found["init"][name], BLUE, f"{name}, at init", "o", "-")
    _line(axes, found["trained"][name], ORANGE, f"{name}, trained, then recovery", "^", "-")
    _line(axes, found["alone"][name], GREEN, f"{name}, trained, no recovery", "D", "-.")
    _finish(figure, axes, path)


def _frame(found: dict[str, dict[str, Curve]]) -> tuple[Figure, Axes]:
    """Axes with the dense model's line."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5.6, 3.4), dpi=100, layout="constrained")
    (dense,) = found["init"]["dense"].values()
    axes.axhline(statistics.mean(dense), color="black", linewidth=1, linestyle=":")
    axes.annotate(
        "dense",
        (len(GRID) - 1, statistics.mean(dense)),
        xytext=(0, 3),
        textcoords="offset points",
        fontsize=8,
        ha="center",
    )
    return figure, axes


def _finish(figure: Figure, axes: Axes, path: Path) -> None:
    """Ticks, labels and the file."""
    from matplotlib import pyplot

    axes.set_xticks(range(len(GRID)), [f"{sparsity:g}" for sparsity in GRID])
    axes.set_xlabel("sparsity")
    axes.set_ylabel("accuracy, %")
    axes.set_ylim(15, 101)
    axes.axhline(25, color=GREY, linewidth=0.6)
    axes.annotate("chance", (0, 25), xytext=(2, -9), textcoords="offset points", fontsize=8, color=GREY)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0.0, 0.08))
    figure.savefig(path, metadata={"Software": None})
    pyplot.close(figure)


def _line(axes: Axes, curve: Curve, color: str, label: str, marker: str, style: str) -> None:
    places = [GRID.index(sparsity) for sparsity in sorted(curve)]
    values = [curve[sparsity] for sparsity in sorted(curve)]
    means = [statistics.mean(value) for value in values]
    errors = [STUDENT * statistics.stdev(value) / len(value) ** 0.5 for value in values]
    axes.errorbar(
        places, means, errors, color=color, label=label, marker=marker, markersize=4, linestyle=style,
        linewidth=1.4, capsize=2, elinewidth=0.8,
    )  # fmt: skip


def main() -> None:
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "results/figures")
    found = results(out)
    for name in PRUNERS:
        draw(name, found, Path(__file__).parent / f"{name}.png")
    for name in RECIPES:
        draw_recipe(name, found, Path(__file__).parent / f"{name}.png")
    draw_sap(sap(out), Path(__file__).parent / "sap.png")
    for moment, curves in found.items():
        for name, curve in curves.items():
            print(
                moment, name, *(f"{sparsity:g}: {statistics.mean(curve[sparsity]):.1f}" for sparsity in sorted(curve))
            )


if __name__ == "__main__":
    main()
