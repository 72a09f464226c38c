"""What a table shows, whatever it is drawn with: header facts, columns of strings, and the sentences below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports import figures
from reports.rows import Baseline, MetricInfo, Row, Table, uninformative

FLOPS_NOTE = (
    "FLOPs are theoretical: two per multiply-add, one example at the task's lengths, each layer's dense FLOPs times "
    "the density of its weight, all else as it is. They are not a speed-up: dense kernels run zeros at full cost."
)
SHOWN_FAILURES = 8
SHOWN_COLLAPSES = 5
SHORT_KEY = 8
"""Digits of a cell's key that footnotes print; ``bench show`` finds the cell by them."""


@dataclass(frozen=True)
class Column:
    """A title and one string a line."""

    title: str
    cells: tuple[str, ...]
    left: bool = False


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


def facts(table: Table) -> list[tuple[str, str]]:
    """The header: names and what they say."""
    kind = str(table.data.get("kind", ""))
    counts = ", ".join(f"{count:,} {name}" for name, count in dict(table.data.get("counts", {})).items())
    seeds = f"{len(table.seeds)} seed{'s' if len(table.seeds) != 1 else ''} ({figures.ranges(table.seeds)})"
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
    side = "below" if lead.higher_is_better is False else "above"
    reached, floor = figures.metric(row.metrics[lead.name], lead), figures.number(row.floor[lead.name], lead)
    percent = " %" if lead.percent else ""
    return (
        f"not informative: {row.label} reaches {lead.name} {reached}{percent}, "
        f"not clearly {side} chance ({floor}{percent})"
    )


