"""All gates over two sides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reports.compare import exact, margins, quality
from reports.compare.findings import NOT_COMPARABLE, Comparison, Finding
from reports.compare.margins import Margin
from reports.compare.matching import match
from reports.compare.sides import Side


def compare(
    base: Side, head: Side, given: Mapping[str, Margin] | None = None, speed: Sequence[Finding] = ()
) -> Comparison:
    """What the exact and the quality gate find, with the findings of the speed gate behind.

    ``given`` are margins by metric, under ``""`` for all others. Raises ``UsageError`` where one has no metric.
    """
    asked = given or {}
    if asked:
        margins.check(asked, list(dict.fromkeys(name for cell in base.cells for name in cell.record.metrics)))
    pairs = match(base.cells, head.cells)
    found = [
        Finding("exact", NOT_COMPARABLE, f"{side.name}, {name}", why)
        for side in (base, head)
        for name, why in sorted(side.left_out.items())
    ]
    found += [finding for pair in pairs for finding in exact.check(pair)]
    contrasts, aside = quality.contrasts([pair for pair in pairs if exact.comparable(pair)], asked)
    return Comparison(base.name, head.name, [*found, *aside, *quality.check(contrasts), *speed])
