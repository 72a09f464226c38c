"""Records to tables: one row a (setting, pruner, target), averaged over seeds, beside its dense reference.

What was measured on other data (name, kind or digest) or under another version of a task is another table.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from bench.record import DENSE, Record
from reports import identity
from reports.estimates import Estimate, average, estimate
from reports.evidence import Examples, Values, adjusted, compare, with_best
from reports.table import Baseline, Evidence, MetricInfo, Row, Table

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
TOLD = 3
"""Facts in which the settings of a table differ that are all told; of more only those that tell them apart."""


@dataclass(frozen=True)
class Placed:
    """A record and what decides on its row."""

    record: Record
    setting: identity.Facts
    recipe: tuple[str, ...]
    target: float
    path: identity.Facts


def tables(
    records: Iterable[Record], references: Sequence[Mapping[str, Any]] = (), examples: Examples | None = None
) -> list[Table]:
    """Tables in the order of task, version and data. ``references`` are as ``bench.store`` keeps them.

    Differences to dense are tested over seeds and the per-example values that ``examples`` gives, over seeds alone
    without it.
    """
    groups = _grouped(records, lambda record: (record.task, record.task_version, *_data(record)))
    return [_table(groups[key], references, examples or (lambda record, metric: None)) for key in sorted(groups)]


def _data(record: Record) -> tuple[str, str, str]:
    name, kind, digest = (str(record.data.get(part, "")) for part in ("name", "kind", "digest"))
    return name, kind, digest


def _table(records: Sequence[Record], references: Sequence[Mapping[str, Any]], examples: Examples) -> Table:
    kept = _one_a_seed(_placed(records))
    settings = identity.distinguishing(sorted({cell.setting for cell in kept}), most=TOLD)
    by_setting = _grouped(kept, lambda cell: cell.setting)
    found = [cell.record for cell in kept]
    metrics = _metrics(found)
    lead = metrics[0].name if metrics else ""
    rows = [
        row
        for setting in sorted(by_setting)
        for row in with_best(_rows(by_setting[setting], settings[setting], lead, examples), metrics)
    ]
    return Table(
        task=found[0].task,
        title=next((record.title for record in found if record.title), ""),
        version=found[0].task_version,
        data=found[0].data,
        models=tuple(sorted({record.model for record in found})),
        presets=tuple(sorted({record.preset for record in found})),
        metrics=metrics,
        rows=tuple(adjusted(rows)),
        baselines=tuple(_baselines(kept, settings, references)),
        seeds=tuple(sorted({record.seed for record in found})),
        machines=tuple(sorted({_machine(record) for record in found} - {""})),
        notes=tuple(dict.fromkeys(note for record in found for note in record.task_notes)),
        repeated=len(records) - len(kept),
    )


def _placed(records: Sequence[Record]) -> Iterator[Placed]:
    """The records with what decides on their rows, which is worked out once for those that share their facts."""
    settings: dict[tuple[object, ...], identity.Facts] = {}
    paths: dict[tuple[object, ...], identity.Facts] = {}
    for record in records:
        alike = (record.model, record.preset, id(record.options), id(record.provenance), id(record.path))
        if alike not in settings:
            settings[alike] = identity.setting(record)
        way = (identity.is_dense(record), id(record.path))
        if way not in paths:
            paths[way] = identity.path(record)
        yield Placed(record, settings[alike], identity.recipe(record), identity.target(record), paths[way])


def _one_a_seed(cells: Iterable[Placed]) -> list[Placed]:
    """One cell a (row, seed): a seed counts once. Done comes before failed, the dense pruner's own before others'."""

    def preference(cell: Placed) -> tuple[Any, ...]:
        return cell.record.status != "done", cell.record.pruner != DENSE, cell.record.key

    ordered = sorted(cells, key=lambda c: (c.record.pruner, c.record.goal, c.record.seed, *preference(c)))
    groups = _grouped(ordered, lambda c: (c.setting, c.recipe, c.target, c.path, c.record.seed))
    return [min(group, key=preference) for group in groups.values()]


def _rows(cells: Sequence[Placed], setting: str, lead: str, examples: Examples) -> list[Row]:
    """The rows of one setting: the dense reference, then the others by pruner and target."""
    dense = {c.record.seed: c.record for c in cells if identity.is_dense(c.record) and c.record.status == "done"}
    values = _reading_once(examples, dense.values())
    lines = _grouped(cells, lambda c: (not identity.is_dense(c.record), c.recipe, c.target))
    rows = []
    for _, recipe, target in sorted(lines):
        paths = _grouped(lines[_, recipe, target], lambda c: c.path)
        labels = identity.distinguishing(sorted(paths))
        for path in sorted(paths):
            name = identity.recipe_label(recipe)
            label, line = _labelled(name, setting, labels[path]), _labelled(name, labels[path])
            records = [cell.record for cell in paths[path]]
            row = _row(label, line, setting, recipe[0], target, records, dense)
            rows.append(row if row.dense else replace(row, evidence=_evidence(row, dense, lead, values)))
    return rows


def _labelled(name: str, *asides: str) -> str:
    aside = ", ".join(part for part in asides if part)
    return f"{name} [{aside}]" if aside else name


def _evidence(row: Row, dense: Mapping[int, Record], lead: str, examples: Examples) -> Evidence | None:
    shared = [r for r in row.cells if lead in r.metrics and r.seed in dense and lead in dense[r.seed].metrics]
    return compare(shared, dense, lead, examples)


def _reading_once(examples: Examples, records: Iterable[Record]) -> Examples:
    """``examples`` that keeps the values of ``records``, to which every row of a setting is compared."""
    keys, kept = {record.key for record in records}, {}

    def read(record: Record, metric: str) -> Values | None:
        if record.key not in keys:
            return examples(record, metric)
        if (record.key, metric) not in kept:
            kept[record.key, metric] = examples(record, metric)
        return kept[record.key, metric]

    return read


def _row(
    label: str,
    line: str,
    setting: str,
    pruner: str,
    target: float,
    records: Sequence[Record],
    dense: Mapping[int, Record],
) -> Row:
    done = sorted((record for record in records if record.status == "done"), key=lambda record: record.seed)
    paired = [(record, dense[record.seed]) for record in done if record.seed in dense and pruner != DENSE]
    first = done[0] if done else records[0]
    return Row(
        label=label,
        pruner=pruner,
        target=target,
        iteration=first.iteration,
        cells=tuple(done),
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
        setting=setting,
        line=line,
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
    cells: Sequence[Placed], settings: Mapping[identity.Facts, str], references: Sequence[Mapping[str, Any]]
) -> Iterable[Baseline]:
    """One row a baseline and value: what is the same for several settings stands once, and names them only where
    another value stands beside it."""
    first = cells[0].record
    found: list[tuple[Baseline, list[str]]] = []
    for reference in references:
        if reference.get("task") != first.task or reference.get("data_digest") != first.data.get("digest"):
            continue
        labels = sorted({settings[cell.setting] for cell in cells if _concerns(reference, cell.record)})
        if not labels:
            continue
        for entry in reference.get("references", ()):
            baseline = Baseline(entry["name"], entry["metrics"], entry.get("note", ""))
            equal = next((known for one, known in found if one == baseline), None)
            if equal is None:
                found.append((baseline, [*labels]))
            else:
                equal += labels
    names = [baseline.label for baseline, _ in found]
    for baseline, labels in found:
        aside = "; ".join(sorted(filter(None, labels))) if names.count(baseline.label) > 1 else ""
        yield replace(baseline, label=f"{baseline.label} [{aside}]") if aside else baseline


def _concerns(reference: Mapping[str, Any], record: Record) -> bool:
    asked = {"model": record.model, "options": record.options, "task_version": record.task_version}
    return all(_plain(reference[name]) == _plain(value) for name, value in asked.items() if name in reference)


def _plain(value: object) -> str:
    """As JSON, in which a tuple in memory equals the list that was read back."""
    return json.dumps(value, sort_keys=True)


def _machine(record: Record) -> str:
    device, threads = record.provenance.get("device"), record.provenance.get("threads")
    count = f"{threads} thread{'s' if threads != 1 else ''}" if threads else ""
    processes = record.provenance.get("processes")
    several = f"{processes} processes" if processes else ""
    return ", ".join(str(part) for part in (device, several, count) if part)


def _grouped(values: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    groups: dict[K, list[T]] = {}
    for value in values:
        groups.setdefault(key(value), []).append(value)
    return groups
