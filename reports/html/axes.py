"""Axes of the page's figures: where a value stands, and ticks that have room."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from reports import scales
from reports.figures import heading
from reports.scales import Scale
from reports.table import MetricInfo

CHARACTER, GAP = 7.0, 10.0
"""Width of a tick's character and the least space between two ticks, in the units of the drawing."""
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
    """By the logarithm of density."""
    return _scaled("sparsity (by the logarithm of density)", scales.sparsity(values), (start, end))


def cost_axis(title: str, kind: str, values: Iterable[float], start: float, end: float) -> Axis:
    """Of FLOPs, bytes or milliseconds."""
    scale = scales.cost(kind, values)
    return _scaled(f"{title} ({scale.unit})" if scale.unit not in title else title, scale, (start, end))


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
    spread = scales.spread(means)
    low, high = scales.metric_limits(means, 0.3 * spread, ends, info.percent)
    scale = 100 if info.percent else 1
    room = [low - 0.05 * spread, high + 0.05 * spread]
    ticks = [value / scale for value in scales.round_numbers(room[0] * scale, room[1] * scale)]
    return _axis(
        heading(info), room, ticks, float, lambda value: f"{round(value * scale, 9):g}", (start, end), margin=0.0
    )


def share_axis(title: str, start: float, end: float) -> Axis:
    """From 0 to 1."""
    return _axis(title, [0.0, 1.0], [0, 0.2, 0.4, 0.6, 0.8, 1.0], float, lambda value: f"{value:g}", (start, end))


def _scaled(title: str, scale: Scale, between: tuple[float, float]) -> Axis:
    values = scale.values
    offered = scale.offered or scales.round_numbers(min(values, default=0), max(values, default=1))
    return _axis(title, values, offered, scale.place, scale.said, between)


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

    def half(value: float) -> float:
        """Along a line of text its width counts, across it its height."""
        return len(text(value)) * CHARACTER / 2 if end > start else CHARACTER

    inside = [value for value in offered if min(start, end) - 1e-6 <= place(value) <= max(start, end) + 1e-6]
    ticks = [Tick(round(place(value), 1), text(value)) for value in scales.with_room(inside, place, half, GAP)]
    return Axis(title, tuple(sorted(ticks, key=lambda tick: tick.at)), place)
