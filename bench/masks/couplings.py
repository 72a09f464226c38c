"""Which parts of a model make and read one unit (a neuron, a filter, an attention head), so that it can be removed.

Imports nothing of ours and nothing heavy: tasks say what their models' units are, structures choose among them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Shapes = Mapping[str, Sequence[int]]


@dataclass(frozen=True)
class Slice:
    """Unit i's part of one parameter: indices ``start + i * width`` up to, not including, ``start + (i + 1) * width``
    of ``axis``."""

    parameter: str
    """Full name of a parameter: a weight, its bias, an entry of a norm."""
    axis: int = 0
    width: int = 1
    start: int = 0


@dataclass(frozen=True)
class Coupling:
    """Units that are alike and stand side by side: the neurons of one layer, the heads of one attention.

    Removing a unit removes all of its slices; with its producers zero, what the model computes does not depend on the
    consumers' slices, so that the smaller model's outputs are the masked one's.
    """

    name: str
    """Of the layer or attention that the units make up."""
    kind: str
    """``rows`` (neurons, filters) or ``heads``."""
    units: int
    producers: tuple[Slice, ...]
    """What makes a unit's output: weights and their biases, entries of norms."""
    consumers: tuple[Slice, ...]
    """What reads it."""

    @property
    def slices(self) -> tuple[Slice, ...]:
        return (*self.producers, *self.consumers)


def remaining(shapes: Shapes, couplings: Sequence[Coupling], kept: Mapping[str, int]) -> int:
    """Entries of ``shapes`` that are left with ``kept`` units (by name of the coupling) of each coupling.

    Two couplings may cut one weight, its rows and its columns: what is left is the product.
    """
    left = {name: list(shape) for name, shape in shapes.items()}
    for coupling in couplings:
        for part in coupling.slices:
            if part.parameter in left:
                left[part.parameter][part.axis] -= (coupling.units - kept[coupling.name]) * part.width
    return sum(math.prod(shape) for shape in left.values())


def unit_size(shapes: Shapes, coupling: Coupling) -> int:
    """Entries of ``shapes`` that one unit of a whole model takes up."""
    return sum(
        math.prod(shapes[part.parameter]) // shapes[part.parameter][part.axis] * part.width
        for part in coupling.slices
        if part.parameter in shapes
    )
