"""The cell that a record tells of, opened again on its data: what is needed to compute its model a second time.

Weights of finished cells are not kept. A record names every step and setting, so the same plan follows from it.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from functools import cache
from typing import Any

from bench import registry, steps
from bench.checkpoints import TRUST
from bench.data import SAMPLE, Memory, find, source
from bench.errors import DataError, StoreError, UsageError
from bench.plan import REFERENCE, presets_of, root_of
from bench.record import DENSE, Record
from bench.sources import offers
from bench.steps import Path, Step, keys
from bench.tree import Cell, OpenTask, Plan, of_cells
from pruners.base import Budget


def plan_of(record: Record, data: str | None = None, model: str | None = None, trusted: bool = False) -> Plan:
    """The plan of the record's cell alone. ``data`` is the folder with the data sets, as ``--data`` takes it, ``model``
    the folder of its checkpoint, of which the record has the name only. ``trusted``: code in that checkpoint may run,
    which a record by itself does not allow.

    Raises ``DataError`` where the data is not what the record was computed on, and ``StoreError`` where this version of
    prunebench, or of the task, would compute something else.
    """
    if record.options.get(TRUST) and not trusted:
        raise UsageError(
            "was computed with code that lies in its checkpoint",
            where=f"record {record.key[:12]}",
            mend="--trust-remote-code runs that code again.",
        )
    task = _opened(record, data, model)
    path = path_of(record)
    made = record.provenance
    root = root_of(task, record.seed, str(made.get("dtype", "float32")), int(made.get("processes", 1)))
    key = keys(root, path)[-1]
    if key != record.key:
        raise StoreError(
            "this version of prunebench or of the task would compute another cell",
            where=f"record {record.key[:12]}",
            mend="Install the versions that the record's provenance names ('bench show KEY').",
        )
    pruner = REFERENCE if record.pruner == DENSE else registry.pruner(record.pruner)
    chosen = replace(pruner, when=record.when, allocation=record.allocation, structure=record.structure)
    target, iteration = record.target_sparsity, record.iteration
    return of_cells([(root, Cell(key, task, chosen, record.variant, target, iteration, record.seed, path))])


def path_of(record: Record) -> Path:
    """The record's steps. Raises ``StoreError`` for one that this version does not know."""
    try:
        return tuple(_step(described) for described in record.path)
    except (AttributeError, KeyError, TypeError, ValueError, StopIteration) as error:
        raise StoreError(
            f"its path has a step that this version does not know ({error})",
            where=f"record {record.key[:12]}",
            mend="Install the version that the record's provenance names.",
        ) from error


def _step(described: Mapping[str, Any]) -> Step:
    kind = getattr(steps, str(described["step"]))
    read: Step = _read(kind, {name: value for name, value in described.items() if name != "step"})
    return read


def _read(kind: Any, value: Any) -> Any:
    """Plain data as what the annotation ``kind`` says: dataclasses and tuples are restored, all else is as it is."""
    if is_dataclass(kind) and isinstance(kind, type):
        hints = _hints(kind)
        return kind(**{name: _read(hints[name], inner) for name, inner in dict(value).items()})
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if value is None:
            return None
        return _read(next(option for option in inner if _fits(option, value)), value)
    if origin is tuple:
        items = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(_read(item, part) for item, part in zip(items, value, strict=True))
    return value


@cache
def _hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _fits(kind: Any, value: Any) -> bool:
    if isinstance(value, dict):
        return is_dataclass(kind) and {entry.name for entry in fields(kind)} >= value.keys()
    if isinstance(value, list):
        return typing.get_origin(kind) is tuple
    return kind is not type(None)


def _opened(record: Record, data: str | None, model: str | None) -> OpenTask:
    kind = registry.task(record.task)
    sampled = data is None and record.data.get("kind") == SAMPLE
    presets = presets_of(kind, str(record.options["model"]) if "model" in record.options else None)
    preset = presets.get(record.preset) or next(iter(presets.values()))
    given = record.options if model is None else {**record.options, "model": model}
    options = _read(type(preset.options), given)
    dataset, required = source(kind, options)
    files = None if sampled else find(dataset, required, data, offered=offers(kind, dataset))
    task = kind(files if files is not None else Memory(record.task, kind.sample()), options)
    identity = asdict(task.identity())
    if identity["digest"] != record.data.get("digest"):
        raise DataError(
            f"the data at hand ({identity['kind']}, digest {identity['digest'][:12]}) is not what the cell was "
            f"computed on ({record.data.get('kind')}, digest {str(record.data.get('digest'))[:12]})",
            where=record.task,
            mend="Give its folder with --data.",
        )
    budget = Budget(preset.train, preset.recover, preset.score_batches, preset.score_batch_size)
    return OpenTask(task, record.task, record.preset, replace(preset, options=options), budget, identity)
