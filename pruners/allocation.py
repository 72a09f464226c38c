"""How the budget of weights is spread over the layers, in whole numbers: every budget is met to one weight."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from bench.masks.counts import apportion
from pruners.base import Pool

Shapes = Mapping[str, Sequence[int]]


def global_(shapes: Shapes, keep: int) -> list[Pool]:
    """One pool of all layers: one threshold decides, and layers get whatever density falls to them."""
    return [Pool(tuple(shapes), keep)]


def uniform(shapes: Shapes, keep: int) -> list[Pool]:
    """A pool a layer, all of the same density; weights left over by rounding go to the largest remainders."""
    sizes = [math.prod(shape) for shape in shapes.values()]
    return _pools(shapes, apportion(keep, sizes))


def erk(shapes: Shapes, keep: int) -> list[Pool]:
    """A pool a layer, its density proportional to (sum of its dimensions) / (product of its dimensions).

    Erdős-Rényi-Kernel, Evci et al. 2020 ("Rigging the Lottery", section 3, "Sparsity distribution"). A layer that
    would pass density 1 stays whole and the rest of the budget is shared among the others, again until none passes;
    rounding is by largest remainder.
    """
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    sums = {name: sum(shape) for name, shape in shapes.items()}
    whole: set[str] = set()
    while True:
        budget = keep - sum(sizes[name] for name in whole)
        total = sum(share for name, share in sums.items() if name not in whole)
        # A layer's part is budget * sums / total, compared without a division.
        over = {name for name in shapes if name not in whole and budget * sums[name] > sizes[name] * total}
        if not over:
            break
        whole |= over
    shared = apportion(budget, [0 if name in whole else share for name, share in sums.items()])
    return _pools(shapes, [sizes[name] if name in whole else part for name, part in zip(shapes, shared, strict=True)])


def _pools(shapes: Shapes, keeps: Sequence[int]) -> list[Pool]:
    return [Pool((name,), keep) for name, keep in zip(shapes, keeps, strict=True)]
