"""Which colour and marker a pruner has, in every figure of every report.

Colours are Okabe and Ito's and, for recipes, Tol's "muted" ones: those who see red and green alike can tell them apart.
Markers differ among all of ours, so that a figure printed in grey can be read as well.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bench.record import DENSE

INK, FAINT = "#000000", "#767676"
"""Of text, and of what stands behind the data; on white both have the contrast that small print needs."""


Outline = tuple[tuple[float, float], ...]
"""Corners of a polygon."""


@dataclass(frozen=True)
class Look:
    """How a pruner is drawn."""

    color: str
    """``#rrggbb``."""
    marker: str
    """A name in ``OUTLINES``."""


def _around(corners: int, *, first: float = 90.0, radius: float = 1.0, inner: float | None = None) -> Outline:
    """A regular polygon, or a star where there is an ``inner`` radius; ``first`` is the angle of its first corner."""
    count = corners if inner is None else 2 * corners
    radii = [radius if inner is None or i % 2 == 0 else inner for i in range(count)]
    angles = [math.radians(first + 360 * i / count) for i in range(count)]
    return tuple((round(r * math.cos(a), 4), round(r * math.sin(a), 4)) for r, a in zip(radii, angles, strict=True))


_PLUS: Outline = (
    *((-0.35, 1.0), (0.35, 1.0), (0.35, 0.35), (1.0, 0.35), (1.0, -0.35), (0.35, -0.35)),
    *((0.35, -1.0), (-0.35, -1.0), (-0.35, -0.35), (-1.0, -0.35), (-1.0, 0.35), (-0.35, 0.35)),
)
_TURN = math.sqrt(0.5)

OUTLINES: Mapping[str, Outline] = {
    "circle": _around(32, radius=0.9),
    "square": ((-0.8, -0.8), (0.8, -0.8), (0.8, 0.8), (-0.8, 0.8)),
    "triangle up": _around(3, radius=1.1),
    "triangle down": _around(3, first=-90, radius=1.1),
    "diamond": _around(4),
    "plus": _PLUS,
    "cross": tuple((round(_TURN * (x - y), 4), round(_TURN * (x + y), 4)) for x, y in _PLUS),
    "triangle left": _around(3, first=180, radius=1.1),
    "triangle right": _around(3, first=0, radius=1.1),
    "star": _around(5, radius=1.15, inner=0.45),
    "thin diamond": ((0.0, 1.1), (-0.55, 0.0), (0.0, -1.1), (0.55, 0.0)),
    "hourglass": ((-0.85, 1.0), (0.85, 1.0), (-0.85, -1.0), (0.85, -1.0)),
    "bow tie": ((-1.0, 0.85), (1.0, -0.85), (1.0, 0.85), (-1.0, -0.85)),
    "pentagon": _around(5, radius=0.95),
}
"""Corners of each marker, about (0, 0), y upwards, some 2 wide."""

DENSE_LOOK = Look(INK, "circle")

_OURS = {
    "random": Look(FAINT, "square"),
    "magnitude": Look("#D55E00", "triangle up"),
    "snip": Look("#56B4E9", "diamond"),
    "grasp": Look("#0072B2", "circle"),
    "synflow": Look("#009E73", "triangle down"),
    "wanda": Look("#CC79A7", "plus"),
    "fisher": Look("#E69F00", "cross"),
    "tpr": Look("#332288", "triangle left"),
    "gmp": Look("#882255", "triangle right"),
    "imp": Look("#117733", "star"),
    "iterative": Look("#44AA99", "thin diamond"),
    "sap": Look("#AA4499", "hourglass"),
    "movement": Look("#999933", "bow tie"),
    "soft-movement": Look("#CC6677", "pentagon"),
}
_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#332288", "#882255", "#117733", "#999933")


def looks(pruners: Iterable[str]) -> dict[str, Look]:
    """A look for each name. Ours have theirs; another's comes from a hash of its name, and where two would share one
    the later name takes the next that is free: give all pruners of a report, and each keeps its look in all of it."""
    taken = set(_OURS.values()) | {DENSE_LOOK}
    found = {DENSE: DENSE_LOOK}
    for name in sorted(set(pruners) - {DENSE}):
        found[name] = _OURS[name] if name in _OURS else _free(name, taken)
        taken.add(found[name])
    return found


def _free(name: str, taken: set[Look]) -> Look:
    every = [Look(color, marker) for marker in OUTLINES for color in _COLORS]
    start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4]) % len(every)
    ordered = every[start:] + every[:start]
    return next((look for look in ordered if look not in taken), ordered[0])
