"""The tree of steps: equal prefixes of the cells' paths are one node, computed once.

Imports no torch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import Field, asdict, dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from bench.checkpoints import Checkpoint
from bench.grid import Request
from bench.steps import Evaluate, Path, Score, Step, Train, continued, keys, stretches, text
from pruners.base import Budget, Pruner
from tasks.base import LATER, Preset, Task

CALLS = 10
"""Calls deep that what walks a tree goes at most for each of its steps."""


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

    @cached_property
    def checkpoint(self) -> Checkpoint | None:
        """What the model's weights come from; None where they are drawn."""
        asked: Callable[[], Checkpoint | None] | None = getattr(self.task, "checkpoint", None)
        return asked() if asked is not None else None

    @property
    def model(self) -> str:
        """The model's name, of a checkpoint the one that means the same on every machine."""
        return str(self.options.get("model", "default"))

    @cached_property
    def checkpoints(self) -> dict[str, Checkpoint]:
        """All checkpoints of the task, by name of the option that names each."""
        asked: Callable[[], Mapping[str, Checkpoint]] | None = getattr(self.task, "other_checkpoints", None)
        others = dict(asked()) if asked is not None else {}
        return {"model": self.checkpoint, **others} if self.checkpoint is not None else others

    @property
    def options(self) -> dict[str, Any]:
        """The task's options as plain data, as records have them."""
        chosen = self.preset.options
        unasked = {entry.name for entry in fields(chosen) if LATER in entry.metadata and _is_default(chosen, entry)}
        told = {name: value for name, value in asdict(chosen).items() if name not in unasked}
        return {**told, **{name: checkpoint.label for name, checkpoint in self.checkpoints.items()}}


def _is_default(settings: Any, entry: Field[Any]) -> bool:
    return bool(getattr(settings, entry.name) == entry.default)


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
    def chain(self) -> tuple[Node, ...]:
        """The nodes from the root to this one."""
        nodes = [self]
        while (above := nodes[-1].parent) is not None:
            nodes.append(above)
        return tuple(reversed(nodes))

    @property
    def path(self) -> Path:
        """The steps from the root to this one."""
        return tuple(node.step for node in self.chain if node.step is not None)

    @cached_property
    def train_steps(self) -> int:
        """Training steps that this node takes from where its parent's state stands."""
        return stretches(self.path)[-1] if self.step is not None else 0

    def walk(self) -> Iterator[Node]:
        """This node and all below it, depth first."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting += reversed(node.children)

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
    request: Request | None = None
    """What it was made from, by which another process makes the same; None where of single cells."""

    @property
    def train_steps_shared(self) -> int:
        """Training steps of the whole tree: what the grid costs."""
        return sum(node.train_steps for root in self.roots for node in root.node.walk())

    @property
    def train_steps_cell_by_cell(self) -> int:
        """Training steps of a harness that runs each cell from its start."""
        return sum(sum(stretches(cell.path)) for cell in self.cells)


def of_cells(placed: Sequence[tuple[str, Cell]]) -> Plan:
    """The plan of these cells, each given with the key of its root; of equal ones the first counts."""
    cells: dict[str, Cell] = {}
    groups: dict[str, list[Cell]] = {}
    for root, cell in placed:
        if cell.key not in cells:
            cells[cell.key] = cell
            groups.setdefault(root, []).append(cell)
    # What goes down the tree calls itself at each step, some calls deep.
    longest = max((len(cell.path) for cell in cells.values()), default=0)
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 1_000 + CALLS * longest))
    roots = [Root(members[0].task, members[0].seed, tree_of(root, members)) for root, members in groups.items()]
    return Plan(tuple(cells.values()), roots)


def tree_of(root: str, cells: Sequence[Cell]) -> Node:
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
    return text(_stretch(step, 0))


def _stretch(step: Train, to: int) -> Train:
    """The same training up to ``to``, made once a step object, which all seeds of a grid share."""
    if to == step.to:
        return step
    known: dict[int, Train] = step.__dict__.setdefault("_stretches", {})
    if to not in known:
        known[to] = replace(step, to=to)
    return known[to]


def _chain(nodes: dict[str, Node], base: str, step: Train, stops: Sequence[int]) -> None:
    """Adds the nodes of one schedule up to ``step``, each going on from the one before."""
    parent = nodes[base]
    for stop in stops:
        if stop > step.to:
            break
        part = _stretch(step, stop)
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
