"""Turns a grid into a tree of steps: equal prefixes are one node, computed once.

Imports no torch: planning, and finding that all is done, take a moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from bench import registry
from bench.data import Memory, find
from bench.errors import UsageError
from bench.grid import DTYPES, Request
from bench.record import DENSE
from bench.settings import changed, override
from bench.steps import (
    Evaluate,
    Init,
    Path,
    Schedule,
    Score,
    Step,
    Train,
    canonical,
    continued,
    describe,
    keys,
    root_key,
    stretches,
)
from bench.structures import check_target, check_task
from pruners.base import Budget, Pruner
from tasks.base import Preset, Task


@dataclass(frozen=True)
class OpenTask:
    """A task opened on its data with its settings."""

    task: Task
    name: str
    preset_name: str
    preset: Preset
    budget: Budget
    data: dict[str, Any]
    """The data's identity, as plain data."""

    @property
    def model(self) -> str:
        return str(getattr(self.preset.options, "model", "default"))


@dataclass(frozen=True)
class Cell:
    """One (task, model, pruner, sparsity, seed), and its path."""

    key: str
    task: OpenTask
    pruner: Pruner
    variant: str
    """Choices that are not the pruner's own defaults, as a label says them; empty where all are."""
    target: float | None
    """Sparsity asked for; None where the recipe counts iterations and finds its own."""
    iteration: int | None
    seed: int
    path: Path


@dataclass(eq=False)
class Node:
    """A step of the tree, with what hangs below it."""

    key: str
    step: Step | None
    """None at a root."""
    parent: Node | None
    children: list[Node] = field(default_factory=list)
    cell: Cell | None = None
    """Set at an ``Evaluate``: the cell that it finishes."""

    @property
    def path(self) -> Path:
        """The steps from the root to this one."""
        above = self.parent.path if self.parent is not None else ()
        return above if self.step is None else (*above, self.step)

    @cached_property
    def train_steps(self) -> int:
        """Training steps that this node takes from where its parent's state stands."""
        return stretches(self.path)[-1] if self.step is not None else 0

    def walk(self) -> Iterator[Node]:
        """This node and all below it, depth first."""
        yield self
        for child in self.children:
            yield from child.walk()

    def cells(self) -> Iterator[Cell]:
        """The cells that end below this node."""
        return (node.cell for node in self.walk() if node.cell is not None)


@dataclass(frozen=True)
class Root:
    """All paths of one task at one seed."""

    task: OpenTask
    seed: int
    node: Node


@dataclass(frozen=True)
class Plan:
    """The tree of a whole grid."""

    cells: Sequence[Cell]
    roots: Sequence[Root]

    @property
    def train_steps_shared(self) -> int:
        """Training steps of the whole tree: what the grid costs."""
        return sum(node.train_steps for root in self.roots for node in root.node.walk())

    @property
    def train_steps_cell_by_cell(self) -> int:
        """Training steps of a harness that runs each cell from its start."""
        return sum(sum(stretches(cell.path)) for cell in self.cells)

    def train_steps_left(self, done: Callable[[str], bool], stored: Callable[[str], bool]) -> int:
        """Training steps that remain, given whether a cell has its record (``done(key)``) and whether a node's state is
        kept (``stored(key)``)."""

        def left(node: Node) -> tuple[int, bool]:
            """Steps at and below the node, and whether the node's own state is needed."""
            if node.cell is not None:
                return 0, not done(node.key)
            below = [left(child) for child in node.children]
            steps = sum(part for part, _ in below)
            needed = any(need for _, need in below) and not stored(node.key)
            return steps + (node.train_steps if needed else 0), needed

        return sum(left(root.node)[0] for root in self.roots)


def make(request: Request) -> Plan:
    """The plan of a request. Opens the data, resolves every setting, and raises ``BenchError`` for what cannot be."""
    if request.dtype not in DTYPES:
        raise UsageError(
            "no such number type", where=f"--dtype {request.dtype}", mend=f"There is: {', '.join(DTYPES)}."
        )
    pruners = _pruners(request)
    cells: list[tuple[str, Cell]] = []
    tasks = [open_task(name, request) for name in request.tasks]
    for structure in dict.fromkeys(pruner.structure for pruner in pruners):
        for task in tasks:
            check_task(registry.structure(structure), task.task)
    for seed in request.seeds:
        for task in tasks:
            root = root_of(task, seed, request.dtype)
            cells += [(root, cell) for cell in _cells(task, seed, root, pruners, request.sparsities)]
    return of_cells(cells)


def of_cells(placed: Sequence[tuple[str, Cell]]) -> Plan:
    """The plan of these cells, each given with the key of its root; of equal ones the first counts."""
    cells: dict[str, Cell] = {}
    groups: dict[str, list[Cell]] = {}
    for root, cell in placed:
        if cell.key not in cells:
            cells[cell.key] = cell
            groups.setdefault(root, []).append(cell)
    roots = [Root(members[0].task, members[0].seed, _tree(root, members)) for root, members in groups.items()]
    return Plan(tuple(cells.values()), roots)


