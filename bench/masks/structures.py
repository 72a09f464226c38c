"""What a structure may offer beyond being called: the one place that asks.

A plain function of scores and pools is a whole structure. Beyond that one may have ``sparsity`` (the only one that it
can cut to), ``check`` (whether it fits these shapes), ``among`` (to be told the units of a model), ``names`` (the
weights that it cuts, where not all) and ``slack`` (how many fewer than the budget it may keep). Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from bench.errors import UsageError
from bench.masks.counts import kept
from bench.masks.couplings import Coupling, Shapes

if TYPE_CHECKING:
    from torch import nn

    from pruners.base import Allocation, Structure
    from tasks.base import Task

T = TypeVar("T")


def check_target(name: str, structure: Structure, sparsities: Iterable[float]) -> None:
    """Raises ``UsageError`` where the structure cannot have one of ``sparsities``; 0 cuts nothing and always can be."""
    only = getattr(structure, "sparsity", None)
    if only is None:
        return
    for sparsity in sparsities:
        if sparsity and f"{sparsity:.12f}" != f"{float(only):.12f}":
            raise UsageError(
                f"--structure {name} cuts to a sparsity of exactly {float(only):.12g}, not {sparsity:g}",
                where="--grid",
                mend=f"Give --grid {float(only):.12g}.",
            )


def check_task(structure: Structure, task: Task) -> None:
    """Raises ``UsageError`` where the structure removes units and the task has none at all. Needs no model."""
    if getattr(structure, "among", None) is not None and getattr(task, "couplings", None) is None:
        raise _nothing_offered(task, structure.kind)  # type: ignore[attr-defined]


def _nothing_offered(task: Task, kind: str, instead: Sequence[str] = ()) -> UsageError:
    return UsageError(
        f"the task's model offers no {kind} that can be removed",
        where=f"{task.name}, --structure {kind}",
        mend=f"Give --structure {', '.join([*instead, 'weights'])} or N:M (2:4).",
    )


def bind(structure: Structure, task: Task, model: nn.Module, prunable: Sequence[str]) -> Structure:
    """The structure on ``model``: one that removes units is told which there are."""
    among = getattr(structure, "among", None)
    if among is None:
        return structure
    kind = structure.kind  # type: ignore[attr-defined]
    # A weight that the task offers and that was left out by hand keeps its units.
    barred = set(task.prunable(model)) - set(prunable)
    found = [
        coupling
        for coupling in couplings(task, model)
        if coupling.kind == kind
        and any(part.parameter in prunable for part in coupling.slices)
        and not any(part.parameter in barred for part in coupling.slices)
    ]
    if not found:
        others = {coupling.kind for coupling in couplings(task, model)} - {kind}
        raise _nothing_offered(task, kind, sorted(others))
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    bound: Structure = among(found, shapes, prunable)
    return bound


def couplings(task: Task, model: nn.Module) -> Sequence[Coupling]:
    """The units that the task says can be removed from its model; none where it says nothing."""
    offer = getattr(task, "couplings", None)
    return tuple(offer(model)) if offer is not None else ()


def offered(structure: Structure, weights: Mapping[str, T]) -> dict[str, T]:
    """Those of the prunable weights that the structure cuts."""
    names = getattr(structure, "names", None)
    return {name: value for name, value in weights.items() if names is None or name in names}


def slack(structure: Structure) -> int:
    """How many weights fewer than the budget the structure may keep; 0 where it meets it exactly."""
    return int(getattr(structure, "slack", 0))


def facts(structure: Structure, masks: Mapping[str, Any]) -> dict[str, Any]:
    """What a record notes of the structure beyond its name."""
    told = getattr(structure, "kept", None)
    if told is None:
        return {}
    return {
        "units": told(masks),
        "units_rule": "prunable are the weights that make or read such units; whole units go until what is kept is "
        "at most the budget; one unit of each layer stays",
    }


def check_shapes(structure: Structure, allocation: Allocation, named: str, shapes: Shapes, sparsity: float) -> None:
    """Raises ``UsageError`` where the structure does not fit a layer, or the allocation leaves it nothing."""
    keep = kept(sparsity, sum(math.prod(shape) for shape in shapes.values()))
    check = getattr(structure, "check", None)
    if check is not None:
        check(shapes, keep)
    elif _sets_layers(allocation):
        _check_emptied(allocation, named, shapes, sparsity, keep)


def _sets_layers(allocation: Allocation) -> bool:
    """Whether the allocation gives each layer a budget of its own: two layers show it."""
    return len(allocation({"one": (2, 2), "other": (2, 2)}, 4)) > 1


def _check_emptied(allocation: Allocation, named: str, shapes: Shapes, sparsity: float, keep: int) -> None:
    empty = _emptied(allocation, shapes, keep)
    if not empty:
        return
    total = sum(math.prod(shape) for shape in shapes.values())
    # Rounding by largest remainder is all but monotone: halve first, then step to where no layer is empty.
    least, most = keep, total
    while most - least > 1:
        middle = (least + most) // 2
        least, most = (middle, most) if _emptied(allocation, shapes, middle) else (least, middle)
    while most < total and _emptied(allocation, shapes, most):
        most += 1
    raise UsageError(
        f"a sparsity of {sparsity:.12g} leaves none of its {math.prod(shapes[empty[0]])} weights under {named}",
        where=f"layer {empty[0]}",
        mend=f"Give a sparsity of at most {_floor(1 - most / total)}, or --allocation global.",
    )


def _emptied(allocation: Allocation, shapes: Shapes, keep: int) -> list[str]:
    return [
        pool.names[0]
        for pool in allocation(shapes, keep)
        if not pool.keep and any(math.prod(shapes[name]) for name in pool.names)
    ]


def _floor(sparsity: float) -> str:
    """Rounded down, so that what is printed is still possible."""
    digits = 10_000 if sparsity < 0.999 else 100_000_000
    return f"{math.floor(max(0.0, sparsity) * digits) / digits:g}"
