"""Axes of the page's figures: where a value stands, and ticks that have room."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from reports.figures import SCALES
from reports.table import MetricInfo

SPARSITIES = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.8, 0.95, 0.98, 0.7, 0.995, 0.998, 0.25, 0.6, 0.3, 0.4, 0.2, 0.1)
"""Ticks, those first that come first where not all have room."""
BYTES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "bytes"))
CHARACTER, GAP = 7.0, 10.0
"""Width of a tick's character and the least space between two ticks, in the units of the drawing."""
NEGLIGIBLE = 1e-300
"""Costs up to which there are none: a part of less is beyond what floating point can divide."""
WIDE_RANGE = 5.0
"""From this ratio of the largest to the smallest an axis of costs is logarithmic."""
MARGIN = 0.05
"""Of the axis, left free at either end."""


@dataclass(frozen=True)
class Tick:
    at: float
    text: str


@dataclass(frozen=True)
class Axis:
    """Places of values between ``start`` and ``end``, in the units of the drawing."""

    title: str
    ticks: tuple[Tick, ...]
    place: Callable[[float], float]


def sparsity_axis(values: Iterable[float], start: float, end: float) -> Axis:
    """By the logarithm of density, so that 0.5, 0.9 and 0.99 stand apart. A sparsity of 1, whose density has no
    logarithm, stands where a third of the lowest other density would."""
    found = [*values]
    least = min((1 - value for value in found if value < 1), default=1.0) / 3
    offered = (*((1.0,) if max(found, default=0) >= 1 else ()), *SPARSITIES)
    return _axis(
        "sparsity (by the logarithm of density)",
        found,
        offered,
        lambda value: -math.log10(max(1 - value, least)),
        lambda value: f"{value:g}",
        (start, end),
    )


def cost_axis(
    title: str, units: Sequence[tuple[float, str]], values: Iterable[float], start: float, end: float
) -> Axis:
    """Of FLOPs, bytes or milliseconds; logarithmic where they range widely."""
    found = [value if value > NEGLIGIBLE else 0.0 for value in values]
    divisor, unit = next((entry for entry in units if max(found, default=0) >= entry[0]), units[-1])
    said = f"{title} ({unit})" if unit not in title else title

    def text(value: float) -> str:
        return f"{value / divisor:g}"

    positive = [value for value in found if value > 0]
    if not positive or max(found) / min(positive) < WIDE_RANGE:
        return _axis(said, found, _round(min(found, default=0), max(found, default=1)), float, text, (start, end))
    least = min(positive)
    # Where no FLOPs are left, which has no logarithm.
    zero = least / 3 if len(positive) < len(found) else least
    decades = range(math.floor(math.log10(least)) - 1, math.ceil(math.log10(max(found))) + 1)
    offered = [first * 10.0**power for first in (1, 5, 2) for power in decades if first * 10.0**power >= least * 0.9]
    return _axis(
        said,
        found,
        [*([0.0] if zero < least else []), *offered],
        lambda value: math.log10(max(value, zero)),
        text,
        (start, end),
    )


def flops_axis(values: Iterable[float], start: float, end: float) -> Axis:
    return cost_axis("FLOPs per example", SCALES, values, start, end)


def number_axis(title: str, values: Iterable[float], start: float, end: float) -> Axis:
    """Of whole numbers, iterations say."""
    found = [*values]
    low, high = (min(found), max(found)) if found else (0.0, 1.0)
    step = max(1, math.ceil((high - low) / 8))
    offered = [float(value) for value in range(math.floor(low), math.ceil(high) + 1, step)]
    return _axis(title, found, offered, float, lambda value: f"{value:g}", (start, end))


def metric_axis(info: MetricInfo, means: Sequence[float], ends: Sequence[float], start: float, end: float) -> Axis:
    """With room for all ``means`` and for as much of the intervals' ``ends`` as leaves the means apart: of two or three
    seeds they may be many times wider than all that is to be seen."""
    low, high = min(means), max(means)
    spread = (high - low) or abs(high) * 0.1 or 1.0
    low_end, high_end = min([low, *ends]), max([high, *ends])
    low, high = max(low_end, low - 0.3 * spread), min(high_end, high + 0.3 * spread)
    if info.percent:
        low, high = max(low, 0.0), min(high, 1.0)
    scale = 100 if info.percent else 1
    arrow = {True: " ↑", False: " ↓", None: ""}[info.higher_is_better]
    title = f"{info.name}{' %' if info.percent else ''}{arrow}"
    room = [low - 0.05 * spread, high + 0.05 * spread]
    ticks = [value / scale for value in _round(room[0] * scale, room[1] * scale)]
    return _axis(title, room, ticks, float, lambda value: f"{round(value * scale, 9):g}", (start, end), margin=0.0)


def share_axis(title: str, start: float, end: float) -> Axis:
    """From 0 to 1."""
    return _axis(title, [0.0, 1.0], [0, 0.2, 0.4, 0.6, 0.8, 1.0], float, lambda value: f"{value:g}", (start, end))


def _axis(
    title: str,
    values: Sequence[float],
    offered: Iterable[float],
    scaled: Callable[[float], float],
    text: Callable[[float], str],
    between: tuple[float, float],
    *,
    margin: float = MARGIN,
) -> Axis:
    start, end = between
    ends = [scaled(value) for value in values] or [0.0, 1.0]
    low, high = min(ends), max(ends)
    room = margin * (high - low) if high > low else 0.5 * (abs(high) or 1.0)
    low, high = low - room, high + room

    def place(value: float) -> float:
        return start + (scaled(value) - low) / (high - low) * (end - start)

    kept: list[tuple[float, Tick]] = []
    for value in offered:
        said = text(value)
        at = place(value)
        # Along a line of text its width counts, across it its height.
        half = len(said) * CHARACTER / 2 if end > start else CHARACTER
        inside = min(start, end) - 1e-6 <= at <= max(start, end) + 1e-6
        if inside and all(abs(at - other.at) >= half + wide + GAP for wide, other in kept):
            kept.append((half, Tick(round(at, 1), said)))
    return Axis(title, tuple(sorted((tick for _, tick in kept), key=lambda tick: tick.at)), place)


def _round(low: float, high: float, about: int = 5) -> list[float]:
    """Some ``about`` multiples of 1, 2, 2.5 or 5 times a power of ten."""
    if high <= low:
        return [low]
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(first * power for first in (1, 2, 2.5, 5, 10) if first * power >= raw * 0.999)
    return [number * step for number in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]
