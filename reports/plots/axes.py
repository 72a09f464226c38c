"""Axes that stay legible: sparsity by the logarithm of density, costs in their unit, metrics as tables print them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from reports.plots.style import SMALL, width
from reports.table import MetricInfo

SPARSITIES = (0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 0.8, 0.95, 0.98, 0.7, 0.995, 0.998, 0.25, 0.6, 0.3, 0.4, 0.2, 0.1)
"""Ticks, those first that come first where not all have room."""
GAP = 5.0
"""Points between two tick labels."""
WIDE_RANGE = 5.0
"""From this ratio of the largest to the smallest an axis of costs is logarithmic."""
WIDEST = 1.0
"""Intervals get so many times the room of the means above them, and below."""
UNITS = {
    "FLOPs": ((1e12, "TFLOPs"), (1e9, "GFLOPs"), (1e6, "MFLOPs"), (1e3, "kFLOPs"), (1.0, "FLOPs")),
    "latency": ((1.0, "ms"),),
    "bytes": ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "bytes")),
}


def sparsity_axis(axes: Any, values: Iterable[float], inches: float, *, label: bool = True) -> None:
    """The x axis over ``values``: by the logarithm of density, so that 0.5, 0.9 and 0.99 stand apart.

    A sparsity of 1, whose density has no logarithm, stands where a third of the lowest other density would.
    """
    found = [*values]
    least = min((1 - value for value in found if value < 1), default=1.0) / 3

    def forward(sparsity: Any) -> Any:
        density = 1 - np.asarray(sparsity, dtype=np.float64)
        return -np.log10(np.where(density > 0, density, least))

    def inverse(exponent: Any) -> Any:
        return 1 - 10 ** -np.asarray(exponent, dtype=np.float64)

    def place(sparsity: float) -> float:
        return -math.log10(1 - sparsity if sparsity < 1 else least)

    axes.set_xscale("function", functions=(forward, inverse))
    ends = [place(value) for value in found]
    margin = max(0.04 * (max(ends) - min(ends)), 0.02)
    low, high = min(ends) - margin, max(ends) + margin
    axes.set_xlim(1 - 10**-low, 1 - 10**-high)
    # Of few points the ends may hold no round number: then what was measured has to do.
    offered = (*((1.0,) if max(found) >= 1 else ()), *SPARSITIES, *(round(value, 4) for value in sorted(set(found))))
    _ticks(axes, offered, place, (low, high), inches, lambda value: f"{value:g}")
    if label:
        axes.set_xlabel("sparsity (axis: logarithm of density)")


def cost_axis(axes: Any, kind: str, values: Iterable[float], inches: float, label: str) -> None:
    """The x axis of FLOPs, bytes or milliseconds; logarithmic where they range widely."""
    found = [*values]
    divisor, unit = next((entry for entry in UNITS[kind] if max(found) >= entry[0]), UNITS[kind][-1])
    axes.set_xlabel(label if label.startswith(unit) else f"{label} ({unit})")
    positive = [value for value in found if value > 0]
    if not positive or max(found) / min(positive) < WIDE_RANGE:
        margin = 0.06 * ((max(found) - min(found)) or max(found) or 1.0)
        axes.set_xlim(min(found) - margin, max(found) + margin)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / divisor:g}"))
        return
    least = min(positive)
    zero = least / 3 if len(positive) < len(found) else least
    """Where no FLOPs are left, which has no logarithm."""

    def place(value: float) -> float:
        return math.log10(value if value > 0 else zero)

    def forward(value: Any) -> Any:
        value = np.asarray(value, dtype=np.float64)
        return np.log10(np.where(value > 0, value, zero))

    axes.set_xscale("function", functions=(forward, lambda exponent: 10 ** np.asarray(exponent, dtype=np.float64)))
    margin = 0.05 * (place(max(found)) - place(zero))
    low, high = place(zero) - margin, place(max(found)) + margin
    axes.set_xlim(10**low, 10**high)
    decades = range(math.floor(low) - 1, math.ceil(high) + 1)
    offered = [first * 10.0**power for first in (1, 5, 2) for power in decades if first * 10.0**power >= least * 0.9]
    _ticks(axes, [*([0.0] if zero < least else []), *offered], place, (low, high), inches,
           lambda value: f"{value / divisor:g}")  # fmt: skip


def metric_axis(axes: Any, info: MetricInfo, *, label: str | None = None) -> None:
    """The y axis of a metric, times 100 where tables print it so."""
    arrow = {True: " ↑", False: " ↓", None: ""}[info.higher_is_better]
    axes.set_ylabel(f"{label or info.name}{' %' if info.percent else ''}{arrow}")
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    scale = 100 if info.percent else 1
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(value * scale, 9):g}"))


def metric_limits(
    means: Sequence[float], intervals: Sequence[tuple[float, float]], info: MetricInfo
) -> tuple[float, float]:
    """Room for all ``means``, and for the ``intervals`` unless they are so wide that the means would be one line: those
    of two or three seeds may be many times wider than all that is to be seen."""
    low, high = min(means), max(means)
    spread = (high - low) or abs(high) * 0.1 or 1.0
    usual = statistics.median([(end - start) / 2 for start, end in intervals]) if intervals else 0.0
    room = max(0.3 * spread, min(usual, WIDEST * spread))
    low_end, high_end = min([low, *(start for start, _ in intervals)]), max([high, *(end for _, end in intervals)])
    low, high = max(low_end, low - room), min(high_end, high + room)
    if info.percent:
        low, high = max(low, 0.0), min(high, 1.0)
    margin = 0.05 * (high - low) or 0.05 * spread
    return low - margin, high + margin


def _ticks(
    axes: Any,
    offered: Iterable[float],
    place: Callable[[float], float],
    limits: tuple[float, float],
    inches: float,
    said: Callable[[float], str],
) -> None:
    """The first of the ``offered`` values whose labels have room between those before them."""
    low, high = limits
    points = inches * 72 / (high - low)
    kept: list[tuple[float, float, float]] = []
    for value in offered:
        at, half = place(value), width(said(value), SMALL) / 2
        inside = low - 1e-9 <= at <= high + 1e-9
        if inside and all(abs(at - other) * points >= half + wide + GAP for _, other, wide in kept):
            kept.append((value, at, half))
    values = sorted(value for value, _, _ in kept)
    axes.xaxis.set_major_locator(FixedLocator(values))
    axes.xaxis.set_major_formatter(FixedFormatter([said(value) for value in values]))
    axes.xaxis.set_minor_locator(NullLocator())
