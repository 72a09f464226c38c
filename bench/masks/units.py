"""Which units of a model go, and the masks that say so.

The rule, one for all allocations:

- A unit's score is the mean score of those of its prunable weights that are still there, in every slice of it.
- A pool of the allocation ranks its own units, best first, ties by position (the earlier coupling, then the smaller
  unit); a coupling belongs to the pool of its first producer. With one pool that ranking decides. Between pools units
  stand in order of rank / (units of the pool * density of the pool), so that each keeps the share of units that its
  density asks for.
- Units leave from the end of that order until the kept prunable weights are at most the budget: fewer than the largest
  unit has are missing. Exact numbers of weights are impossible, as whole units go.
- The best unit of each coupling stays whatever its score: no layer is emptied.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from bench.masks.couplings import Coupling, Shapes, remaining

if TYPE_CHECKING:
    from pruners.base import Pool

Kept = Mapping[str, Tensor]
"""Boolean, True = kept, of shape (units,), by name of the coupling; on the CPU."""


def choose(scores: Mapping[str, Tensor], pools: Sequence[Pool], couplings: Sequence[Coupling]) -> dict[str, Tensor]:
    """The units that stay, by coupling. A score of -inf marks a weight that is gone already."""
    values = {coupling.name: unit_scores(scores, coupling) for coupling in couplings}
    order = _order(values, scores, pools, couplings)
    shapes = {name: tuple(tensor.shape) for name, tensor in scores.items()}
    budget = sum(pool.keep for pool in pools)
    # The order begins with the best unit of each coupling; fewer than those never stay.
    least, most = len(couplings), len(order)
    while least < most:
        middle = (least + most + 1) // 2
        if remaining(shapes, couplings, _counts(order[:middle], couplings)) <= budget:
            least = middle
        else:
            most = middle - 1
    kept = {coupling.name: torch.zeros(coupling.units, dtype=torch.bool) for coupling in couplings}
    for place, unit in order[:least]:
        kept[couplings[place].name][unit] = True
    return kept


def unit_scores(scores: Mapping[str, Tensor], coupling: Coupling) -> Tensor:
    """Mean score of each unit's weights that are still there, float64 of shape (units,); -inf where none is."""
    total = torch.zeros(coupling.units, dtype=torch.float64)
    alive = torch.zeros(coupling.units, dtype=torch.float64)
    for part in coupling.slices:
        if part.parameter not in scores:
            continue
        entries = scores[part.parameter].detach().movedim(part.axis, 0)
        entries = entries[part.start : part.start + coupling.units * part.width].reshape(coupling.units, -1)
        there = ~torch.isneginf(entries)
        total += torch.where(there, entries.double(), 0).sum(1).cpu()
        alive += there.sum(1).cpu()
    return torch.where(alive > 0, total / alive.clamp(min=1), -torch.inf)


def _order(
    values: Mapping[str, Tensor],
    scores: Mapping[str, Tensor],
    pools: Sequence[Pool],
    couplings: Sequence[Coupling],
) -> list[tuple[int, int]]:
    """All units as (place of the coupling, unit), those that stay longest first."""
    keyed: list[tuple[float, int, int, int]] = []
    for pool in pools:
        members = [place for place, coupling in enumerate(couplings) if _owner(coupling, scores) in pool.names]
        ranked = sorted(
            ((place, unit) for place in members for unit in range(couplings[place].units)),
            key=lambda one: (-float(values[couplings[one[0]].name][one[1]]), one),
        )
        asked = len(ranked) * pool.keep / max(1, sum(scores[name].numel() for name in pool.names))
        first = set[int]()
        for rank, (place, unit) in enumerate(ranked, start=1):
            gone = bool(torch.isneginf(values[couplings[place].name][unit]))
            key = float("inf") if gone or not asked else rank / asked
            keyed.append((key if place in first else -1.0, rank, place, unit))
            first.add(place)
    return [(place, unit) for _, _, place, unit in sorted(keyed)]


def _owner(coupling: Coupling, scores: Mapping[str, Tensor]) -> str:
    return next(part.parameter for part in coupling.slices if part.parameter in scores)


def _counts(units: Sequence[tuple[int, int]], couplings: Sequence[Coupling]) -> dict[str, int]:
    counts = {coupling.name: 0 for coupling in couplings}
    for place, _ in units:
        counts[couplings[place].name] += 1
    return counts


def indices(kept: Tensor, part_start: int, width: int, length: int) -> Tensor:
    """Boolean of shape (length,): which indices of an axis stay, for units ``kept`` of this width from ``part_start``.
    What lies outside the units stays."""
    along = torch.ones(length, dtype=torch.bool)
    along[part_start : part_start + len(kept) * width] = kept.repeat_interleave(width)
    return along


def masks(
    kept: Kept, couplings: Sequence[Coupling], shapes: Shapes, device: torch.device | str = "cpu"
) -> dict[str, Tensor]:
    """Masks of every parameter that has a part in a unit: weights, and the biases and norms that go with them."""
    found: dict[str, Tensor] = {}
    for coupling in couplings:
        for part in coupling.slices:
            shape = tuple(shapes[part.parameter])
            along = indices(kept[coupling.name], part.start, part.width, shape[part.axis])
            view = [1] * len(shape)
            view[part.axis] = shape[part.axis]
            before = found.get(part.parameter, torch.ones(shape, dtype=torch.bool))
            found[part.parameter] = before & along.view(view)
    return {name: mask.to(device) for name, mask in found.items()}


def kept_units(masks: Mapping[str, Tensor], couplings: Sequence[Coupling]) -> dict[str, Tensor]:
    """The units that ``masks`` leave: one is gone when no entry of its slices is kept."""
    kept: dict[str, Tensor] = {}
    for coupling in couplings:
        there = torch.zeros(coupling.units, dtype=torch.bool)
        for part in coupling.slices:
            if part.parameter not in masks:
                there |= True
                continue
            entries = masks[part.parameter].movedim(part.axis, 0)
            entries = entries[part.start : part.start + coupling.units * part.width].reshape(coupling.units, -1)
            there |= entries.any(1).cpu()
        kept[coupling.name] = there
    return kept
