"""Steps in a row as one readable line: what repeats is written once, with how often and over which sparsities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from bench.steps import AdaptiveCut, Cut, Evaluate, Rewind, Score, Train

if TYPE_CHECKING:
    from bench.store import Store
    from bench.tree import Node

LONGEST_BLOCK = 6
"""Steps of a repeated block at most: a level of iterative pruning with its evaluation has five."""


def chain_from(node: Node) -> tuple[list[Node], list[Node]]:
    """The nodes in a row from ``node``, and the children that the last of them branches into.

    An ``Evaluate`` leaves the state as it was, so one beside a single other child stands in the row.
    """
    row = [node]
    last = node
    while last.children:
        leaves = [child for child in last.children if isinstance(child.step, Evaluate)]
        others = [child for child in last.children if not isinstance(child.step, Evaluate)]
        if len(others) > 1 or len(leaves) > 1:
            return row, last.children
        row += [*leaves, *others]
        if not others:
            break
        last = others[0]
    return row, []


def line(nodes: Sequence[Node], store: Store | None) -> str:
    """``Score(magnitude) > Cut(0.9) > Train(40 steps) > Evaluate [done]``; repeats as ``3 x [...], 0.2 to 0.5``."""
    return " > ".join(_parts(nodes, store))


def _parts(nodes: Sequence[Node], store: Store | None) -> Iterator[str]:
    shapes = [_shape(node) for node in nodes]
    start = 0
    while start < len(nodes):
        length, times = _repeat(shapes, start)
        if times > 1:
            yield _block([nodes[start + i : start + i + length] for i in range(0, length * times, length)], store)
        else:
            status = _status(nodes[start], store)
            yield _named([nodes[start]]) + (f" [{status}]" if status else "")
        start += length * times


def _repeat(shapes: Sequence[str], start: int) -> tuple[int, int]:
    """Length and number of the equal blocks at ``start`` that cover most, the shortest of such; (1, 1) where nothing
    repeats. Blocks without a cut are not worth it: two stretches of a training say more."""
    best = (1, 1)
    for length in range(2, LONGEST_BLOCK + 1):
        block = shapes[start : start + length]
        times = 1
        while shapes[start + times * length : start + (times + 1) * length] == block:
            times += 1
        if times > 1 and any("Cut" in shape for shape in block) and length * times > best[0] * best[1]:
            best = (length, times)
    return best


def _shape(node: Node) -> str:
    """What two steps of a block share: all that is printed but a cut's sparsity and a training's length."""
    step = node.step
    if isinstance(step, Train):
        return f"Train({step.learner.name if step.learner else ''})"
    return _cut(step, "") if isinstance(step, Cut) else _named([node])


def _block(blocks: Sequence[Sequence[Node]], store: Store | None) -> str:
    """Equal blocks, written once."""
    inner = " > ".join(_named([*alike]) for alike in zip(*blocks, strict=True))
    cuts = [node.step.sparsity for block in blocks for node in block if isinstance(node.step, Cut)]
    over = f", {cuts[0]:g} to {cuts[-1]:g}" if len(set(cuts)) > 1 else ""
    statuses = [status for block in blocks for node in block if (status := _status(node, store))]
    counts = "".join(f", {statuses.count(status)} {status}" for status in sorted(set(statuses)))
    return f"{len(blocks)} x [{inner}]{over}{counts}"


def _named(nodes: Sequence[Node]) -> str:
    """The step that all ``nodes`` have but for sparsity and length."""
    step = nodes[0].step
    if isinstance(step, Train):
        fewest, most = min(node.train_steps for node in nodes), max(node.train_steps for node in nodes)
        steps = f"{fewest:,}" if fewest == most else f"{fewest:,} to {most:,}"
        return f"Train({steps} steps{', ' + step.learner.name if step.learner else ''})"
    if isinstance(step, Rewind):
        return f"Rewind({step.to:,})"
    if isinstance(step, AdaptiveCut):
        return f"AdaptiveCut({step.rule})"
    if isinstance(step, Score):
        return f"Score({step.criterion}{f', {step.iterations} iterations' if step.iterations > 1 else ''})"
    if isinstance(step, Cut):
        sparsities = {node.step.sparsity for node in nodes if isinstance(node.step, Cut)}
        return _cut(step, f"{step.sparsity:g}" if len(sparsities) == 1 else "")
    return type(step).__name__


def _cut(step: Cut, sparsity: str) -> str:
    unusual = [step.allocation] * (step.allocation != "global") + [step.structure] * (step.structure != "weights")
    said = ", ".join([*([sparsity] if sparsity else []), *unusual])
    return f"Cut({said})" if said else "Cut"


def _status(node: Node, store: Store | None) -> str:
    """``done`` or ``failed`` of a cell that has its record."""
    if node.cell is None or store is None:
        return ""
    record = store.record(node.cell.key)
    return record.status if record is not None else ""
