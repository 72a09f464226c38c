"""The sentences below a table: its marks, failures, what stands behind its figures, and what FLOPs are not."""

from __future__ import annotations

from reports.layout import budgets_differ
from reports.table import LEVEL, Table, uninformative

FLOPS_NOTE = (
    "FLOPs are theoretical: two per multiply-add, one example at the task's lengths, each layer's dense FLOPs times "
    "the density of its weight, all else as it is. They are not a speed-up: dense kernels run zeros at full cost."
)
SHOWN_FAILURES = 8
SHOWN_COLLAPSES = 5
SHORT_KEY = 8
"""Digits of a cell's key that footnotes print; ``bench show`` finds the cell by them."""


def footer(table: Table, best: str, *, commands: bool = True) -> list[str]:
    """The sentences below: marks, failures, notes of the baselines and the task, and what FLOPs are.

    ``best`` says how the best figures are marked; without ``commands`` none that show a cell are named.
    """
    rows = table.rows
    found = [
        "sparsity: zeros / prunable weights. total: zeros / all parameters. Δ dense: minus dense at the same seed. "
        "fewer: dense FLOPs / FLOPs."
    ]
    found += _sizes(table)
    if any(row.total_sparsity and round(row.total_sparsity, 4) == 0 for row in rows):
        found.append("A total of 0.0000 is above zero, and below 0.00005.")
    if budgets_differ(table):
        found.append("steps: training steps on a cell's own path, shared ones included.")
    if any(row.iteration is not None for row in rows):
        found.append("#n: the n-th iteration of a pruner that finds its own sparsity.")
    if any(row.best for row in rows):
        found.append(f"{best}: the best mean of the pruners at that target.")
    found += _tests(table)
    found += _unreferenced(table)
    found += _collapses(table, commands)
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


def _sizes(table: Table) -> list[str]:
    """How many parameters can be pruned, of each setting by its name where they differ."""
    settings: dict[str, list[str]] = {}
    for row in table.rows:
        if row.parameters and row.prunable is not None:
            of = settings.setdefault(f"{row.prunable:,} of {row.parameters:,} parameters", [])
            of += [row.setting] * (row.setting not in of)
    if not settings:
        return []
    told = [f"{', '.join(of)}: {size}" if len(settings) > 1 and any(of) else size for size, of in settings.items()]
    return [f"Prunable: {'; '.join(told)}."]


def _tests(table: Table) -> list[str]:
    """What a star is, and over what was tested."""
    tested = [row.evidence for row in table.rows if row.evidence]
    if not tested:
        return []
    values = [evidence for evidence in tested if evidence.examples > 1]
    over = "seeds and per-example values" if values else "seeds alone, per-example values are missing"
    if values and len(values) < len(tested):
        over += " (of some rows over seeds alone)"
    if all(evidence.seeds == 1 for evidence in tested):
        over = "per-example values; it speaks for this one seed"
    return [
        f"*: differs from dense, p ≤ {LEVEL:g} in a paired t test over {over}; Holm's correction for the "
        f"{len(tested)} {'test' if len(tested) == 1 else 'tests'} of the table. No star is no evidence, not equality."
    ]


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
    if best is None or not best.mean or uninformative(table):
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
        f"At {where} random pruning keeps {100 * (1 - UNHURT):g} % of the dense {lead.name} or more: "
        "what is pruned matters little there, and the table does not tell criteria apart."
    ]


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


def _collapses(table: Table, commands: bool) -> list[str]:
    """What the mark says, and for each line that has it the first cell concerned."""
    rows = [row for row in table.rows if row.collapses]
    said = "†n: n layers collapsed (no weight left, in one seed at least)."
    if not rows or not commands:
        return [said] if rows else []
    cells = [
        f"†: {row.label} at {row.collapses[0].goal_name} seed {row.collapses[0].seed}: "
        f"bench show {row.collapses[0].key[:SHORT_KEY]}"
        for row in rows[:SHOWN_COLLAPSES]
    ]
    more = [f"†: and {len(rows) - SHOWN_COLLAPSES} more."] * (len(rows) > SHOWN_COLLAPSES)
    return [f"{said} These commands name them:", *cells, *more]


def why(failure: object) -> str:
    """A failure in one line: its error, its step and the place of its log."""
    error, step, log = (getattr(failure, part, None) for part in ("error", "step", "log"))
    said = " ".join(str(error or "no reason recorded").split()).rstrip(".")
    return said + (f" ({step})" if step else "") + (f", see {log}" if log else "")