def data_kind(name: str, kind: str) -> str:
    """Which data it was, so that no one takes the sample for the real thing."""
    said = {
        "sample": "the embedded synthetic sample, not the real data",
        "subset": "a subset of the official release",
        "whole": "the whole official release",
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
    blank = ("",) * len(baselines)
    divisor, unit = figures.flops_scale([row.dense_flops for row in rows] + [row.flops for row in rows])
    asked = figures.sparsities([row.target for row in rows if row.iteration is None])
    targets = [f"#{row.iteration}" if row.iteration is not None else asked.pop(0) for row in rows]
    names = [
        Column("pruner", (*(row.label for row in rows), *(baseline.label for baseline in baselines)), left=True),
        Column("target", (*targets, *blank)),
    ]
    sparsity = [
        Column("sparsity", (*_reached(rows, [row.sparsity for row in rows]), *blank)),
        Column("total", (*_reached(rows, [row.total_sparsity for row in rows]), *blank)),
    ]
    cost = [
        Column(unit, (*(_done(row, figures.flops(row.flops, divisor)) for row in rows), *blank)),
        Column("fewer", (*(_done(row, figures.times(row.times_fewer)) for row in rows), *blank)),
    ]
    if _budgets_differ(table):
        cost.append(Column("steps", (*(_done(row, figures.steps(row.train_steps)) for row in rows), *blank)))
    if any(len(row.seeds) != len(table.seeds) for row in rows):
        cost.append(Column("seeds", (*(f"{len(row.seeds)}/{len(table.seeds)}" for row in rows), *blank)))
    if any(row.collapsed or row.failures for row in rows):
        cost.append(Column("", (*(_marks(row) for row in rows), *blank), left=True))
    lead = _lead(table) if table.metrics else []
    others = [_metric(table, info) for info in table.metrics[1:]]
    return Layout(tuple(names), tuple(sparsity), tuple(lead), tuple(others), tuple(cost), _breaks(table))


def footer(table: Table) -> list[str]:
    """The sentences below: marks, failures, notes of the baselines and the task, and what FLOPs are."""
    rows = table.rows
    found = [
        "sparsity: zeros / prunable weights. total: zeros / all parameters. Δ dense: minus dense at the same seed. "
        "fewer: dense FLOPs / FLOPs."
    ]
    sizes = dict.fromkeys((row.prunable, row.parameters) for row in rows if row.parameters and row.prunable is not None)
    if sizes:
        found.append("Prunable: " + "; ".join(f"{prunable:,} of {all_:,} parameters" for prunable, all_ in sizes) + ".")
    if any(row.total_sparsity and round(row.total_sparsity, 4) == 0 for row in rows):
        found.append("A total of 0.0000 is above zero, and below 0.00005.")
    if _budgets_differ(table):
        found.append("steps: training steps on a cell's own path, shared ones included.")
    if any(row.iteration is not None for row in rows):
        found.append("#n: the n-th iteration of a pruner that finds its own sparsity.")
    found += _unreferenced(table)
    found += _collapses(table)
    if any(row.failures for row in rows):
        found.append("✗n: n cells failed; the figures of the line are those of the other seeds.")
    if len(table.seeds) > 1 and any(len(row.seeds) == 1 for row in rows):
        found.append("A figure without ± is of one seed.")
    found += _undecided(table)
    failures = [(row, record) for row in rows for record in row.failures]
    for row, record in failures[:SHOWN_FAILURES]:
        found.append(f"✗ {row.label} at {record.goal_name}, seed {record.seed}: {why(record.failure)}")
    if len(failures) > SHOWN_FAILURES:
        found.append(f"✗ and {len(failures) - SHOWN_FAILURES} more: 'bench status' lists them.")
    if table.repeated:
        found.append(f"{table.repeated} records repeat the seed of a line under another key and are left out.")
    found += [f"{baseline.label}: {baseline.note}" for baseline in table.baselines if baseline.note]
    return [*found, *table.notes, FLOPS_NOTE]


BASELINE = "random"
"""The pruner that any other must beat."""
UNHURT = 0.01
"""Share of the dense metric that random pruning may lose and still be said to lose nothing."""


def _undecided(table: Table) -> list[str]:
    """A sentence where random pruning keeps the dense metric: there the table cannot tell criteria apart."""
    dense = [row for row in table.rows if row.dense]
    if len(dense) != 1 or not table.metrics:
        return []
    lead = table.metrics[0]
    best = dense[0].metrics.get(lead.name)
    if best is None:
        return []
    sign = 1 if lead.higher_is_better else -1
    kept = [
        row.target
        for row in table.rows
        if row.pruner == BASELINE and row.target and lead.name in row.metrics
        and sign * (row.metrics[lead.name].mean - best.mean) >= -UNHURT * abs(best.mean)
    ]  # fmt: skip
    if not kept:
        return []
    where = ", ".join(f"{target:g}" for target in sorted(set(kept)))
    return [
        f"At {where} random pruning keeps {1 - UNHURT:.0%} of the dense {lead.name} or more: what is pruned matters "
        "little there, and the table does not tell criteria apart."
    ]


def _budgets_differ(table: Table) -> bool:
    """Whether some rows were trained longer than others, failed ones left aside."""
    return len({figures.steps(row.train_steps) for row in table.rows if row.seeds}) > 1


def _unreferenced(table: Table) -> list[str]:
    """A sentence where seeds have no difference to dense, and why."""
    if not table.metrics:
        return []
    lead = table.metrics[0].name
    pruned = [row for row in table.rows if not row.dense and lead in row.metrics]
    paired = [row.differences[lead].n if lead in row.differences else 0 for row in pruned]
    if all(pairs == row.metrics[lead].n for row, pairs in zip(pruned, paired, strict=True)):
        return []
    failed = any(row.failures for row in table.rows if row.dense)
    reason = "failed" if failed else "is missing (not computed yet, or its record is damaged)"
    which = "is empty" if not any(paired) else "leaves out seeds, or is empty,"
    return [f"Δ dense {which} where the dense reference {reason}."]


def _collapses(table: Table) -> list[str]:
    """What the mark says, and for each line that has it the first cell concerned."""
    rows = [row for row in table.rows if row.collapses]
    if not rows:
        return []
    cells = [
        f"†: {row.label} at {row.collapses[0].goal_name} seed {row.collapses[0].seed}: "
        f"bench show {row.collapses[0].key[:SHORT_KEY]}"
        for row in rows[:SHOWN_COLLAPSES]
    ]
    more = [f"†: and {len(rows) - SHOWN_COLLAPSES} more."] * (len(rows) > SHOWN_COLLAPSES)
    return ["†n: n layers collapsed (no weight left, in one seed at least). These commands name them:", *cells, *more]


def why(failure: object) -> str:
    """A failure in one line: its error, its step and the place of its log."""
    error, step, log = (getattr(failure, part, None) for part in ("error", "step", "log"))
    said = " ".join(str(error or "no reason recorded").split()).rstrip(".")
    return said + (f" ({step})" if step else "") + (f", see {log}" if log else "")


def _digest(table: Table) -> str:
    return str(table.data.get("digest", ""))[:12] or "unknown"


def _lead(table: Table) -> list[Column]:
    info = table.metrics[0]
    differences = [
        "" if row.dense else _done(row, figures.metric(row.differences.get(info.name), info, signed=True))
        for row in table.rows
    ]
    return [_metric(table, info, lead=True), Column("Δ dense", (*differences, *("" for _ in table.baselines)))]


def _metric(table: Table, info: MetricInfo, *, lead: bool = False) -> Column:
    rows = [
        figures.metric(row.metrics.get(info.name), info) if row.seeds else ("failed" if lead else "")
        for row in table.rows
    ]
    baselines = [_value(baseline, info) for baseline in table.baselines]
    return Column(figures.heading(info), (*rows, *baselines))


def _value(baseline: Baseline, info: MetricInfo) -> str:
    return figures.number(baseline.metrics[info.name], info) if info.name in baseline.metrics else figures.NOTHING


def _reached(rows: Sequence[Row], values: Sequence[float | None]) -> list[str]:
    return [_done(row, text) for row, text in zip(rows, figures.sparsities(values), strict=True)]


def _done(row: Row, text: str) -> str:
    """``text``, or nothing on a line whose every cell failed."""
    return text if row.seeds else ""


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
