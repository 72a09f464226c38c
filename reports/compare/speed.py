"""The speed gate: two files of pytest-benchmark, benchmark by benchmark, by the ratio of their medians.

The margin is wide, because shared machines are noisy; on another processor, or under another Python, nothing is said.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.errors import StoreError
from reports.compare.findings import NOTE, PASSED, REGRESSION, Finding

MARGIN = 1.5
"""Head's median over base's from which a benchmark has regressed."""


def compare(base: Path, head: Path, margin: float = MARGIN) -> list[Finding]:
    """What the gate says of each benchmark. Raises ``StoreError`` for a file that is not pytest-benchmark's."""
    before, after = _read(base), _read(head)
    elsewhere = _machine(before) != _machine(after)
    ours, theirs = _medians(before, base), _medians(after, head)
    found = []
    for name in dict.fromkeys((*ours, *theirs)):
        if name not in theirs:
            found.append(Finding("speed", REGRESSION, name, "missing in HEAD"))
        elif name not in ours:
            found.append(Finding("speed", NOTE, name, "new in HEAD, with nothing to compare it to"))
        else:
            found.append(_judged(name, ours[name], theirs[name], margin, elsewhere))
    return found


def _judged(name: str, before: float, after: float, margin: float, elsewhere: bool) -> Finding:
    ratio = after / before
    facts = {"base_seconds": before, "head_seconds": after, "ratio": ratio, "margin": margin}
    if elsewhere:
        return Finding("speed", NOTE, name, "measured on another machine, not comparable here", facts)
    if ratio > margin:
        said = f"median {_seconds(before)} is now {_seconds(after)}, {ratio:.2f} times as long (margin {margin:g})"
        return Finding("speed", REGRESSION, name, said, facts)
    return Finding("speed", PASSED, name, f"{ratio:.2f} times the base's median, within {margin:g}", facts)


def _read(path: Path) -> dict[str, Any]:
    mend = "Give a file that 'pytest --benchmark-json=FILE' wrote."
    try:
        body = json.loads(path.read_bytes())
    except OSError as error:
        raise StoreError(f"cannot be read ({error.strerror or error})", where=str(path), mend=mend) from error
    except (ValueError, RecursionError) as error:
        raise StoreError(f"is no JSON ({error})", where=str(path), mend=mend) from error
    if not isinstance(body, dict) or not isinstance(body.get("benchmarks"), list):
        raise StoreError("is no file of pytest-benchmark", where=str(path), mend=mend)
    return body


def _medians(body: Mapping[str, Any], path: Path) -> dict[str, float]:
    """Median seconds by full name."""
    found = {}
    for entry in body["benchmarks"]:
        try:
            name, median = str(entry["fullname"]), float(entry["stats"]["median"])
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(f"holds a benchmark without name or median ({error!r})", where=str(path)) from error
        if not (math.isfinite(median) and median > 0):
            raise StoreError(f"the median of {name} is {median}", where=str(path), mend="Measure again.")
        found[name] = median
    return found


def _machine(body: Mapping[str, Any]) -> tuple[str, ...]:
    machine = body.get("machine_info")
    known: Mapping[str, Any] = machine if isinstance(machine, Mapping) else {}
    cpu = known.get("cpu")
    brand = cpu.get("brand_raw", "") if isinstance(cpu, Mapping) else ""
    return (str(brand), *(str(known.get(name, "")) for name in ("machine", "python_version", "system")))


def _seconds(value: float) -> str:
    for scale, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")):
        if value >= scale:
            return f"{value / scale:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"
