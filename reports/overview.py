"""What the cross-task figure shows: how far each pruner keeps each task's dense metric, and its retention."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reports.answers import SHARES, UNSPECIFIED, Answer, answers
from reports.curves import Series, point
from reports.retention import Curve, Kept, band, points
from reports.table import MetricInfo, Row, Table


@dataclass(frozen=True)
class Safe:
    """One pruner on one task: up to which sparsity it keeps a share of the dense metric."""

    pruner: str
    """Its name alone, by which ``reports.palette`` gives it colour and marker."""
    answer: Answer

    @property
    def strict(self) -> Kept | None:
        """At the higher share."""
        return self.answer.kept.get(SHARES[0])

    @property
    def lenient(self) -> Kept | None:
        """At the lower share."""
        return self.answer.kept.get(SHARES[1])


@dataclass(frozen=True)
class Panel:
    """One task in one setting."""

    family: str
    task: str
    setting: str
    sample: bool
    """Whether the data is the embedded sample."""
    metric: str
    informative: bool
    """Whether the dense model clearly beats chance."""
    safe: tuple[Safe, ...]
    """By rank."""
    retention: tuple[Series, ...]
    """Metric / dense metric (its inverse where lower is better) over sparsity; 0 where every cell failed."""


def overview(tables: Sequence[Table]) -> list[Panel]:
    """In the order of the cross-task table, whose answers these are."""
    found = [panel for table in tables for panel in _panels(table)]
    return sorted(found, key=lambda p: (p.family == UNSPECIFIED, p.family, p.safe[0].answer.place))


def _panels(table: Table) -> list[Panel]:
    by_setting: dict[str, list[Answer]] = {}
    for answer in answers([table]):
        by_setting.setdefault(answer.setting, []).append(answer)
    return [_panel(table, setting, found) for setting, found in by_setting.items()]


def _panel(table: Table, setting: str, found: Sequence[Answer]) -> Panel:
    rows = [row for row in table.rows if row.setting == setting]
    lines = {answer.pruner: [row for row in rows if row.line == answer.pruner] for answer in found}
    return Panel(
        found[0].family,
        table.task,
        setting,
        table.data.get("kind") == "sample",
        found[0].metric,
        found[0].informative,
        tuple(Safe(lines[answer.pruner][0].pruner, answer) for answer in found),
        tuple(
            _retention(answer.pruner, lines[answer.pruner], answer.curve, table.metrics[0])
            for answer in found
            if answer.curve is not None
        ),
    )


def _retention(line: str, rows: Sequence[Row], found: Curve, metric: MetricInfo) -> Series:
    ends = band(found)
    drawn = [
        replace(
            point(row, "", float(found.sparsity[i])),
            mean=float(found.retention[-1, i]),
            low=float(ends[0][i]) if ends else None,
            high=float(ends[1][i]) if ends else None,
            seeds=len(row.seeds),
        )
        for i, row in enumerate(points(rows, metric))
    ]
    return Series(rows[0].pruner, line, tuple(drawn))
