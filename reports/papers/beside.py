"""Measured figures beside published ones, with a verdict on each.

The rule. A figure compares only where it stands on the same kind of data as the published one, under the preset
``paper``, and nothing that the source leaves unsaid is in doubt; else it is **not comparable**. With T the table's
tolerance and the 95 % interval of the mean over seeds:

- **contradicted**: the whole interval lies further than T from the published figure;
- **reproduced**: the mean lies within T of it, and half the interval's width is at most T;
- **undecided**: neither, one seed (which has no interval) among them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isclose

from bench.record import Record
from reports import identity
from reports.estimates import Estimate, estimate
from reports.figures import seeds_told
from reports.papers.published import FLOPS, PRESET, Column, Paper, Value

REPRODUCED, CONTRADICTED, UNDECIDED, NOT_COMPARABLE = "reproduced", "contradicted", "undecided", "not comparable"
VERDICTS = (REPRODUCED, CONTRADICTED, UNDECIDED, NOT_COMPARABLE)
KINDS = ("whole", "subset", "sample")


@dataclass(frozen=True)
class Figure:
    """One published figure, and ours."""

    labels: tuple[Value, ...]
    """What its row is known by."""
    column: Column
    published: float | None
    measured: Estimate | None
    """In the table's unit; None where there is no finished cell."""
    failed: tuple[str, ...]
    """Keys of the cells that failed."""
    verdict: str
    """Empty where there is nothing to judge."""
    reason: str = ""
    """Why it is not comparable or undecided."""

    @property
    def difference(self) -> float | None:
        """Measured minus published."""
        if self.measured is None or self.published is None:
            return None
        return self.measured.mean - self.published


@dataclass(frozen=True)
class Beside:
    """A published table with what was measured."""

    paper: Paper
    figures: tuple[Figure, ...]
    settings: tuple[str, ...]
    """Data, preset and seeds of the measured figures, in words."""
    left_out: int
    """Cells of the paper's tasks on other data or presets than those shown."""

    def count(self, verdict: str) -> int:
        return sum(figure.verdict == verdict for figure in self.figures)


def beside(paper: Paper, records: Iterable[Record]) -> Beside:
    """The paper's figures with those of ``records`` that answer to them."""
    asked = {name: str(value) for name, value in paper.where.items()}
    concerned = [
        record
        for record in records
        if record.task in paper.tasks and all(str(record.options.get(name)) == value for name, value in asked.items())
    ]
    chosen = [record for task in paper.tasks for record in _nearest([r for r in concerned if r.task == task])]
    figures = tuple(_figure(paper, row, index, chosen) for row in paper.rows for index in _figures(paper))
    return Beside(paper, figures, _settings(chosen), len(concerned) - len(chosen))


def _figures(paper: Paper) -> list[int]:
    return [index for index, column in enumerate(paper.columns) if column.metric is not None]


