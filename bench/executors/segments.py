"""The tree cut where it branches: what one worker carries out at a stretch.

A segment is a row of steps without a branch, each with the evaluations that hang from it; states are handed on in
memory. Where the tree branches, the state is stored and each branch is a segment of its own. From ``Init`` alone, which
is drawn anew from the seed faster than it is read, nothing is stored. Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from bench.steps import AdaptiveCut, Cut, Evaluate, Init, Train, first_schedule
from bench.tree import Node, Plan, Root


@dataclass(eq=False)
class Segment:
    """A row of steps with their evaluations, in the order in which they are carried out."""

    root: Root
    nodes: tuple[Node, ...]
    parent: Segment | None
    """The segment whose last state this one starts from; None where it starts from ``Init`` or from nothing."""
    number: int
    """Its place in the tree, depth first."""
    children: list[Segment] = field(default_factory=list)
    work: int = 0
    """Training steps of this segment and of the longest row of segments below it."""

    @property
    def key(self) -> str:
        """The key of its first node, by which any process that plans the same tree finds it."""
        return self.nodes[0].key

    @property
    def start(self) -> Node | None:
        """The node whose state it starts from."""
        return self.nodes[0].parent

    @property
    def steps(self) -> tuple[Node, ...]:
        """The nodes that leave a state."""
        return tuple(node for node in self.nodes if node.cell is None)

    @property
    def end(self) -> Node | None:
        """The node whose state is stored because other segments start from it."""
        return self.steps[-1] if self.children else None

    @property
    def cells(self) -> tuple[str, ...]:
        """Keys of its cells."""
        return tuple(node.cell.key for node in self.nodes if node.cell is not None)

    @property
    def trunk(self) -> bool:
        """Whether it trains the dense model."""
        return any(trunk(node) for node in self.nodes)

    def walk(self) -> Iterator[Segment]:
        """This segment and all below it, depth first."""
        waiting = [self]
        while waiting:
            segment = waiting.pop()
            yield segment
            waiting += reversed(segment.children)


def divide(plan: Plan, wanted: Callable[[str], bool]) -> list[Segment]:
    """The segments of what leads to the wanted cells, depth first: parents stand before their children."""
    found: list[Segment] = []
    for root in plan.roots:
        needed = above(root, wanted)
        waiting: list[tuple[Node, Segment | None]] = [(child, None) for child in _in(needed, root.node.children)]
        while waiting:
            first, parent = waiting.pop()
            nodes, branches = _row(first, needed)
            if branches and isinstance(nodes[-1].step, Init):  # nothing but what each branch does by itself
                waiting += [(branch, None) for branch in reversed(branches)]
                continue
            segment = Segment(root, nodes, parent, len(found))
            found.append(segment)
            if parent is not None:
                parent.children.append(segment)
            waiting += [(branch, None if _draws(segment) else segment) for branch in reversed(branches)]
    for segment in reversed(found):
        longest = max((child.work for child in segment.children), default=0)
        segment.work = longest + sum(node.train_steps for node in segment.nodes)
    return found


def trunk(node: Node) -> bool:
    """Whether the node is a stretch of the dense model's own training, kept for later grids."""
    if not isinstance(node.step, Train) or node.step.learner is not None:
        return False
    above = node.path
    return node.step.schedule == first_schedule(above) and not any(isinstance(s, Cut | AdaptiveCut) for s in above)


def _draws(segment: Segment) -> bool:
    """Whether all that leaves a state in it is ``Init``."""
    return all(isinstance(node.step, Init) for node in segment.steps)


def above(root: Root, wanted: Callable[[str], bool]) -> set[Node]:
    """The nodes at and above the wanted cells."""
    needed: set[Node] = set()
    for node in root.node.walk():
        if node.cell is not None and wanted(node.cell.key):
            place: Node | None = node
            while place is not None and place not in needed:
                needed.add(place)
                place = place.parent
    return needed


def _in(needed: set[Node], nodes: Sequence[Node]) -> list[Node]:
    return [node for node in nodes if node in needed]


def _row(first: Node, needed: set[Node]) -> tuple[tuple[Node, ...], list[Node]]:
    """The nodes in a row from ``first``, and what the last of them branches into."""
    row = [first]
    place = first
    while True:
        children = _in(needed, place.children)
        row += [child for child in children if isinstance(child.step, Evaluate)]
        others = [child for child in children if not isinstance(child.step, Evaluate)]
        if len(others) != 1:
            return tuple(row), others
        (place,) = others
        row.append(place)
