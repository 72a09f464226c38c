"""What sets the rows of one table apart: setting, recipe and path, and the shortest label that says so."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from bench.record import DENSE, Record

Facts = tuple[tuple[str, str], ...]
"""Names and printable values, in the order in which labels prefer them."""

NONE = "null"
"""How a fact that is not set is told."""
BARE = frozenset({"model", "preset"})
"""Facts whose value speaks for itself in a label."""
DIGITS = 12
"""Targets that agree to so many digits are one target, however the grid wrote them."""


def is_dense(record: Record) -> bool:
    """Whether the cell is the unpruned reference."""
    return record.pruner == DENSE


def setting(record: Record) -> Facts:
    """What a cell shares with its dense reference: model, preset, options, precision, first training, evaluation."""
    train = next((step for step in record.path if step.get("step") == "Train"), {})
    evaluate = next((step for step in record.path if step.get("step") == "Evaluate"), {})
    told = ("dtype", "processes", "semantics")
    precision = {"processes": 1} | {name: record.provenance[name] for name in told if name in record.provenance}
    return (
        ("model", record.model),
        ("preset", record.preset),
        *flat(record.options),
        *flat(precision),
        *flat(train.get("schedule", {})),
        *flat({"split": evaluate.get("split", ""), **dict(evaluate.get("options", ()))}),
    )


def recipe(record: Record) -> tuple[str, ...]:
    """Pruner and what is unusual about it; of the dense reference its name alone."""
    return (DENSE, "") if is_dense(record) else (record.pruner, record.variant)


def path(record: Record) -> Facts:
    """The steps of a cell. Dense cells are alike whatever led to them, beyond their setting."""
    if is_dense(record):
        return ()
    return tuple(fact for index, step in enumerate(record.path) for fact in flat(step, f"{index}"))


def target(record: Record) -> float:
    """Target sparsity to the digits that matter, or the number of the iteration."""
    return 0.0 if is_dense(record) else round(record.goal, DIGITS)


def recipe_label(names: Sequence[str]) -> str:
    """``magnitude``, or ``magnitude (trained, uniform)`` where the recipe is not the usual one."""
    pruner, variant = names
    return f"{pruner} ({variant})" if variant else pruner


def distinguishing(alternatives: Sequence[Facts], most: int = 0) -> dict[Facts, str]:
    """For each alternative the fewest facts, taken in order, that tell them apart; empty where there is only one.

    Facts that some alternative does not have come last. Where at most ``most`` facts differ among those that agree in
    what speaks for itself, all are told: the fewest might be those that matter least.
    """
    unique = list(dict.fromkeys(alternatives))
    if len(unique) == 1:
        return {unique[0]: ""}
    tables = [dict(facts) for facts in unique]
    named = dict.fromkeys(name for facts in unique for name, _ in facts)
    names = sorted(named, key=lambda name: any(table.get(name, NONE) == NONE for table in tables))
    chosen: list[str] = []
    told_apart = 1
    for name in names:
        apart = len({tuple(table.get(other) for other in (*chosen, name)) for table in tables})
        if apart > told_apart:
            chosen, told_apart = [*chosen, name], apart
    if not BARE.intersection(chosen):
        differing = [
            name
            for name in names
            if len(found := {table.get(name, NONE) for table in tables}) > 1 and NONE not in found
        ]
        chosen = list(dict.fromkeys([*differing, *chosen])) if len(differing) <= most else chosen
    return {
        facts: ", ".join(_say(name, table.get(name)) for name in chosen)
        for facts, table in zip(unique, tables, strict=True)
    }


def _say(name: str, value: str | None) -> str:
    if value is None:
        return f"no {_short(name)}"
    return value if name in BARE else f"{_short(name)}={value}"


def _short(name: str) -> str:
    """A path's fact without its step's number and schedule: ``4.schedule.lr`` is ``lr``."""
    return name.rsplit(".", 1)[-1]


_SPELLED: dict[object, str] = {None: NONE, True: "true", False: "false"}
_SCALARS = frozenset({str, int, float, bool, type(None)})


def flat(value: Mapping[str, Any], before: str = "") -> Facts:
    """Names and printable values of a nested mapping, inner names after a dot."""
    found: list[tuple[str, str]] = []
    for name in sorted(value):
        full = f"{before}.{name}" if before else name
        inner = value[name]
        # Tables of many records spend their time here: asking for a Mapping is slow, and few values are one.
        if type(inner) not in _SCALARS and isinstance(inner, Mapping):
            found.extend(flat(inner, full))
        else:
            found.append((full, _printable(inner)))
    return tuple(found)


def _printable(value: object) -> str:
    kind = type(value)
    if kind is str or kind is int:
        return str(value)
    if isinstance(value, float):
        return f"{round(value, DIGITS):.{DIGITS}g}"
    if kind is bool or value is None:
        return _SPELLED[value]
    return "[]" if value == [] else json.dumps(value, sort_keys=True)
