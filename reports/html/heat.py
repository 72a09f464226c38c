"""Densities of layers as a table of shades: one a pruner, a row a layer and a column a target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from reports.curves import Densities
from reports.escape import clipped
from reports.html.charts import Numbers, Rows, target
from reports.html.colors import STEPS

LABEL = 300


class Shade(NamedTuple):
    step: int | None
    """Number of its class; None where the layer is not there."""
    text: str
    value: str
    """The density, unrounded."""


@dataclass(frozen=True)
class Heat:
    label: str
    number: int | None
    """Of the pruner."""
    targets: tuple[str, ...]
    rows: tuple[int | None, ...]
    """The page's rows of the targets."""
    layers: tuple[tuple[str, tuple[Shade, ...]], ...]


def heat(found: Densities, numbers: Numbers, rows: Rows) -> Heat:
    """One pruner's."""
    return Heat(
        clipped(found.label, LABEL),
        numbers.get(found.pruner),
        tuple(target(point) for point in found.columns),
        tuple(next((rows[key] for key in point.keys if key in rows), None) for point in found.columns),
        tuple(
            (clipped(name, LABEL), tuple(map(shade, values)))
            for name, values in zip(_apart(found.layers), found.values, strict=True)
        ),
    )


def shade(density: float | None) -> Shade:
    """Of a density from 0 to 1. What is not empty is never of the shade of an empty layer."""
    if density is None:
        return Shade(None, "–", "")
    step = min(STEPS - 1, max(0, round(density * (STEPS - 1))))
    text = f"{density:.2f}" if density == 0 or density >= 0.005 else f"{density:.0e}".replace("e-0", "e-")
    return Shade(max(1, step) if density > 0 else 0, text, repr(density))


def _apart(layers: Sequence[str]) -> Sequence[str]:
    """Names without an ending that all share."""
    ending = ".weight"
    return [name.removesuffix(ending) for name in layers] if all(n.endswith(ending) for n in layers) else layers