def _nearest(records: Sequence[Record]) -> list[Record]:
    """Of records on several data sets or presets those nearest to a paper's: whole data before parts of it, the preset
    ``paper`` before others, then where there are most."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        place = tuple(str(record.data.get(part, "")) for part in ("kind", "name", "digest"))
        groups.setdefault((*place, record.preset), []).append(record)
    if not groups:
        return []
    return groups[min(groups, key=lambda name: (_distance(name[0]), name[-1] != PRESET, -len(groups[name]), name))]


def _distance(kind: str) -> int:
    return KINDS.index(kind) if kind in KINDS else len(KINDS)


def _figure(paper: Paper, row: Sequence[Value], index: int, records: Sequence[Record]) -> Figure:
    column = paper.columns[index]
    labels = tuple(value for value, other in zip(row, paper.columns, strict=True) if other.row is not None)
    given = row[index]
    published = None if isinstance(given, str) else float(given)
    cells = _one_setting([record for record in records if _answers(paper, row, column, record)])
    done = [record for record in cells if record.status == "done"]
    measured = estimate([value * column.scale for record in done if (value := _value(record, column)) is not None])
    verdict, reason = "", ""
    if measured is not None and published is not None:
        verdict, reason = judge(paper, column, published, measured, done[0])
    failed = tuple(record.key for record in cells if record.status != "done")
    return Figure(labels, column, published, measured, failed, verdict, reason)


def judge(paper: Paper, column: Column, published: float, measured: Estimate, record: Record) -> tuple[str, str]:
    """The verdict on a figure, and why where that is not plain."""
    doubt = column.doubt or paper.doubt
    kind = str(record.data.get("kind", ""))
    reasons = [] if doubt is None else [doubt.rstrip(".")]
    if kind != paper.data:
        reasons.append(f"measured on a {kind} of the data" if kind in KINDS else "measured on other data")
    if record.preset != PRESET:
        reasons.append(f"measured with the preset {record.preset}")
    if reasons:
        return NOT_COMPARABLE, "; ".join(reasons)
    if measured.half_width is None:
        return UNDECIDED, "one seed has no interval"
    tolerance = paper.tolerance if column.tolerance is None else column.tolerance
    away = abs(measured.mean - published)
    if away - measured.half_width > tolerance:
        return CONTRADICTED, ""
    if away <= tolerance and measured.half_width <= tolerance:
        return REPRODUCED, ""
    return UNDECIDED, "the interval is too wide, or touches the tolerance"


def _answers(paper: Paper, row: Sequence[Value], column: Column, record: Record) -> bool:
    """Whether a record is a cell behind the row's figure in this column."""
    if record.task != (column.task or paper.tasks[0]) or not _is_model(column.model, record):
        return False
    known = {str(other.row): value for value, other in zip(row, paper.columns, strict=True) if other.row is not None}
    goal = _sparsity(known)
    if goal == 0 or column.pruner == "dense":
        found = identity.is_dense(record)
    else:
        found = record.pruner == column.pruner and (goal is None or isclose(record.goal, goal, abs_tol=1e-9))
    others = {name: value for name, value in known.items() if name not in ("exponent", "sparsity", "label")}
    return found and all(
        _is_model(str(value), record) if name == "model" else str(record.options.get(str(name))) == str(value)
        for name, value in others.items()
    )


def _sparsity(known: Mapping[str, Value]) -> float | None:
    if isinstance(exponent := known.get("exponent"), int | float):
        return float(1 - 10**-exponent)
    return float(sparsity) if isinstance(sparsity := known.get("sparsity"), int | float) else None


def _is_model(name: str | None, record: Record) -> bool:
    """A hub id answers to its last part: ``t5-small`` is ``google-t5/t5-small``."""
    return name is None or record.model == name or record.model.rpartition("/")[2] == name


def _one_setting(records: Sequence[Record]) -> list[Record]:
    """Of cells in several settings those of the one with the most seeds; one a seed."""
    groups: dict[tuple[identity.Facts, tuple[str, ...], identity.Facts], dict[int, Record]] = {}
    for record in sorted(records, key=lambda record: (record.status, record.key)):
        name = (identity.setting(record), identity.recipe(record), identity.path(record))
        groups.setdefault(name, {}).setdefault(record.seed, record)
    if not groups:
        return []
    return list(groups[min(groups, key=lambda name: (-len(groups[name]), name))].values())


def _value(record: Record, column: Column) -> float | None:
    if column.metric == FLOPS:
        return record.flops / record.dense_flops if record.dense_flops and record.flops is not None else None
    return record.metrics.get(column.metric or "")


def _settings(records: Sequence[Record]) -> tuple[str, ...]:
    found: dict[str, set[int]] = {}
    for record in records:
        data = f"{record.data.get('name', 'unknown data')} ({record.data.get('kind', 'unknown')})"
        found.setdefault(f"{record.task}: {data}, preset {record.preset}", set()).add(record.seed)
    return tuple(f"{place}, {seeds_told([*seeds])}" for place, seeds in found.items())
