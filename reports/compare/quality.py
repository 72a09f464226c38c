"""The quality gate: metrics of the same cells, paired by example and seed.

A metric has regressed where it is worse by more than its margin *and* a paired test, Holm-corrected over all
comparisons of the run, puts that beyond chance. Otherwise there is no evidence of a regression, which is not evidence
of none. A metric that moved while every example kept its value is a regression without a test: no chance does that.

Both sides hold the same seeds. On the same machine a cell is the same to the last bit, so seeds add no chance of their
own: they are averaged example by example, and the test is over examples. Elsewhere training goes another way from the
first differing bit, as another seed would, and the test takes seeds as a sample too (``reports.significance``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean
from typing import Any

import numpy as np

from reports import figures
from reports.compare import machine
from reports.compare.findings import NOT_COMPARABLE, NOTE, PASSED, REGRESSION, Finding
from reports.compare.margins import Margin, default
from reports.compare.matching import Pair
from reports.compare.sides import Examples
from reports.significance import Paired, holm, paired
from reports.table import MetricInfo

LEVEL = 0.05


@dataclass(frozen=True)
class Contrast:
    """One metric of one row (a cell over its seeds), on both sides."""

    label: str
    metric: MetricInfo
    margin: Margin
    pairs: tuple[Pair, ...]
    """Cells that both sides finished, by seed."""

    @property
    def subject(self) -> str:
        seeds = [pair.record.seed for pair in self.pairs]
        return f"{self.label}, seed{'s' if len(seeds) > 1 else ''} {figures.ranges(seeds)}, {self.metric.name}"

    @property
    def base(self) -> float:
        return fmean(value for value, _ in self._values())

    @property
    def head(self) -> float:
        return fmean(value for _, value in self._values())

    @property
    def beyond(self) -> bool:
        """Whether the sides differ by more than the margin, whichever is better."""
        return abs(self.head - self.base) > self.margin.of(self.base)

    @property
    def worse(self) -> bool:
        return (self.head < self.base) == bool(self.metric.higher_is_better)

    def _values(self) -> list[tuple[float, float]]:
        return [
            (pair.base.record.metrics[self.metric.name], pair.head.record.metrics[self.metric.name])
            for pair in self.pairs
            if pair.base is not None and pair.head is not None
        ]

    @property
    def same_machine(self) -> bool:
        return not any(
            machine.differences(pair.base.record.provenance, pair.head.record.provenance)
            for pair in self.pairs
            if pair.base is not None and pair.head is not None
        )

    def test(self, examples: Sequence[tuple[Examples, Examples]]) -> Test:
        """The paired test, given the values of each example on both sides by seed; over seeds where there are none."""
        found = [(base.get(self.metric.name), head.get(self.metric.name)) for base, head in examples]
        rows = [(ours, theirs) for ours, theirs in found if ours is not None and theirs is not None]
        lengths = {len(values) for row in rows for values in row}
        if len(rows) < len(found) or len(lengths) != 1 or 0 in lengths:
            before, after = zip(*self._values(), strict=True)
            return Test("paired over seeds", paired(before, after))
        base, head = zip(*rows, strict=True)
        if all(np.array_equal(ours, theirs) for ours, theirs in rows):
            return Test("paired over examples", paired(base, head), unchanged=True)
        if self.same_machine:
            return Test("paired over examples", paired([np.mean(base, axis=0)], [np.mean(head, axis=0)]))
        return Test("paired over examples and seeds", paired(base, head))


@dataclass(frozen=True)
class Test:
    """What a paired test says of head minus base."""

    name: str
    found: Paired
    unchanged: bool = False
    """Whether there are values of each example, and they are the same on both sides."""


def contrasts(pairs: Sequence[Pair], margins: Mapping[str, Margin]) -> tuple[list[Contrast], list[Finding]]:
    """The comparisons of the pairs that can be compared, and what of them cannot be."""
    rows: dict[str, list[Pair]] = {}
    uneven = []
    for pair in pairs:
        assert pair.base is not None and pair.head is not None
        before, after = pair.base.record.n, pair.head.record.n
        if before == after:
            rows.setdefault(pair.label, []).append(pair)
        else:
            said = f"{before:,} examples were evaluated and {after:,} are now"
            uneven.append(Finding("quality", NOT_COMPARABLE, pair.cell, said))
    found, undirected = [], []
    for label, row in rows.items():
        for info in _metrics(row):
            if info.higher_is_better is None:
                undirected.append(Finding("quality", NOTE, f"{label}, {info.name}", "the record tells no direction"))
                continue
            margin = margins.get(info.name, margins.get("", default(info.higher_is_better, info.percent)))
            found.append(Contrast(label, info, margin, tuple(row)))
    lost = [finding for row in rows.values() for finding in _lost(row)]
    return found, [*uneven, *lost, *undirected]


def check(found: Sequence[Contrast]) -> list[Finding]:
    """What the gate says of each comparison, in order."""
    tests: list[Test] = []
    for _, together in groupby(found, key=lambda contrast: contrast.pairs):
        row = [*together]
        # Read once a row and let go: of a large folder all values at once may not fit.
        examples = [
            (pair.base.examples(), pair.head.examples())
            for pair in row[0].pairs
            if pair.base is not None and pair.head is not None
        ]
        tests += [contrast.test(examples) for contrast in row]
    adjusted = holm([test.found.p for test in tests])
    return [_finding(contrast, test, p) for contrast, test, p in zip(found, tests, adjusted, strict=True)]


def _finding(contrast: Contrast, test: Test, adjusted: float | None) -> Finding:
    info, before, after = contrast.metric, contrast.base, contrast.head
    allowed = contrast.margin.of(before)
    facts: dict[str, Any] = {
        "metric": info.name, "base": before, "head": after, "difference": after - before, "margin": allowed,
        "test": test.name, "p": test.found.p, "p_holm": adjusted, "low": test.found.low, "high": test.found.high,
    }  # fmt: skip
    if not contrast.beyond:
        return Finding("quality", PASSED, contrast.subject, "no evidence of a difference beyond the margin", facts)
    unit, difference = (" %", " points") if info.percent else ("", "")
    moved = f"{figures.number(before, info)}{unit} is now {figures.number(after, info)}{unit}"
    margin = f"the margin of {figures.number(allowed, info)}{difference}"
    if test.unchanged:
        said = f"{moved}, beyond {margin}, and every example has the value that it had: it is reckoned otherwise"
        return Finding("quality", REGRESSION, contrast.subject, said, facts)
    if adjusted is None:
        said = f"{moved}, beyond {margin}, but one seed without per-example values is no evidence"
        return Finding("quality", NOTE, contrast.subject, said, facts)
    chance = f"p = {adjusted:.2g}, {test.name}, Holm-adjusted"
    if adjusted >= LEVEL:
        said = f"{moved}, beyond {margin}, but no evidence ({chance})"
        return Finding("quality", NOTE, contrast.subject, said, facts)
    verdict, word = (REGRESSION, "worse") if contrast.worse else (NOTE, "better")
    amount = figures.number(abs(after - before), info)
    said = f"{moved}: {word} by {amount}{difference}, beyond {margin} ({chance})"
    return Finding("quality", verdict, contrast.subject, said, facts)


def _metrics(row: Sequence[Pair]) -> Iterator[MetricInfo]:
    """Metrics that every cell of the row has on both sides, in the order of the base's own list."""
    entries = {entry["name"]: entry for entry in row[0].record.metric_info}
    for name in dict.fromkeys((*entries, *row[0].record.metrics)):
        if all(name in cell.record.metrics for pair in row for cell in (pair.base, pair.head) if cell is not None):
            entry = entries.get(name, {})
            yield MetricInfo(name, entry.get("higher_is_better"), bool(entry.get("percent", False)))


def _lost(row: Sequence[Pair]) -> Iterator[Finding]:
    """A metric that the base has and the head lacks."""
    for pair in row:
        assert pair.base is not None and pair.head is not None
        for name in pair.base.record.metrics.keys() - pair.head.record.metrics.keys():
            yield Finding("quality", REGRESSION, pair.cell, f"the metric {name} is missing in HEAD")
