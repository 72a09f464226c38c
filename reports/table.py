"""What a table is, before anything draws it: rows, baselines, and the facts they stand on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.record import DENSE, Record
from reports.estimates import Estimate


@dataclass(frozen=True)
class MetricInfo:
    """A metric's name, direction (None where the record does not tell) and whether tables print it times 100."""

    name: str
    higher_is_better: bool | None = None
    percent: bool = False


LEVEL = 0.05
"""Adjusted p-values up to this are marked."""


@dataclass(frozen=True)
class Evidence:
    """The paired test of a row's leading metric against dense."""

    p: float
    """Adjusted for all rows of the table by Holm's method."""
    unadjusted: float
    seeds: int
    examples: int
    """Examples behind it; 1 where only the seeds' metrics were there to compare."""

    @property
    def significant(self) -> bool:
        return self.p <= LEVEL


@dataclass(frozen=True)
class Row:
    """One (setting, pruner, when, allocation, structure, target), over its seeds."""

    label: str
    pruner: str
    target: float
    """Target sparsity, or the number of the iteration."""
    iteration: int | None
    cells: tuple[Record, ...]
    """Cells that are done, by seed."""
    failures: tuple[Record, ...]
    """Cells that failed."""
    sparsity: float | None
    total_sparsity: float | None
    metrics: Mapping[str, Estimate]
    differences: Mapping[str, Estimate]
    """Metric minus the dense reference's at the same seed, over the seeds that both have; empty for the reference."""
    dense_flops: float | None
    flops: float | None
    dense_bytes: float | None
    compressed_bytes: float | None
    train_steps: float | None
    """Training steps on a cell's own path, shared ones included."""
    parameters: int | None
    prunable: int | None
    collapsed: tuple[str, ...]
    """Layers without a weight left, in one seed at least."""
    collapses: tuple[Record, ...]
    """Cells with such a layer, by seed."""
    n: tuple[int, ...]
    """Examples evaluated; several where they differ between seeds."""
    floor: Mapping[str, float] = field(default_factory=dict)
    """What chance alone reaches, by metric, where the records tell."""
    setting: str = ""
    """What sets the row's model, options or training apart from other rows of the table; rows share it with the dense
    reference that they are compared to."""
    evidence: Evidence | None = None
    """None for the reference, and where nothing could be tested."""
    line: str = ""
    """Pruner and recipe, as other tasks and settings name them too."""
    best: frozenset[str] = frozenset()
    """Metrics in which no other pruner at this target is better."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds whose cell is done."""
        return tuple(record.seed for record in self.cells)

    @property
    def dense(self) -> bool:
        return self.pruner == DENSE

    @property
    def times_fewer(self) -> float | None:
        """Dense FLOPs / effective FLOPs; infinite where nothing is left to compute."""
        if self.flops is None or not self.dense_flops:
            return None
        return self.dense_flops / self.flops if self.flops else float("inf")


@dataclass(frozen=True)
class Baseline:
    """A method without a network, measured on the table's data."""

    label: str
    metrics: Mapping[str, float]
    note: str = ""


@dataclass(frozen=True)
class Table:
    """All rows of one task on one data set."""

    task: str
    title: str
    version: int
    data: Mapping[str, Any]
    models: tuple[str, ...]
    presets: tuple[str, ...]
    metrics: tuple[MetricInfo, ...]
    """The first leads."""
    rows: tuple[Row, ...]
    baselines: tuple[Baseline, ...]
    seeds: tuple[int, ...]
    machines: tuple[str, ...]
    """Device and thread count, each pair once."""
    notes: tuple[str, ...]
    repeated: int = 0
    """Records left out because another of the same row and seed stands before them."""

    @property
    def n(self) -> tuple[int, ...]:
        """Examples evaluated, each count once."""
        return tuple(sorted({count for row in self.rows for count in row.n}))


def uninformative(table: Table) -> list[Row]:
    """Dense rows that do not clearly beat chance on the leading metric, or reach nothing of it in some seed.

    Clearly: beyond ``min(5 f, f + (1 - f) / 10)`` for a floor f of a metric where higher is better, below ``0.9 f``
    otherwise; the worse end of the confidence interval counts, the mean where there is one seed.
    """
    lead = table.metrics[0] if table.metrics else MetricInfo("")
    return [
        row
        for row in table.rows
        if row.dense and (nothing(row, lead) or (lead.name in row.floor and not _beats(row, lead)))
    ]


def nothing(row: Row, lead: MetricInfo) -> bool:
    """Whether the metric is not above 0 in some seed: no share of it can be told."""
    found = [record.metrics[lead.name] for record in row.cells if lead.name in record.metrics]
    return bool(found) and min(found) <= 0


def _beats(row: Row, lead: MetricInfo) -> bool:
    found, floor = row.metrics.get(lead.name), row.floor[lead.name]
    if found is None:
        return True
    margin = found.half_width or 0.0
    if lead.higher_is_better is False:
        return found.mean + margin < 0.9 * floor
    return found.mean - margin > (min(5 * floor, floor + (1 - floor) / 10) if floor < 1 else 1.1 * floor)
