"""The record that a finished cell leaves: one row of every table, with its provenance.

A record is a function of its cell alone (on one platform, at one thread count): two runs of the same cell write the
same bytes. What depends on the clock lies in a timing beside it. No host name, no user name, no absolute path.

Imports nothing of ours but the errors.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from operator import attrgetter
from typing import Any

from bench.errors import CellError, StoreError

SCHEMA = 1
"""Version of the record's layout."""

DENSE = "dense"
"""Name under which the unpruned reference stands in the ``pruner`` column."""

# Of indented JSON. Strings hold no line break of their own.
_BLANK_LINE = re.compile(r"\n *\n")


@dataclass(frozen=True)
class Layer:
    """One prunable weight and what is left of it."""

    name: str
    type: str
    """Class of the module that holds it (``Linear``, ``Conv2d``)."""
    size: int
    kept: int
    flops: int | None = None
    """FLOPs of all products with the dense weight, of one example; None where no product is, and in old records."""

    @property
    def density(self) -> float:
        return self.kept / self.size if self.size else 1.0


@dataclass(frozen=True)
class Failure:
    """Why a cell failed."""

    error: str
    step: str
    """Kind of the step that failed."""
    log: str | None = None
    """File with the traceback, relative to the results folder."""


@dataclass(frozen=True)
class Record:
    """Everything about one cell."""

    key: str
    status: str
    """``done`` or ``failed``."""
    task: str
    task_version: int
    model: str
    pruner: str
    when: str
    allocation: str
    structure: str
    variant: str
    """Choices that are not the pruner's own defaults, as a label says them."""
    target_sparsity: float | None
    """What was asked for; None where the pruner counts iterations and finds its own."""
    seed: int
    preset: str
    options: Mapping[str, Any]
    """The task's options."""
    path: Sequence[Mapping[str, Any]]
    """The steps, as plain data."""
    data: Mapping[str, Any]
    """``name``, ``kind`` (sample, subset or whole), ``counts``, ``digest``."""
    provenance: Mapping[str, Any]
    title: str = ""
    """The task's title."""
    metric_info: Sequence[Mapping[str, Any]] = ()
    """``name``, ``higher_is_better`` and ``percent`` of each metric, in the task's order; the first leads."""
    task_notes: Sequence[str] = ()
    """Sentences that belong under every table of the task."""
    sparsity: float | None = None
    """Zeros / prunable weights, counted."""
    total_sparsity: float | None = None
    """Zeros / all parameters, counted."""
    parameters: int | None = None
    prunable: int | None = None
    layers: Sequence[Layer] = ()
    collapsed_layers: Sequence[str] = ()
    mask_digest: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    n: int = 0
    """Examples evaluated."""
    dense_flops: int | None = None
    flops: int | None = None
    """Theoretical: dense FLOPs of each layer times the density of its weight."""
    flops_by_type: Mapping[str, Sequence[int]] = field(default_factory=dict)
    """Layer type to (dense, effective) FLOPs."""
    dense_bytes: int | None = None
    compressed_bytes: int | None = None
    """Size of the pruned model as ``bench.measure.size`` packs it."""
    iteration: int | None = None
    """Number of the iteration, of a pruner that counts them."""
    trace: Sequence[Mapping[str, Any]] = ()
    """What each adaptive cut on the path found, in order."""
    train_steps: int = 0
    """Training steps on this cell's path, shared ones included."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Kind (``examples``, ``run``) to file name under ``files/``, which carries its own digest."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """Facts of the evaluation. ``floor`` maps a metric to what chance alone reaches on this data."""
    failure: Failure | None = None
    schema: int = SCHEMA

    @property
    def goal(self) -> float:
        """What orders the cells of a pruner: the target sparsity, or the iteration's number."""
        return float(self.target_sparsity if self.target_sparsity is not None else self.iteration or 0)

    @property
    def goal_name(self) -> str:
        """``0.9``, or ``#3`` for the third iteration."""
        return f"{self.target_sparsity:g}" if self.target_sparsity is not None else f"#{self.iteration}"


def dumps(record: Record) -> str:
    """The record as indented JSON with its checksum, the same bytes for equal records.

    Raises ``CellError`` where a field is no plain JSON: what a task puts into its notes is its own.
    """
    return seal({name: _plain(name, value) for name, value in asdict(record).items()})


def loads(text: str) -> Record:
    """The record in ``text``. Raises ``ValueError`` where it is damaged, ``StoreError`` where its schema is newer."""
    body = unseal(text, "the record")
    known = {entry.name for entry in fields(Record)}
    if set(body) - known:
        raise ValueError(f"unknown fields {sorted(set(body) - known)}")
    try:
        layers = tuple(Layer(**layer) for layer in body["layers"])
        failure = Failure(**body["failure"]) if body["failure"] else None
        record = Record(**{**body, "layers": layers, "failure": failure})
    except (KeyError, TypeError) as error:
        raise ValueError(f"not the fields of a record ({error})") from error
    check_types(record)
    return record


