"""Turns a request into cells: opens the data, resolves every setting, and asks each pruner for its paths.

Imports no torch: planning, and finding that all is done, take a moment.
"""

from __future__ import annotations

import difflib
import pathlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields, replace

from bench import registry
from bench.data import Memory, find, source
from bench.errors import UsageError
from bench.grid import DTYPES, Request
from bench.masks.structures import check_target, check_task
from bench.record import DENSE
from bench.settings import changed, override
from bench.sources import offers
from bench.steps import (
    Evaluate,
    Init,
    Path,
    Train,
    keys,
    root_key,
)
from bench.tree import Cell, OpenTask, Plan, of_cells
from pruners.base import Budget, Pruner
from tasks.base import Preset, Task

MOST_CELLS = 200_000
"""Of one request."""
MOST_ITERATIONS = 1_000
MISSPELT = 0.8
"""How like a model's name, by ``difflib``, another is taken for it."""


def make(request: Request) -> Plan:
    """The plan of a request. Opens the data, resolves every setting, and raises ``BenchError`` for what cannot be."""
    if request.dtype not in DTYPES:
        raise UsageError(
            "no such number type", where=f"--dtype {request.dtype}", mend=f"There is: {', '.join(DTYPES)}."
        )
    if any(not isinstance(seed, int) or seed < 0 for seed in request.seeds):
        raise UsageError(f"a seed of {min(request.seeds)}", mend="Give whole numbers, 0 or more.")
    pruners = _pruners(request)
    cells: list[tuple[str, Cell]] = []
    tasks = [open_task(name, request, model) for name in request.tasks for model in request.models or (None,)]
    _check_size(request, pruners, len(tasks))
    for structure in dict.fromkeys(pruner.structure for pruner in pruners):
        for task in tasks:
            check_task(registry.structure(structure), task.task)
    outlines = [_outlines(task, pruners, request.sparsities) for task in tasks]
    for seed in request.seeds:
        for task, drawn in zip(tasks, outlines, strict=True):
            root = root_of(task, seed, request.dtype, request.processes)
            cells += [(root, replace(cell, key=keys(root, cell.path)[-1], seed=seed)) for cell in drawn]
    return replace(of_cells(cells), request=request)


def _check_size(request: Request, pruners: Sequence[Pruner], tasks: int) -> None:
    """Raises ``UsageError`` where nobody could wait for the plan, let alone for the grid."""
    counted = [pruner.options.iterations for pruner in pruners if pruner.counts_iterations]
    if counted and max(counted) > MOST_ITERATIONS:
        raise UsageError(f"{max(counted):,} iterations: give {MOST_ITERATIONS:,} or less", where="iterations")
    targets = sum(counted) + len(request.sparsities) * (len(pruners) - len(counted))
    cells = tasks * len(request.seeds) * (1 + targets)
    if cells > MOST_CELLS:
        raise UsageError(
            f"a grid of {cells:,} cells, {MOST_CELLS:,} at most", mend="Ask for fewer targets, seeds, pruners or tasks."
        )


def open_task(name: str, request: Request, model: str | None = None) -> OpenTask:
    """Finds the task's data, opens it with the preset that fits and the request's overrides."""
    kind = registry.task(name)
    check_model(kind, model)
    presets = presets_of(kind, model)
    settings = {**request.settings, **({} if model is None else {"model": model}), **_settings_of(name, request)}
    # Which data set it is may be an option, and which preset fits depends on whether that is there.
    likely = request.preset or ("small" if "small" in presets else next(iter(presets)))
    dataset, required = source(kind, _preset(name, presets, likely, settings).options)
    files = find(dataset, required, request.data, offered=offers(kind, dataset))
    preset_name = request.preset or ("smoke" if files is None else "small")
    preset = _preset(name, presets, preset_name, settings)
    task = kind(files if files is not None else Memory(name, kind.sample()), preset.options)
    return OpenTask(task, name, preset_name, preset, _budget(preset, task.examples()), asdict(task.identity()))


def _preset(task: str, presets: Mapping[str, Preset], name: str, settings: Mapping[str, str]) -> Preset:
    """The preset of this name with the settings asked for."""
    if name not in presets:
        of = f" for --model {settings['model']}" if "model" in settings else ""
        raise UsageError(f"the task {task!r} has no preset {name!r}{of}", mend=registry.suggestion(name, list(presets)))
    try:
        return override(presets[name], settings)
    except UsageError as error:
        where = f"{task}, {error.where}" if error.where else None
        raise UsageError(error.what, where=where, mend=error.mend) from error


def check_model(kind: type[Task], model: str | None) -> None:
    """Raises ``UsageError`` for a name that is no folder and nearly one of the task's models: no hub is asked for what
    was misspelt. Others may be a hub's."""
    known: Sequence[str] = getattr(kind, "models", ())
    if model is None or model in known or "/" in model or pathlib.Path(model).exists():
        return
    if difflib.get_close_matches(model.lower(), known, n=1, cutoff=MISSPELT):
        raise UsageError(
            "no model of the task, and no such folder",
            where=f"{kind.name}, --model {model}",
            mend=registry.suggestion(model, known),
        )


def presets_of(kind: type[Task], model: str | None) -> Mapping[str, Preset]:
    """The presets of one of the task's models, where they differ from one to the other."""
    own: Callable[[str], Mapping[str, Preset]] | None = getattr(kind, "presets_of", None)
    return kind.presets if own is None or model is None else own(model)


