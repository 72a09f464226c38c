"""The baseline file: JSON lines, one compact line a cell with what the gates need, small enough to be committed.

A line holds ``baseline`` (the layout's version), the record's fields named in ``KEPT`` and ``examples``, the values
of each example packed by metric. Equal cells give equal bytes: lines come in a fixed order, nothing depends on clock
or commit.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.errors import StoreError, UsageError
from bench.record import Failure, Layer, Record
from reports import identity
from reports.compare import machine
from reports.compare.packing import Values, pack, unpack

VERSION = 1
KEPT = (
    *("key", "status", "task", "task_version", "model", "preset", "options", "pruner", "when", "allocation"),
    *("structure", "variant", "target_sparsity", "iteration", "seed", "path", "data", "provenance", "metric_info"),
    *("sparsity", "total_sparsity", "layers", "collapsed_layers", "mask_digest", "metrics", "n", "dense_flops"),
    *("flops", "flops_by_type", "failure"),
)
"""Fields of a record that a line keeps."""
Cell = tuple[Record, Mapping[str, Values]]


def dumps(cells: Iterable[Cell]) -> str:
    """The cells as the text of a baseline file."""
    lines = sorted((_order(record), _line(record, examples)) for record, examples in cells)
    return "".join(f"{line}\n" for _, line in lines)


def read(path: Path) -> list[Cell]:
    """The cells of a baseline file. Raises ``StoreError`` for a line that is none, with its number."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise StoreError(f"cannot be read ({error.strerror or error})", where=str(path)) from error
    except UnicodeDecodeError as error:
        raise StoreError("is no baseline file (not text)", where=str(path), mend=_MEND) from error
    return [_cell(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line.strip()]


def write(path: Path, cells: Iterable[Cell]) -> None:
    """Writes the cells to ``path`` as a whole. Raises ``UsageError`` where it cannot be written."""
    scratch = path.with_name(f"{path.name}.writing")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch.write_text(dumps(cells), encoding="utf-8")
        scratch.replace(path)
    except OSError as error:
        raise UsageError(f"cannot be written ({error.strerror or error})", where=str(path)) from error


_MEND = "Give a file that 'bench compare BASE HEAD --update-baseline' wrote."


def _line(record: Record, examples: Mapping[str, Values]) -> str:
    body = asdict(record)
    kept = {name: body[name] for name in KEPT if body[name] not in (None, (), [], {})}
    kept["provenance"] = machine.facts(record.provenance)
    packed = {metric: pack(examples[metric]) for metric in sorted(examples)}
    return json.dumps(
        {"baseline": VERSION, **kept, "examples": packed}, sort_keys=True, separators=(",", ":"), allow_nan=False
    )


def _cell(line: str, where: str) -> Cell:
    try:
        body: Any = json.loads(line)
        if not isinstance(body, dict) or "baseline" not in body:
            raise ValueError("no line of a baseline")
        version = body.pop("baseline")
        if version != VERSION:
            raise ValueError(f"layout {version!r}, this prunebench knows {VERSION}")
        if set(body) - {*KEPT, "examples"}:
            raise ValueError(f"unknown fields {', '.join(sorted(set(body) - {*KEPT, 'examples'}))}")
        examples = {str(metric): unpack(text) for metric, text in body.pop("examples").items()}
        return _record(body), examples
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise StoreError(f"is no cell of a baseline ({error})", where=where, mend=_MEND) from error


def _record(body: dict[str, Any]) -> Record:
    for name in ("key", "status", "task", "model", "pruner"):
        if not isinstance(body.get(name), str):
            raise ValueError(f"{name} is no text")
    if not all(isinstance(value, int | float) for value in body.get("metrics", {}).values()):
        raise ValueError("a metric is no number")
    layers = tuple(Layer(**layer) for layer in body.pop("layers", ()))
    failure = Failure(**body["failure"]) if body.get("failure") else None
    empty: dict[str, Any] = {"options": {}, "path": (), "data": {}, "provenance": {}, "target_sparsity": None}
    texts = dict.fromkeys(("when", "allocation", "structure", "variant"), "")
    return Record(**{**texts, **empty, **body, "layers": layers, "failure": failure})


def _order(record: Record) -> tuple[Any, ...]:
    return (
        record.task, record.model, not identity.is_dense(record), identity.recipe(record), identity.target(record),
        record.seed, record.key,
    )  # fmt: skip
