"""A record's nested facts as names and one-line texts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

Facts = list[tuple[str, str]]


def step(described: Mapping[str, Any]) -> str:
    """``Cut sparsity=0.9 allocation=global``; what is None or empty is left out."""
    told = dict(described)
    kind = str(told.pop("step", "?"))
    return " ".join([kind, *(f"{name}={plain(value)}" for name, value in _flat(told) if value not in (None, [], ()))])


def mapping(values: Mapping[str, Any]) -> Facts:
    """By name."""
    return [(name, plain(value)) for name, value in sorted(values.items())]


def plain(value: object) -> str:
    """A text as it is, all else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def _flat(values: Mapping[str, Any]) -> list[tuple[str, object]]:
    found: list[tuple[str, object]] = []
    for name, value in values.items():
        found += _flat(value) if isinstance(value, dict) else [(name, value)]
    return found