def open_task(name: str, request: Request) -> OpenTask:
    """Finds the task's data, opens it with the preset that fits and the request's overrides."""
    kind = registry.task(name)
    files = find(kind.dataset, kind.required, request.data)
    preset_name = request.preset or ("smoke" if files is None else "small")
    if preset_name not in kind.presets:
        raise UsageError(
            f"the task {name!r} has no preset {preset_name!r}",
            mend=registry.suggestion(preset_name, list(kind.presets)),
        )
    preset = override(kind.presets[preset_name], request.settings)
    task = kind(files if files is not None else Memory(name, kind.sample()), preset.options)
    examples = task.examples()
    train, recover = _resolved_schedule(preset.train, examples), _resolved_schedule(preset.recover, examples)
    budget = Budget(train, recover, preset.score_batches, preset.score_batch_size)
    return OpenTask(task, name, preset_name, preset, budget, asdict(task.identity()))


def _resolved_schedule(schedule: Schedule, examples: int) -> Schedule:
    resolved = schedule.resolved(examples)
    if resolved.length < 0 or resolved.batch_size < 1 or not resolved.lr >= 0:
        raise UsageError(
            f"a schedule of {resolved.length} steps of {resolved.batch_size} examples at learning rate {resolved.lr}",
            mend="Give steps >= 0, a batch size >= 1 and a learning rate >= 0.",
        )
    return resolved


def _pruners(request: Request) -> list[Pruner]:
    """The asked pruners with the request's choices and settings."""
    chosen = {name: _resolved(registry.pruner(name), request) for name in request.pruners}
    for setting, text in request.pruner_settings.items():
        owner, _, field_name = setting.rpartition(".")
        if owner and owner not in chosen:
            raise UsageError(
                f"{owner!r} is none of the asked pruners", where=f"--set {setting}={text}",
                mend=registry.suggestion(owner, list(chosen)),
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


def root_of(task: OpenTask, seed: int, dtype: str) -> str:
    """Key of the root of all paths of a task at a seed."""
    return root_key(_identity(task, seed, dtype))


def _identity(task: OpenTask, seed: int, dtype: str) -> dict[str, object]:
    apart = task.task.evaluation_options()
    options = {name: value for name, value in asdict(task.preset.options).items() if name not in apart}
    return {
        "task": task.name,
        "version": task.task.version,
        "options": options,
        "data": task.data["digest"],
        "model": task.model,
        "seed": seed,
        "dtype": dtype,
    }


def _dense(pruner: Pruner, target: float, budget: Budget) -> Path:
    """The unpruned model's path."""
    return (Train(budget.train, budget.train.length),) if budget.train.length else ()


REFERENCE = Pruner(DENSE, criterion="", recipe=_dense, allocation="", structure="", when="")
"""What every task's table starts with."""


def _cells(
    task: OpenTask, seed: int, root: str, pruners: Sequence[Pruner], sparsities: Sequence[float]
) -> Iterator[Cell]:
    """The dense cell, then each pruner at each of its targets."""
    evaluate = Evaluate(options=tuple(sorted(task.task.evaluation_options().items())))
    for pruner in (REFERENCE, *pruners):
        targets: Sequence[float] = (0.0,) if pruner is REFERENCE else sparsities
        if pruner.counts_iterations:
            targets = range(1, pruner.options.iterations + 1)
        variant = "" if pruner is REFERENCE else _variant(pruner)
        for target in targets:
            path = (Init(), *pruner.recipe(pruner, target, task.budget), evaluate)
            asked, iteration = (None, int(target)) if pruner.counts_iterations else (target, None)
            yield Cell(keys(root, path)[-1], task, pruner, variant, asked, iteration, seed, path)


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


def _tree(root: str, cells: Sequence[Cell]) -> Node:
    """Merges the paths of ``cells``. Training to 100 and to 500 under one schedule from one node becomes a chain."""
    stops: dict[tuple[str, str], set[int]] = {}
    placed = [list(_places(root, cell)) for cell in cells]
    for places in placed:
        for base, _, step in places:
            if isinstance(step, Train):
                stops.setdefault((base, _training(step)), set()).add(step.to)
    nodes = {root: Node(root, None, None)}
    for cell, places in zip(cells, placed, strict=True):
        for base, key, step in places:
            if isinstance(step, Train):
                _chain(nodes, base, step, sorted(stops[base, _training(step)]))
            elif key not in nodes:
                _add(nodes, Node(key, step, nodes[base], cell=cell if isinstance(step, Evaluate) else None))
    return nodes[root]


def _places(root: str, cell: Cell) -> Iterator[tuple[str, str, Step]]:
    """Base key, own key and step of each step of the path; the base of a ``Train`` lies before its whole schedule."""
    found = keys(root, cell.path)
    base = root
    for index, step in enumerate(cell.path):
        before = cell.path[index - 1] if index else None
        if not (isinstance(step, Train) and isinstance(before, Train) and continued(before, step)):
            base = found[index - 1] if index else root
        yield base, found[index], step


def _training(step: Train) -> str:
    """What two stretches of one training share."""
    return canonical(describe(replace(step, to=0)))


def _chain(nodes: dict[str, Node], base: str, step: Train, stops: Sequence[int]) -> None:
    """Adds the nodes of one schedule up to ``step``, each going on from the one before."""
    parent = nodes[base]
    for stop in stops:
        if stop > step.to:
            break
        part = replace(step, to=stop)
        key = keys(base, [part])[0]
        if key not in nodes:
            _add(nodes, Node(key, part, parent))
        parent = nodes[key]


def _add(nodes: dict[str, Node], node: Node) -> None:
    nodes[node.key] = node
    if node.parent is not None:
        node.parent.children.append(node)


def score_passes(plan: Plan) -> int:
    """Scoring passes of the whole tree, iterations counted."""
    return sum(node.step.iterations for root in plan.roots for node in root.node.walk() if isinstance(node.step, Score))
