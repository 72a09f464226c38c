"""How numbers are printed."""

from __future__ import annotations

import math
from collections.abc import Sequence

from reports.estimates import Estimate
from reports.table import MetricInfo

NOTHING = "–"
SPARSITY_DECIMALS = (2, 4)
SCALES = ((1e12, "TFLOPs"), (1e9, "GFLOPs"), (1e6, "MFLOPs"), (1e3, "kFLOPs"), (1.0, "FLOPs"))
LEAST_OF_UNIT = 0.01


def metric(value: Estimate | None, info: MetricInfo, *, signed: bool = False) -> str:
    """``0.4512 ±0.0034``, or the mean alone with one seed; a percentage times 100 with two decimals."""
    if value is None:
        return NOTHING
    if value.half_width is None:
        return number(value.mean, info, signed=signed)
    return f"{number(value.mean, info, signed=signed)} ±{number(value.half_width, info)}"


def number(value: float, info: MetricInfo, *, signed: bool = False) -> str:
    """One value of a metric, at its scale."""
    decimals = 2 if info.percent else 4
    scaled = round(value * 100 if info.percent else value, decimals) + 0.0  # no minus before a zero
    return f"{scaled:{'+' if signed and scaled else ''}.{decimals}f}"


def heading(info: MetricInfo) -> str:
    """``accuracy % ↑``: name, scale and the direction that is better."""
    arrow = {True: " ↑", False: " ↓", None: ""}[info.higher_is_better]
    return f"{info.name}{' %' if info.percent else ''}{arrow}"


def sparsities(values: Sequence[float | None]) -> list[str]:
    """A column at as few decimals, two to four, as show each value; what is not 1 never reads 1."""
    present = [value for value in values if value is not None]
    fewest, most = SPARSITY_DECIMALS
    tiny = any(value and not round(value, most) for value in present)
    decimals = most if tiny else max((_decimals(value, fewest, most) for value in present), default=fewest)
    while any(value < 1 and round(value, decimals) == 1 for value in present):
        decimals += 1
    return [NOTHING if value is None else f"{value:.{decimals}f}" for value in values]


def _decimals(value: float, fewest: int, most: int) -> int:
    return next(d for d in range(fewest, most + 1) if d == most or round(value, d) == round(value, most))


def flops_scale(values: Sequence[float | None]) -> tuple[float, str]:
    """Divisor and unit that suit the largest of the values."""
    largest = max((value for value in values if value is not None), default=0.0)
    return next((scale for scale in SCALES if largest >= scale[0]), SCALES[-1])


def flops(value: float | None, divisor: float) -> str:
    """FLOPs in the table's unit, four significant digits."""
    return NOTHING if value is None else _significant(value / divisor, 4)


def flops_column(values: Sequence[float | None], others: Sequence[float | None] = ()) -> tuple[str, list[str]]:
    """Title and cells: in the unit that suits the largest of ``values`` and ``others``; where a cell would have less
    than a hundredth of it, as where models of other sizes stand in one table, each cell in its own."""
    divisor, unit = flops_scale([*values, *others])
    if all(not value or value >= LEAST_OF_UNIT * divisor for value in values):
        return unit, [flops(value, divisor) for value in values]
    own = [flops_scale([value]) for value in values]
    prefixes = [unit.removesuffix("FLOPs") for _, unit in own]
    shown = [flops(value, divisor) for value, (divisor, _) in zip(values, own, strict=True)]
    return "FLOPs", [f"{text} {prefix}".rstrip() for text, prefix in zip(shown, prefixes, strict=True)]


def times(value: float | None) -> str:
    """``3.2×``."""
    if value is None:
        return NOTHING
    return "∞" if math.isinf(value) else f"{_significant(value, 3)}×"


def steps(value: float | None) -> str:
    """``1,832``."""
    return NOTHING if value is None else f"{round(value):,}"


def _significant(value: float, digits: int) -> str:
    whole = len(str(int(abs(value)))) if abs(value) >= 1 or not value else 0
    return f"{value:,.{max(0, digits - whole)}f}"


def seeds_told(seeds: Sequence[int]) -> str:
    """``3 seeds (0-2)``."""
    return f"{len(seeds)} seed{'s' if len(seeds) != 1 else ''} ({ranges(seeds)})"


def ranges(values: Sequence[int]) -> str:
    """``0-2, 5`` for 0, 1, 2, 5."""
    runs: list[list[int]] = []
    for value in sorted(set(values)):
        if runs and value == runs[-1][-1] + 1:
            runs[-1].append(value)
        else:
            runs.append([value])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
