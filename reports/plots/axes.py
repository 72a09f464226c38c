"""Axes that stay legible: sparsity by the logarithm of density, costs in their unit, metrics as tables print them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from reports import scales
from reports.figures import heading
from reports.plots.style import SMALL, width
from reports.scales import Scale
from reports.table import MetricInfo

GAP = 5.0
"""Points between two tick labels."""
WIDEST = 1.0
"""Intervals get so many times the room of the means above them, and below."""


def sparsity_axis(axes: Any, values: Iterable[float], inches: float, *, label: bool = True) -> None:
    """The x axis over ``values``: by the logarithm of density, so that 0.5, 0.9 and 0.99 stand apart.

    A sparsity of 1, whose density has no logarithm, stands where a third of the lowest other density would.
    """
    scale = scales.sparsity(values)

    def forward(sparsity: Any) -> Any:
        density = 1 - np.asarray(sparsity, dtype=np.float64)
        return -np.log10(np.where(density > 0, density, scale.least))

    def inverse(exponent: Any) -> Any:
        return 1 - 10 ** -np.asarray(exponent, dtype=np.float64)

    axes.set_xscale("function", functions=(forward, inverse))
    ends = [scale.place(value) for value in scale.values]
    margin = max(0.04 * (max(ends) - min(ends)), 0.02)
    low, high = min(ends) - margin, max(ends) + margin
    axes.set_xlim(1 - 10**-low, 1 - 10**-high)
    offered = [value for value in scale.offered if low <= scale.place(value) <= high]
    if len(offered) < 2:  # then what was measured has to do
        offered += [round(value, 4) for value in sorted(set(scale.values))]
    _ticks(axes, offered, scale, (low, high), inches)
    if label:
        axes.set_xlabel("sparsity (axis: logarithm of density)")


def cost_axis(axes: Any, kind: str, values: Iterable[float], inches: float, label: str) -> None:
    """The x axis of FLOPs, bytes or milliseconds; logarithmic where they range widely."""
    scale = scales.cost(kind, values)
    found = scale.values
    axes.set_xlabel(label if label.startswith(scale.unit) else f"{label} ({scale.unit})")
    if not scale.offered:
        margin = 0.06 * ((max(found) - min(found)) or max(found) or 1.0)
        axes.set_xlim(min(found) - margin, max(found) + margin)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: scale.said(value)))
        return

    def forward(value: Any) -> Any:
        value = np.asarray(value, dtype=np.float64)
        return np.log10(np.where(value > 0, value, scale.least))

    axes.set_xscale("function", functions=(forward, lambda exponent: 10 ** np.asarray(exponent, dtype=np.float64)))
    ends = [scale.place(value) for value in found]
    margin = 0.05 * (max(ends) - min(ends))
    low, high = min(ends) - margin, max(ends) + margin
    axes.set_xlim(10**low, 10**high)
    _ticks(axes, scale.offered, scale, (low, high), inches)


def metric_axis(axes: Any, info: MetricInfo, *, label: str | None = None) -> None:
    """The y axis of a metric, times 100 where tables print it so."""
    axes.set_ylabel(heading(replace(info, name=label or info.name)))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    scale = 100 if info.percent else 1
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{round(value * scale, 9):g}"))


def metric_limits(
    means: Sequence[float], intervals: Sequence[tuple[float, float]], info: MetricInfo
) -> tuple[float, float]:
    """Room for all ``means``, and for the ``intervals`` unless they are so wide that the means would be one line: those
    of two or three seeds may be many times wider than all that is to be seen."""
    spread = scales.spread(means)
    usual = statistics.median([(end - start) / 2 for start, end in intervals]) if intervals else 0.0
    room = max(0.3 * spread, min(usual, WIDEST * spread))
    low, high = scales.metric_limits(means, room, [end for interval in intervals for end in interval], info.percent)
    margin = 0.05 * (high - low) or 0.05 * spread
    return low - margin, high + margin


def _ticks(axes: Any, offered: Iterable[float], scale: Scale, limits: tuple[float, float], inches: float) -> None:
    """The first of the ``offered`` values whose labels have room between those before them."""
    low, high = limits
    points = inches * 72 / (high - low)
    inside = [value for value in offered if low - 1e-9 <= scale.place(value) <= high + 1e-9]
    values = scales.with_room(
        inside, lambda value: scale.place(value) * points, lambda value: width(scale.said(value), SMALL) / 2, GAP
    )
    axes.xaxis.set_major_locator(FixedLocator(values))
    axes.xaxis.set_major_formatter(FixedFormatter([scale.said(value) for value in values]))
    axes.xaxis.set_minor_locator(NullLocator())
