"""Records to tables: one row a (setting, pruner, target), averaged over seeds, beside its dense reference.

What was measured on other data (name, kind or digest) or under another version of a task is another table.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from bench.record import DENSE, Record
from reports import identity
from reports.estimates import Estimate, average, estimate

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class MetricInfo:
    """A metric's name, direction (None where the record does not tell) and whether tables print it times 100."""

    name: str
    higher_is_better: bool | None = None
    percent: bool = False


@dataclass(frozen=True)
class Row:
    """One (setting, pruner, when, allocation, structure, target), over its seeds."""

    label: str
    pruner: str
    target: float
    """Target sparsity, or the number of the iteration."""
    iteration: int | None
    seeds: tuple[int, ...]
    """Seeds whose cell is done."""
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


def tables(records: Iterable[Record], references: Sequence[Mapping[str, Any]] = ()) -> list[Table]:
    """Tables in the order of task, version and data. ``references`` are as ``bench.store`` keeps them."""
    groups = _grouped(records, lambda record: (record.task, record.task_version, *_data(record)))
    return [_table(groups[key], references) for key in sorted(groups)]


def uninformative(table: Table) -> list[Row]:
    """Dense rows that do not clearly beat chance on the leading metric.

    Clearly: beyond ``min(5 f, f + (1 - f) / 10)`` for a floor f of a metric where higher is better, below ``0.9 f``
    otherwise; the worse end of the confidence interval counts, the mean where there is one seed.
    """
    lead = table.metrics[0] if table.metrics else MetricInfo("")
    return [row for row in table.rows if row.dense and lead.name in row.floor and not _beats(row, lead)]


def _beats(row: Row, lead: MetricInfo) -> bool:
    found, floor = row.metrics.get(lead.name), row.floor[lead.name]
    if found is None:
        return True
    margin = found.half_width or 0.0
    if lead.higher_is_better is False:
        return found.mean + margin < 0.9 * floor
    return found.mean - margin > (min(5 * floor, floor + (1 - floor) / 10) if floor < 1 else 1.1 * floor)


def _data(record: Record) -> tuple[str, str, str]:
    name, kind, digest = (str(record.data.get(part, "")) for part in ("name", "kind", "digest"))
    return name, kind, digest


def _table(records: Sequence[Record], references: Sequence[Mapping[str, Any]]) -> Table:
    kept = _one_a_seed(records)
    settings = identity.distinguishing(sorted({identity.setting(record) for record in kept}))
    rows = [
        row
        for setting in sorted(settings)
        for row in _rows([record for record in kept if identity.setting(record) == setting], settings[setting])
    ]
    first = kept[0]
    return Table(
        task=first.task,
        title=next((record.title for record in kept if record.title), ""),
        version=first.task_version,
        data=first.data,
        models=tuple(sorted({record.model for record in kept})),
        presets=tuple(sorted({record.preset for record in kept})),
        metrics=_metrics(kept),
        rows=tuple(rows),
        baselines=tuple(_baselines(kept, settings, references)),
        seeds=tuple(sorted({record.seed for record in kept})),
        machines=tuple(sorted({_machine(record) for record in kept} - {""})),
        notes=tuple(dict.fromkeys(note for record in kept for note in record.task_notes)),
        repeated=len(records) - len(kept),
    )


def _row_key(record: Record) -> tuple[Any, ...]:
    return identity.setting(record), identity.recipe(record), identity.target(record), identity.path(record)


def _one_a_seed(records: Iterable[Record]) -> list[Record]:
    """One record a (row, seed): a seed counts once. Done comes before failed, the dense pruner's own before others'."""
    ordered = sorted(records, key=lambda r: (r.pruner, r.goal, r.seed, r.status, r.pruner != DENSE, r.key))
    groups = _grouped(ordered, lambda record: (_row_key(record), record.seed))
    return [min(group, key=lambda r: (r.status != "done", r.pruner != DENSE, r.key)) for group in groups.values()]


def _rows(records: Sequence[Record], setting_label: str) -> list[Row]:
    """The rows of one setting: the dense reference, then the others by pruner and target."""
    dense = {r.seed: r for r in records if identity.is_dense(r) and r.status == "done"}
    cells = _grouped(records, lambda r: (not identity.is_dense(r), identity.recipe(r), identity.target(r)))
    rows = []
    for _, recipe, target in sorted(cells):
        paths = _grouped(cells[_, recipe, target], identity.path)
        labels = identity.distinguishing(sorted(paths))
        for path in sorted(paths):
            aside = ", ".join(part for part in (setting_label, labels[path]) if part)
            label = identity.recipe_label(recipe) + (f" [{aside}]" if aside else "")
            rows.append(_row(label, recipe[0], target, paths[path], dense))
    return rows


