"""Exact masks: how many weights stay, which, and proof that the rest are zero.

The harness, not the pruner, decides here. A mask is a boolean tensor of its weight's shape, True = kept.
What is fixed: a cut keeps exactly ``kept(sparsity, n)`` weights; equal scores are told apart by position (the earlier
layer, then the smaller flat index, stays); -0.0 equals 0.0; a score that is NaN or infinite is an error; a weight that
was cut before stays cut.

The search for a threshold is ``bench.masks.selection``'s.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from bench.errors import CellError
from bench.masks.counts import apportion, kept
from bench.masks.selection import count, flat, select, thresholds
from bench.masks.structures import offered

if TYPE_CHECKING:
    from pruners.base import Allocation, Pool, Structure

__all__ = [
    "apply_",
    "best",
    "collapsed",
    "count",
    "cut",
    "densities",
    "digest",
    "kept",
    "select",
    "thresholds",
    "verify",
]

_INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""By bytes an element: the integers whose bits a weight's are read as."""


def cut(
    scores: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    sparsity: float,
    allocation: Allocation,
    structure: Structure,
) -> dict[str, Tensor]:
    """New masks by name, with ``kept(sparsity, n)`` True of the n scores, or as many as ``masks`` has left alive.

    A layer without an entry in ``masks`` is alive as a whole. New masks have their scores' memory layout. Where an
    allocation asks more of a pool than is alive in it, the other pools keep the difference, in proportion to what they
    have to spare. n counts the weights that the structure cuts; one that removes units may keep somewhat fewer
    (``bench.masks.units``) and masks biases as well. Masks of what it doesn't cut stay as they are.
    Raises ``CellError`` for a score that is NaN or infinite.
    """
    scores = offered(structure, scores)
    others = {name: mask for name, mask in masks.items() if name not in scores}
    for name, values in scores.items():
        _require_finite(name, values)
    shapes = {name: tuple(values.shape) for name, values in scores.items()}
    pools = allocation(shapes, kept(sparsity, sum(values.numel() for values in scores.values())))
    before = {name: mask for name, mask in masks.items() if name in scores}
    if not before:
        return {**others, **structure(scores, pools)}
    alive = {name: count(before[name]) if name in before else values.numel() for name, values in scores.items()}
    pools = _within(pools, alive)
    chosen = structure(scores, pools)
    joint = _joint(chosen, before)
    # Hiding the dead weights costs a pass over memory, and in most cuts none of them is among the best anyway.
    if sum(map(count, joint.values())) < sum(map(count, chosen.values())):
        hidden = {
            name: values.masked_fill(~before[name], -torch.inf) if name in before else values
            for name, values in scores.items()
        }
        joint = _joint(structure(hidden, pools), before)
    return {**others, **joint}


def apply_(weights: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> None:
    """Set the masked weights to +0.0, in place. A weight without a mask is left whole."""
    with torch.no_grad():
        for name, mask in masks.items():
            weight = weights[name].detach()
            if weight.device.type != "cpu":
                weight.masked_fill_(~mask, 0)
                continue
            # An AND with all ones or none is vectorised where a masked fill branches, and makes +0.0 of any value.
            bits = weight.view(_INTEGERS[weight.element_size()]).numpy()
            np.bitwise_and(bits, np.negative(mask.numpy().view(np.int8)), out=bits)


def verify(
    weights: Mapping[str, Tensor],
    masks: Mapping[str, Tensor],
    expected_kept: int,
    *,
    slack: int = 0,
    coupled: Mapping[str, Tensor] | None = None,
) -> None:
    """Raise ``CellError`` unless every masked weight is exactly zero and ``expected_kept`` weights have a True mask, or
    up to ``slack`` fewer.

    A weight without a mask counts as kept whole. ``coupled`` are parameters that may be masked along with the weights
    and don't count: biases of units that are gone.
    """
    for name, mask in masks.items():
        weight = weights[name] if name in weights else (coupled or {}).get(name)
        if weight is None or weight.shape != mask.shape:
            raise CellError("a mask fits no weight", where=name, mend="The saved state is another model's.")
        alive = int(torch.count_nonzero((weight.detach() != 0) & ~mask))
        if alive:
            raise CellError(
                f"{alive} masked weights are not zero",
                where=name,
                mend="Whatever changed them must leave masked weights alone.",
            )
    found = sum(count(masks[name]) if name in masks else weight.numel() for name, weight in weights.items())
    least = f"{expected_kept - slack} to " if slack else ""
    if not expected_kept - slack <= found <= expected_kept:
        raise CellError(
            f"the masks keep {found} weights where {least}{expected_kept} belong",
            where="masks",
            mend="The structure or allocation in use does not keep what it was asked to.",
        )


def densities(masks: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, float]:
    """Kept fraction of each weight, by name, in the order of ``weights``; 1.0 where there is no mask."""
    return {
        name: count(masks[name]) / weight.numel() if name in masks and weight.numel() else 1.0
        for name, weight in weights.items()
    }


def collapsed(masks: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> list[str]:
    """Names of the layers of which nothing is left."""
    return [name for name, density in densities(masks, weights).items() if density == 0]


def digest(masks: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names, shapes and bits of the masks, 64 hexadecimal digits; their order does not matter."""
    found = hashlib.sha256()
    for name in sorted(masks):
        mask = masks[name]
        found.update(f"{name}\0{tuple(mask.shape)}\0".encode())
        found.update(np.packbits(mask.cpu().contiguous().numpy().reshape(-1)).tobytes())
    return found.hexdigest()


def best(scores: Mapping[str, Tensor], pools: Sequence[Pool]) -> dict[str, Tensor]:
    """Masks that keep the ``keep`` largest single scores of each pool, in the order of ``scores``."""
    chosen: dict[str, Tensor] = {}
    for pool in pools:
        chosen.update(zip(pool.names, select([scores[name] for name in pool.names], pool.keep), strict=True))
    return {name: chosen[name] for name in scores}


def _joint(chosen: Mapping[str, Tensor], before: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: mask & before[name] if name in before else mask for name, mask in chosen.items()}


def _require_finite(name: str, values: Tensor) -> None:
    # Minimum and maximum carry a NaN along, and take one pass that allocates nothing.
    if values.numel() == 0 or bool(torch.isfinite(torch.stack(torch.aminmax(flat(values)))).all()):
        return
    bad = int(values.numel() - torch.count_nonzero(torch.isfinite(values)))
    raise CellError(
        f"{bad} of {values.numel()} scores are NaN or infinite",
        where=name,
        mend="Score in float64, or with a smaller learning rate before it.",
    )


def _within(pools: Sequence[Pool], alive: Mapping[str, int]) -> list[Pool]:
    """The pools, none asked for more than is alive in it; what one lacks the others keep."""
    limits = [sum(alive[name] for name in pool.names) for pool in pools]
    keeps = [min(pool.keep, limit) for pool, limit in zip(pools, limits, strict=True)]
    spare = [limit - keep for limit, keep in zip(limits, keeps, strict=True)]
    lacking = min(sum(pool.keep for pool in pools) - sum(keeps), sum(spare))
    extra = apportion(lacking, spare)
    return [replace(pool, keep=keep + more) for pool, keep, more in zip(pools, keeps, extra, strict=True)]
