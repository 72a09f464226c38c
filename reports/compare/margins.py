"""How much worse a metric may get before it matters: a default by the metric's family, and what a flag says instead."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.errors import UsageError


@dataclass(frozen=True)
class Margin:
    """Absolute in the metric's own unit (fractions, not percent), or a share of the base's value."""

    size: float
    relative: bool = False

    def of(self, base: float) -> float:
        """The margin around a base value."""
        return self.size * abs(base) if self.relative else self.size

    def __str__(self) -> str:
        return f"{100 * self.size:g} % of the base" if self.relative else f"{self.size:g}"


SHARE = Margin(0.01)
"""Accuracy, BLEU and other fractions that tables print in percent: one point."""
RANKING = Margin(0.02)
"""Ranking measures in [0, 1]: means over some hundred queries scatter more."""
COST = Margin(0.05, relative=True)
"""Losses, perplexities and whatever else is better when lower: a twentieth."""

_PAIR = re.compile(r"(?:(?P<metric>.+)=)?(?P<number>[0-9.eE+-]+)(?P<percent>\s*%)?")


def default(higher_is_better: bool, percent: bool) -> Margin:
    """The margin of a metric's family."""
    if not higher_is_better:
        return COST
    return SHARE if percent else RANKING


def parse(pairs: Sequence[str]) -> dict[str, Margin]:
    """Margins by metric from ``accuracy=0.005``, ``loss=5%`` (of the base); without a name for all, under ``""``."""
    found = {}
    for text in pairs:
        match = _PAIR.fullmatch(text.strip())
        try:
            size = float(match["number"]) if match else math.nan
        except ValueError:
            size = math.nan
        if match is None or not (math.isfinite(size) and size >= 0):
            raise UsageError("is no margin", where=f"--margin {text}", mend="For example accuracy=0.005 or loss=5%.")
        relative = match["percent"] is not None
        found[match["metric"] or ""] = Margin(size / 100 if relative else size, relative)
    return found


def check(margins: Mapping[str, Margin], metrics: Sequence[str]) -> None:
    """Raises ``UsageError`` for the margin of a metric that there is not."""
    for name in margins:
        if name and name not in metrics:
            raise UsageError(f"no metric {name!r}", where="--margin", mend=f"There is: {', '.join(metrics) or 'none'}.")