def _row(label: str, pruner: str, target: float, records: Sequence[Record], dense: Mapping[int, Record]) -> Row:
    done = sorted((record for record in records if record.status == "done"), key=lambda record: record.seed)
    paired = [(record, dense[record.seed]) for record in done if record.seed in dense and pruner != DENSE]
    first = done[0] if done else records[0]
    return Row(
        label=label,
        pruner=pruner,
        target=target,
        iteration=first.iteration,
        seeds=tuple(record.seed for record in done),
        failures=tuple(sorted((r for r in records if r.status != "done"), key=lambda r: r.seed)),
        sparsity=average([record.sparsity for record in done]),
        total_sparsity=average([record.total_sparsity for record in done]),
        metrics=_estimates([record.metrics for record in done]),
        differences=_estimates(
            [{name: r.metrics[name] - d.metrics[name] for name in r.metrics if name in d.metrics} for r, d in paired]
        ),
        dense_flops=average([record.dense_flops for record in done]),
        flops=average([record.flops for record in done]),
        dense_bytes=average([record.dense_bytes for record in done]),
        compressed_bytes=average([record.compressed_bytes for record in done]),
        train_steps=average([record.train_steps for record in done]),
        parameters=first.parameters,
        prunable=first.prunable,
        collapsed=tuple(dict.fromkeys(name for record in done for name in record.collapsed_layers)),
        collapses=tuple(record for record in done if record.collapsed_layers),
        n=tuple(sorted({record.n for record in done})),
        floor=_means([record.notes.get("floor", {}) for record in done]),
    )


def _estimates(values: Sequence[Mapping[str, float]]) -> dict[str, Estimate]:
    names = dict.fromkeys(name for value in values for name in value)
    found = {name: estimate([value[name] for value in values if name in value]) for name in names}
    return {name: value for name, value in found.items() if value is not None}


def _means(values: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: value.mean for name, value in _estimates(values).items()}


def _metrics(records: Sequence[Record]) -> tuple[MetricInfo, ...]:
    """Metrics in the order of the records' own list; those that no list names come last."""
    found: dict[str, MetricInfo] = {}
    for record in records:
        for entry in record.metric_info:
            info = MetricInfo(entry["name"], entry.get("higher_is_better"), bool(entry.get("percent", False)))
            found.setdefault(info.name, info)
    for name in sorted({name for record in records for name in record.metrics} - found.keys()):
        found[name] = MetricInfo(name)
    return tuple(found.values())


def _baselines(
    records: Sequence[Record], settings: Mapping[identity.Facts, str], references: Sequence[Mapping[str, Any]]
) -> Iterable[Baseline]:
    for reference in references:
        if reference.get("task") != records[0].task or reference.get("data_digest") != records[0].data.get("digest"):
            continue
        matching = [record for record in records if _concerns(reference, record)]
        labels = sorted({settings[identity.setting(record)] for record in matching})
        if not matching:
            continue
        aside = f" [{labels[0]}]" if len(labels) == 1 and labels[0] else ""
        for entry in reference.get("references", ()):
            yield Baseline(f"{entry['name']}{aside}", entry["metrics"], entry.get("note", ""))


def _concerns(reference: Mapping[str, Any], record: Record) -> bool:
    asked = {"model": record.model, "options": record.options, "task_version": record.task_version}
    return all(_plain(reference[name]) == _plain(value) for name, value in asked.items() if name in reference)


def _plain(value: object) -> str:
    """As JSON, in which a tuple in memory equals the list that was read back."""
    return json.dumps(value, sort_keys=True)


def _machine(record: Record) -> str:
    device, threads = record.provenance.get("device"), record.provenance.get("threads")
    count = f"{threads} thread{'s' if threads != 1 else ''}" if threads else ""
    return ", ".join(str(part) for part in (device, count) if part)


def _grouped(values: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    groups: dict[K, list[T]] = {}
    for value in values:
        groups.setdefault(key(value), []).append(value)
    return groups