def check_types(record: Record) -> None:
    """Raises ``ValueError`` where a field of a record that was read is not of its type: what reports compute with must
    be numbers, and what they look up must be there. The checksum says that a record is as it was written, not by whom.
    """
    failures = [record.failure] if record.failure else []
    holders: dict[type, Sequence[object]] = {Record: [record], Layer: record.layers, Failure: failures}
    for kind, found in holders.items():
        for name, field_of, fits in _checks()[kind]:
            if not all(map(fits, map(field_of, found))):
                raise ValueError(f"{name} is not of its type")
    counts = record.data.get("counts", {})
    if not isinstance(counts, dict) or not all(map(_is_whole, counts.values())):
        raise ValueError("the data's counts are no numbers")
    named = [entry.get("name") for entry in record.metric_info]
    kinds = [step.get("step") for step in record.path]
    if not all(type(name) is str for name in (*named, *kinds)):
        raise ValueError("a metric without a name, or a step without its kind")


@cache
def _checks() -> dict[type, tuple[tuple[str, Callable[[object], Any], Callable[[Any], bool]], ...]]:
    """The fields of what a record is made of, each with what gives its value and what tells whether that is of its
    type."""
    hints = {kind: typing.get_type_hints(kind).items() for kind in (Record, Layer, Failure)}
    return {
        kind: tuple((name, attrgetter(name), _check(hint)) for name, hint in named) for kind, named in hints.items()
    }


def _check(hint: Any) -> Callable[[Any], bool]:
    """What tells whether a value, as JSON gives it, is of the annotated type."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        one, *others = (_check(option) for option in inner if option is not type(None))
        assert not others, "a field is of one type, or None"
        return lambda value: value is None or one(value)
    if origin is Mapping:
        each = _check(inner[1])
        return lambda value: type(value) is dict and all(map(each, value.values()))
    if origin is Sequence:
        each = _check(inner[0])
        return lambda value: isinstance(value, list | tuple) and all(map(each, value))
    if hint is int:
        return _is_whole
    if hint is float:
        return lambda value: (type(value) is float and math.isfinite(value)) or _is_whole(value)
    if hint in (str, bool):
        return lambda value: type(value) is hint
    return lambda value: True  # plain JSON, or a dataclass that is checked by itself


def _is_whole(value: object) -> bool:
    return type(value) is int and -(2**63) <= value < 2**63


def seal(body: Mapping[str, Any]) -> str:
    """Plain data as indented JSON with its checksum. NaN and what is no JSON are ``ValueError`` and ``TypeError``."""
    return _written({**body, "checksum": _digest(_plainly(body))})


def unseal(text: str, what: str) -> dict[str, Any]:
    """The plain data that ``seal`` wrote, its checksum taken off.

    Raises ``ValueError`` unless ``text`` is what was written, so that a changed byte of white space counts as well, and
    ``StoreError`` where its schema, if it has one, is newer; ``what`` names it for that.
    """
    try:
        body = json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(body, dict) or "checksum" not in body:
        raise ValueError("no checksum")
    checksum = body.pop("checksum")
    plain = _without(_on_one_line(text), checksum)
    framed = text.endswith("}\n") and not _BLANK_LINE.search(text)
    if not framed or checksum != _digest(plain):
        written = framed and plain == _plainly(body)
        raise ValueError("the checksum does not match" if written else "not as it was written")
    # Only now: a schema that looks newer because it is damaged must not stop a run.
    check_schema(body.get("schema", SCHEMA), what)
    return body


def check_schema(version: object, what: str) -> None:
    """Raises ``StoreError`` where ``version`` is newer than this program knows."""
    if type(version) is not int:
        raise ValueError("no schema version")
    if version > SCHEMA:
        raise StoreError(
            f"{what} has schema {version}, this prunebench knows up to {SCHEMA}",
            mend="Update prunebench, or give another folder with --out.",
        )


def _plain(name: str, value: object) -> Any:
    """The value as it will be read: keys that are numbers become text, and are sorted as such."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise CellError(
            f"the record's {name} is no plain JSON ({error})", mend="Give finite numbers, text, lists and mappings."
        ) from error


def _written(body: Mapping[str, Any]) -> str:
    return json.dumps(body, indent=1, sort_keys=True, allow_nan=False) + "\n"


def _without(text: str, checksum: object) -> str:
    """The text on one line without its checksum: what the checksum is of, unless the text was changed."""
    entry = f'"checksum": {json.dumps(checksum)}'
    written = next(part for part in (f"{entry}, ", f", {entry}", entry) if part in text or part == entry)
    return text.replace(written, "", 1)


def _on_one_line(text: str) -> str:
    """What ``_plainly`` would have written. To indent again for comparison would take longer than all the rest of
    reading: the encoder that indents is pure Python."""
    return "".join([line.lstrip(" ") for line in text.replace(",\n", ", \n").split("\n")])


def _plainly(body: Mapping[str, Any]) -> str:
    return json.dumps(body, sort_keys=True, allow_nan=False)


def _digest(plain: str) -> str:
    return hashlib.sha256(plain.encode()).hexdigest()