def _settings_of(task: str, request: Request) -> dict[str, str]:
    """Settings that name the task: ``ag-news.prune_embeddings``."""
    named = request.pruner_settings.items()
    return {name.removeprefix(f"{task}."): text for name, text in named if name.startswith(f"{task}.")}


def _budget(preset: Preset, examples: int) -> Budget:
    """The preset's schedules in steps. Raises ``UsageError`` for a setting that cannot be."""
    for part in ("train", "recover"):
        problem = getattr(preset, part).problem()
        if problem:
            raise UsageError(problem, where=f"{part} schedule")
    for name in ("score_batches", "score_batch_size"):
        if getattr(preset, name) < 1:
            raise UsageError(f"{name} is {getattr(preset, name)}: give 1 or more")
    return Budget(
        preset.train.resolved(examples), preset.recover.resolved(examples), preset.score_batches,
        preset.score_batch_size,
    )  # fmt: skip


def _pruners(request: Request) -> list[Pruner]:
    """The asked pruners with the request's choices and settings; the dense reference is there unasked."""
    chosen = {name: _resolved(registry.pruner(name), request) for name in request.pruners if name != DENSE}
    for setting, text in request.pruner_settings.items():
        if setting.startswith(tuple(f"{task}." for task in request.tasks)):
            continue
        owner, _, field_name = setting.rpartition(".")
        if owner and owner not in chosen:
            raise UsageError(
                f"{owner!r} is none of the asked pruners or tasks", where=f"--set {setting}={text}",
                mend=registry.suggestion(owner, [*chosen, *request.tasks]),
            )  # fmt: skip
        takers = [name for name in ([owner] if owner else chosen) if hasattr(chosen[name].options, field_name)]
        if not takers:
            raise UsageError(
                f"no setting {field_name!r}",
                where=f"pruner {owner or ', '.join(chosen)}",
                mend="'bench show PRUNER' lists what can be set.",
            )
        for name in takers:
            options = changed(chosen[name].options, field_name, text, setting)
            chosen[name] = replace(chosen[name], options=options)
    return list(chosen.values())


def _resolved(pruner: Pruner, request: Request) -> Pruner:
    if request.when not in (None, "init", "trained"):
        raise UsageError("no such moment", where=f"--when {request.when}", mend="Give init or trained.")
    chosen = replace(
        pruner,
        when=request.when or pruner.when,
        allocation=request.allocation or pruner.allocation,
        structure=request.structure or pruner.structure,
        exclude=request.exclude or pruner.exclude,
    )
    registry.known("allocations", chosen.allocation)
    check_target(chosen.structure, registry.structure(chosen.structure), request.sparsities)
    return chosen


def root_of(task: OpenTask, seed: int, dtype: str, processes: int = 1) -> str:
    """Key of the root of all paths of a task at a seed. Several processes draw and round in ways of their own, so how
    many they are is part of it."""
    several = {"processes": processes} if processes > 1 else {}
    return root_key({**_identity(task, seed, dtype), **several})


def _identity(task: OpenTask, seed: int, dtype: str) -> dict[str, object]:
    apart = task.task.evaluation_options()
    options = {name: value for name, value in task.options.items() if name not in apart}
    # Checkpoints are known by their content, wherever they lie and whatever they are called.
    contents = {name: checkpoint.digest for name, checkpoint in task.checkpoints.items()}
    return {
        "task": task.name,
        "version": registry.edition("tasks", task.name, type(task.task), task.task.version),
        "options": {**options, **contents},
        "data": task.data["digest"],
        "model": contents.get("model", task.model),
        "seed": seed,
        "dtype": dtype,
    }


def _dense(pruner: Pruner, target: float, budget: Budget) -> Path:
    """The unpruned model's path."""
    return (Train(budget.train, budget.train.length),) if budget.train.length else ()


REFERENCE = Pruner(DENSE, criterion="", recipe=_dense, allocation="", structure="", when="")
"""What every task's table starts with."""


def _outlines(task: OpenTask, pruners: Sequence[Pruner], sparsities: Sequence[float]) -> list[Cell]:
    """The cells of any seed, without key and seed: the dense one, then each pruner at each of its targets."""
    evaluate = Evaluate(options=tuple(sorted(task.task.evaluation_options().items())))
    drawn = []
    for pruner in (REFERENCE, *pruners):
        targets: Sequence[float] = (0.0,) if pruner is REFERENCE else sparsities
        if pruner.counts_iterations:
            targets = range(1, pruner.options.iterations + 1)
        variant = "" if pruner is REFERENCE else _variant(pruner)
        for target in targets:
            path = (Init(), *pruner.recipe(pruner, target, task.budget), evaluate)
            asked, iteration = (None, int(target)) if pruner.counts_iterations else (target, None)
            drawn.append(Cell("", task, pruner, variant, asked, iteration, 0, path))
    return drawn


def _variant(pruner: Pruner) -> str:
    """Where the pruner's choices differ from the registered ones."""
    usual = registry.pruner(pruner.name)
    named = [getattr(pruner, name) for name in ("when", "allocation", "structure")
             if getattr(pruner, name) != getattr(usual, name)]  # fmt: skip
    if pruner.exclude != usual.exclude:
        named.append(f"without {', '.join(pruner.exclude)}")
    if pruner.options is not None:
        named += [
            f"{entry.name}={getattr(pruner.options, entry.name)}"
            for entry in fields(pruner.options)
            if getattr(pruner.options, entry.name) != getattr(usual.options, entry.name)
        ]
    return ", ".join(named)
