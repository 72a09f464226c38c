"""What a table shows, whatever it is drawn with: the facts above it and its columns of strings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from reports import figures
from reports.estimates import Estimate
from reports.table import Baseline, MetricInfo, Row, Table, nothing, uninformative


@dataclass(frozen=True)
class Column:
    """A title and one string a line."""

    title: str
    cells: tuple[str, ...]
    left: bool = False
    best: frozenset[int] = frozenset()
    """Lines whose cell is the best at its target."""
    starred: frozenset[int] = frozenset()
    """Lines whose cell is a significant difference."""
    values: tuple[float | None, ...] = ()
    """The numbers that the cells show, unrounded, at the records' scale; empty for text."""


@dataclass(frozen=True)
class Layout:
    """The columns of a table. The lines are its rows, then its baselines."""

    names: tuple[Column, ...]
    """Which line it is: pruner and target."""
    sparsity: tuple[Column, ...]
    lead: tuple[Column, ...]
    """The leading metric and its difference to dense."""
    others: tuple[Column, ...]
    """The other metrics."""
    cost: tuple[Column, ...]
    """FLOPs, training steps where they differ, and the marks."""
    breaks: tuple[int, ...]
    """Lines above which a rule is drawn."""


@dataclass(frozen=True)
class Block:
    """A smaller table beside the main ones: what stands above and below it, a sentence each."""

    heading: str
    columns: tuple[Column, ...]
    above: tuple[str, ...] = ()
    below: tuple[str, ...] = ()
    breaks: tuple[int, ...] = ()


def facts(table: Table) -> list[tuple[str, str]]:
    """The header: names and what they say."""
    kind = str(table.data.get("kind", ""))
    counts = ", ".join(f"{count:,} {name}" for name, count in dict(table.data.get("counts", {})).items())
    seeds = figures.seeds_told(table.seeds)
    spread = "mean ±95 % CI over seeds" if len(table.seeds) > 1 else "one seed: no confidence interval"
    found = [
        ("model", f"{', '.join(table.models)} · preset {', '.join(table.presets)} · task version {table.version}"),
        ("data", f"{data_kind(str(table.data.get('name', '')), kind)}: {counts} · digest {_digest(table)}"),
        ("metric", f"{directions(table.metrics)} · {spread}"),
        ("n", f"{' or '.join(f'{n:,}' for n in table.n) or 0} examples evaluated · {seeds}"),
    ]
    if table.machines:
        found.append(("device", "; ".join(table.machines)))
    return [*found, *(("warning", _warning(row, table.metrics[0])) for row in uninformative(table))]


def heading(table: Table) -> str:
    """Name and title of the task."""
    return f"{table.task} · {table.title}" if table.title else table.task


def _warning(row: Row, lead: MetricInfo) -> str:
    percent = " %" if lead.percent else ""
    said = f"not informative: {row.label} reaches {lead.name} {figures.metric(row.metrics[lead.name], lead)}{percent}"
    if nothing(row, lead):
        seeds = " in one seed at least" if len(row.seeds) > 1 else ""
        return f"{said}, not above 0{seeds}: no share of it can be told"
    side = "below" if lead.higher_is_better is False else "above"
    return f"{said}, not clearly {side} chance ({figures.number(row.floor[lead.name], lead)}{percent})"


def data_kind(name: str, kind: str) -> str:
    """Which data it was, so that no one takes the sample for the real thing."""
    said = {
        "sample": "the embedded synthetic sample, not the real data",
        "subset": "a subset of the official release",
        "whole": "the whole official release",
        "changed": "as many rows as the official release, other content",
    }
    return f"{name}, {said.get(kind, kind)}" if name else said.get(kind, kind)


def directions(metrics: Sequence[MetricInfo]) -> str:
    """The metrics by direction, the leading one first."""
    groups: dict[str, list[str]] = {}
    for info in metrics:
        said = {True: "higher is better", False: "lower is better", None: "direction not recorded"}
        groups.setdefault(said[info.higher_is_better], []).append(f"{info.name}{' in %' if info.percent else ''}")
    return "; ".join(f"{', '.join(names)}: {said}" for said, names in groups.items())


