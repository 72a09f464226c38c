"""Scales of axes, whatever draws them: where values stand, in which unit, and which ticks are offered."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from reports.curves import BYTES, FLOPS, LATENCY
from reports.figures import SCALES

SPARSITIES = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.8, 0.95, 0.98, 0.7, 0.995, 0.998, 0.25, 0.6, 0.3, 0.4, 0.2, 0.1)
"""Ticks, those first that come first where not all have room."""
UNITS = {
    FLOPS: SCALES,
    BYTES: ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "bytes")),
    LATENCY: ((1.0, "ms"),),
}
WIDE_RANGE = 5.0
"""From this ratio of the largest to the smallest an axis of costs is logarithmic."""
NEGLIGIBLE = 1e-300
"""Costs up to which there are none: a part of less is beyond what floating point can divide."""


@dataclass(frozen=True)
class Scale:
    """Values along one axis."""

    values: tuple[float, ...]
    offered: tuple[float, ...]
    """Ticks, those first that come first where not all have room; empty where any round numbers do."""
    place: Callable[[float], float]
    """Where a value stands before the axis is stretched to its length."""
    least: float
    """Density or cost that stands for those that have no logarithm: a third of the lowest other one."""
    divisor: float = 1.0
    unit: str = ""

    def said(self, value: float) -> str:
        """A tick's label."""
        return f"{value / self.divisor:g}"


def sparsity(values: Iterable[float]) -> Scale:
    """By the logarithm of density, so that 0.5, 0.9 and 0.99 stand apart."""
    found = tuple(values)
    least = min((1 - value for value in found if value < 1), default=1.0) / 3
    offered = (*((1.0,) if max(found, default=0) >= 1 else ()), *SPARSITIES)
    return Scale(found, offered, lambda value: -math.log10(1 - value if value < 1 else least), least)


def cost(kind: str, values: Iterable[float]) -> Scale:
    """Of FLOPs, bytes or milliseconds; logarithmic where they range widely."""
    found = tuple(value if value > NEGLIGIBLE else 0.0 for value in values)
    highest = max(found, default=0.0)
    divisor, unit = next((entry for entry in UNITS[kind] if highest >= entry[0]), UNITS[kind][-1])
    positive = [value for value in found if value > 0]
    if not positive or highest / min(positive) < WIDE_RANGE:
        return Scale(found, (), float, 0.0, divisor, unit)
    lowest = min(positive)
    least = lowest / 3 if len(positive) < len(found) else lowest
    decades = range(math.floor(math.log10(least)) - 1, math.ceil(math.log10(highest)) + 1)
    round_ones = [first * 10.0**power for first in (1, 5, 2) for power in decades]
    offered = ([0.0] if least < lowest else []) + [value for value in round_ones if value >= lowest * 0.9]
    return Scale(found, tuple(offered), lambda value: math.log10(max(value, least)), least, divisor, unit)


def with_room(
    offered: Iterable[float], at: Callable[[float], float], half: Callable[[float], float], gap: float
) -> list[float]:
    """The first of the ``offered`` values whose labels, ``half`` as wide to either side of ``at``, have room between
    those before them, in rising order."""
    kept: list[tuple[float, float, float]] = []
    for value in offered:
        place, width = at(value), half(value)
        if all(abs(place - other) >= width + wide + gap for _, other, wide in kept):
            kept.append((value, place, width))
    return sorted(value for value, _, _ in kept)


def round_numbers(low: float, high: float, about: int = 5) -> list[float]:
    """Some ``about`` multiples of 1, 2, 2.5 or 5 times a power of ten."""
    if high <= low:
        return [low]
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(first * power for first in (1, 2, 2.5, 5, 10) if first * power >= raw * 0.999)
    return [number * step for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def metric_limits(means: Sequence[float], room: float, ends: Sequence[float], percent: bool) -> tuple[float, float]:
    """Limits that hold all ``means``, and of the intervals' ``ends`` as much as lies within ``room`` of them."""
    low, high = min(means), max(means)
    low, high = max(min([low, *ends]), low - room), min(max([high, *ends]), high + room)
    return (max(low, 0.0), min(high, 1.0)) if percent else (low, high)


def spread(means: Sequence[float]) -> float:
    """From the lowest to the highest mean; where all are one, a tenth of it."""
    low, high = min(means), max(means)
    return (high - low) or abs(high) * 0.1 or 1.0
