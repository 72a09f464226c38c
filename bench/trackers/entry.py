"""What trackers are told of a cell: its name, what was chosen and what was measured."""

from __future__ import annotations

from dataclasses import dataclass

from bench.record import Record

Parameter = str | int | float | bool


@dataclass(frozen=True)
class Entry:
    """A cell as trackers keep it."""

    curve: str
    """Name of the cells that differ in their target alone: ``ag-news/linear/grasp/seed 0``."""
    name: str
    parameters: dict[str, Parameter]
    metrics: dict[str, float]
    """Metrics, sparsities, FLOPs and bytes; empty for a failed cell."""
    step: int
    """Sparsity in thousandths, the axis of a curve."""


def describe(record: Record) -> Entry:
    """The entry of a record."""
    pruner = f"{record.pruner} ({record.variant})" if record.variant else record.pruner
    place = f"{record.task}/{record.model}/{pruner}"
    chosen: dict[str, Parameter | None] = {
        "task": record.task,
        "model": record.model,
        "pruner": record.pruner,
        "variant": record.variant,
        "target": record.goal_name,
        "seed": record.seed,
        "preset": record.preset,
        "data": " ".join(str(record.data.get(part, "")) for part in ("name", "kind")).strip(),
        "status": record.status,
        "error": record.failure.error if record.failure else None,
        "key": record.key,
        **{f"option.{name}": _flat(value) for name, value in record.options.items()},
    }
    counted = {
        "sparsity": record.sparsity,
        "total_sparsity": record.total_sparsity,
        "flops": record.flops,
        "dense_flops": record.dense_flops,
        "compressed_bytes": record.compressed_bytes,
    }
    return Entry(
        curve=f"{place}/seed {record.seed}",
        name=f"{place}/{record.goal_name}/seed {record.seed}",
        parameters={name: value for name, value in chosen.items() if value is not None},
        metrics={
            **{name: float(value) for name, value in record.metrics.items()},
            **{name: float(value) for name, value in counted.items() if value is not None and record.status == "done"},
        },
        step=round(1000 * (record.sparsity or 0.0)),
    )


def _flat(value: object) -> Parameter | None:
    return value if value is None or isinstance(value, str | int | float) else str(value)
