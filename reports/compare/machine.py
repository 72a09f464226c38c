"""What of a record's provenance decides whether another run can give the same bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MACHINE = ("device", "device_name", "cpu_capability", "threads", "platform", "deterministic_algorithms")
PACKAGES = ("torch", "transformers", "numpy")


def facts(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a provenance that matters here, and what tells settings apart; no commit."""
    known = ("dtype", "processes", "semantics", *MACHINE)
    return {
        **{name: provenance[name] for name in known if name in provenance},
        "versions": {name: version for name, version in _versions(provenance).items() if name in PACKAGES},
    }


def differences(base: Mapping[str, Any], head: Mapping[str, Any]) -> list[str]:
    """What of two provenances differs, as ``torch 2.12 is now 2.13``; empty on the same machine."""
    before, after = _flat(base), _flat(head)
    return [
        f"{name} {before.get(name, 'unknown')} is now {after.get(name, 'unknown')}"
        for name in dict.fromkeys((*before, *after))
        if before.get(name) != after.get(name)
    ]


def _flat(provenance: Mapping[str, Any]) -> dict[str, Any]:
    kept = facts(provenance)
    return {**kept["versions"], **{name: kept[name] for name in MACHINE if name in kept}}


def _versions(provenance: Mapping[str, Any]) -> Mapping[str, Any]:
    found = provenance.get("versions")
    return found if isinstance(found, Mapping) else {}