def layout(table: Table) -> Layout:
    """The columns of ``table``."""
    rows, baselines = table.rows, table.baselines
    unit, flops = figures.flops_column([row.flops for row in rows], [row.dense_flops for row in rows])
    asked = figures.sparsities([row.target for row in rows if row.iteration is None])
    targets = [f"#{row.iteration}" if row.iteration is not None else asked.pop(0) for row in rows]
    names = [
        Column("pruner", (*(row.label for row in rows), *(baseline.label for baseline in baselines)), left=True),
        _column(table, "target", targets, lambda row: row.target),
    ]
    reached, total = [row.sparsity for row in rows], [row.total_sparsity for row in rows]
    sparsity = [
        _column(table, "sparsity", _reached(rows, reached), lambda row: row.sparsity),
        _column(table, "total", _reached(rows, total), lambda row: row.total_sparsity),
    ]
    cost = [
        _column(table, unit, [_done(row, text) for row, text in zip(rows, flops, strict=True)], lambda row: row.flops),
        _column(
            table, "fewer", [_done(row, figures.times(row.times_fewer)) for row in rows], lambda row: row.times_fewer
        ),
    ]
    if budgets_differ(table):
        steps = [_done(row, figures.steps(row.train_steps)) for row in rows]
        cost.append(_column(table, "steps", steps, lambda row: row.train_steps))
    if any(len(row.seeds) != len(table.seeds) for row in rows):
        counts = [f"{len(row.seeds)}/{len(table.seeds)}" for row in rows]
        cost.append(_column(table, "seeds", counts, lambda row: float(len(row.seeds))))
    if any(row.collapsed or row.failures for row in rows):
        cost.append(Column("", (*(_marks(row) for row in rows), *("" for _ in baselines)), left=True))
    lead = _lead(table) if table.metrics else []
    others = [_metric(table, info) for info in table.metrics[1:]]
    return Layout(tuple(names), tuple(sparsity), tuple(lead), tuple(others), tuple(cost), _breaks(table))


def split(shown: Layout, fits: Callable[[Sequence[Column]], bool]) -> Iterator[list[Column]]:
    """One table of all columns where it fits, else the other metrics in tables of their own behind the first, and of
    the costs what the first has no room for; marks stay in the first."""
    everything = [*shown.names, *shown.sparsity, *shown.lead, *shown.others, *shown.cost]
    if fits(everything):
        yield everything
        return
    first, marks = [*shown.names, *shown.sparsity, *shown.lead], [column for column in shown.cost if not column.title]
    costs = [column for column in shown.cost if column.title]
    room = next((n for n in range(len(costs), 0, -1) if fits([*first, *costs[:n], *marks])), 0)
    yield [*first, *costs[:room], *marks]
    pending: list[Column] = []
    for column in [*costs[room:], *shown.others]:
        if pending and not fits([*shown.names, *pending, column]):
            yield [*shown.names, *pending]
            pending = []
        pending.append(column)
    if pending:
        yield [*shown.names, *pending]


def _column(table: Table, title: str, cells: Sequence[str], value: Callable[[Row], float | None]) -> Column:
    """Of what rows have and baselines have not."""
    blank = len(table.baselines)
    return Column(title, (*cells, *[""] * blank), values=(*(value(row) for row in table.rows), *[None] * blank))


def budgets_differ(table: Table) -> bool:
    """Whether some rows were trained longer than others, failed ones left aside."""
    return len({figures.steps(row.train_steps) for row in table.rows if row.seeds}) > 1


def _digest(table: Table) -> str:
    return str(table.data.get("digest", ""))[:12] or "unknown"


def _lead(table: Table) -> list[Column]:
    info = table.metrics[0]
    differences = [
        "" if row.dense else _done(row, figures.metric(row.differences.get(info.name), info, signed=True))
        for row in table.rows
    ]
    starred = frozenset(i for i, row in enumerate(table.rows) if row.evidence and row.evidence.significant)
    column = _column(table, "Δ dense", differences, lambda row: _mean(row.differences.get(info.name)))
    return [_metric(table, info, lead=True), replace(column, starred=starred)]


def _metric(table: Table, info: MetricInfo, *, lead: bool = False) -> Column:
    rows = [
        figures.metric(row.metrics.get(info.name), info) if row.cells else ("failed" if lead else "")
        for row in table.rows
    ]
    baselines = [_value(baseline, info) for baseline in table.baselines]
    best = frozenset(i for i, row in enumerate(table.rows) if info.name in row.best)
    values = (
        *(_mean(row.metrics.get(info.name)) for row in table.rows),
        *(baseline.metrics.get(info.name) for baseline in table.baselines),
    )
    return Column(figures.heading(info), (*rows, *baselines), best=best, values=values)


def _mean(found: Estimate | None) -> float | None:
    return None if found is None else found.mean


def _value(baseline: Baseline, info: MetricInfo) -> str:
    return figures.number(baseline.metrics[info.name], info) if info.name in baseline.metrics else figures.NOTHING


def _reached(rows: Sequence[Row], values: Sequence[float | None]) -> list[str]:
    return [_done(row, text) for row, text in zip(rows, figures.sparsities(values), strict=True)]


def _done(row: Row, text: str) -> str:
    """``text``, or nothing on a line whose every cell failed."""
    return text if row.cells else ""


def _marks(row: Row) -> str:
    collapsed = f"†{len(row.collapsed)}" if row.collapsed else ""
    failed = f"✗{len(row.failures)}" if row.failures else ""
    return " ".join(part for part in (collapsed, failed) if part)


def _breaks(table: Table) -> tuple[int, ...]:
    """After a dense line and before the baselines; between pruners too where one of them has several lines."""
    rows = table.rows
    changes = [i for i in range(1, len(rows)) if rows[i].label != rows[i - 1].label]
    crowded = any(rows[i].label == rows[i - 1].label for i in range(1, len(rows)))
    shown = [i for i in changes if crowded or rows[i].dense != rows[i - 1].dense]
    return (*shown, len(rows)) if table.baselines and rows else tuple(shown)
