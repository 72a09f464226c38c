"""What was asked for: tasks x pruners x targets x seeds, and how to read it from flags."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from bench.errors import UsageError

DEFAULT_GRID = "0.5,0.8,0.9,0.95,0.98"
LEVEL = 0.8
"""Share of the weights that a level of iterative pruning leaves of those before it (Frankle & Carbin 2019)."""
_SHOWN = 200
"""Letters of a flag's text that an error repeats."""
DTYPES = ("float32", "bfloat16")
_MOST_VALUES = 10_000
_NUMBER = re.compile(r"[+-]?(\d{1,30}(\.\d{0,30})?|\.\d{1,30})([eE][+-]?\d{1,2})?", re.ASCII)


@dataclass(frozen=True)
class Request:
    """One grid of cells. Every field has a flag of the same name."""

    tasks: tuple[str, ...]
    pruners: tuple[str, ...]
    sparsities: tuple[float, ...]
    seeds: tuple[int, ...] = (0,)
    models: tuple[str, ...] = ()
    """Models of each task, names of its own, hub ids or folders; none: the preset's."""
    preset: str | None = None
    """None: ``smoke`` on the embedded sample, ``small`` on real data."""
    when: str | None = None
    """``init`` or ``trained``; None: what each pruner does by itself."""
    allocation: str | None = None
    structure: str | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    """Overrides of the preset, by name as ``--set`` takes them (``train.lr``, ``docids``)."""
    exclude: tuple[str, ...] = ()
    """Patterns of parameter names that no pruner is offered."""
    pruner_settings: Mapping[str, str] = field(default_factory=dict)
    """Overrides of every asked pruner that has such an option (``rewind``), or of one (``imp.rewind``); and of one task
    (``ag-news.prune_embeddings``)."""
    data: str | None = None
    dtype: str = "float32"
    processes: int = 1
    """That compute each cell together: no flag, the launcher says it (``bench.ranks``)."""


BOUNDS = {
    "s": ("sparsity", "[0, 1)", "values from 0 to below 1"),
    "d": ("density", "(0, 1]", "values above 0, to 1"),
    "c": ("exponent", "[0, 12.3]", "values from 0, which keeps all weights, to 12.3"),
    "l": ("level", "[0, 126]", "values from 0, which keeps all weights, to 126"),
}
"""By kind of target: what it is called, where it lies, and what to give. Sparsities have twelve digits."""


def default_grid(structure: str | None) -> str:
    """The grid where none is given: of an N:M structure its one sparsity, as it has no other."""
    numbers = re.fullmatch(r"(\d{1,9}):(\d{1,9})", structure or "", re.ASCII)
    if not numbers or not 0 < int(numbers[1]) < int(numbers[2]):
        return DEFAULT_GRID
    return f"{1 - int(numbers[1]) / int(numbers[2]):.12g}"


def parse_grid(text: str) -> tuple[float, ...]:
    """Sparsities from ``0.5,0.8``, ``0.5:0.95:0.05``, ``d=0.1,0.5`` (densities), ``c=0,0.5,1`` (exponents: 10^-c) or
    ``l=1:10:1`` (levels: 0.8^l of the weights left).

    A range includes its end. Raises ``UsageError`` for what is no number or lies outside [0, 1).
    """
    kind, _, values = text.rpartition("=") if "=" in text else ("s", "", text)
    if kind not in ("s", "d", "c", "l"):
        raise UsageError(
            f"unknown kind of target {kind[:_SHOWN]!r}",
            where=f"--grid {text[:_SHOWN]}",
            mend="Use sparsities, d=densities, c=exponents or l=levels.",
        )
    where = f"--grid {text[:_SHOWN]}"
    sparsities: dict[float, None] = {}
    for part in values.split(","):
        for value in _expand(part.strip(), where):
            sparsity = _sparsity(kind, value)
            if not 0 <= sparsity < 1:
                what, bounds, mend = BOUNDS[kind]
                raise UsageError(f"{what} {float(value):g} is outside {bounds}", where=where, mend=f"Give {mend}.")
            sparsities[sparsity] = None
            if len(sparsities) > _MOST_VALUES:
                raise UsageError(f"more than {_MOST_VALUES:,} values", where=where, mend="Give fewer.")
    return tuple(sparsities)


def _sparsity(kind: str, value: Decimal) -> float:
    if kind == "s":
        return float(value)
    # Twelve digits, so that c=1 is the same cell as 0.9.
    if kind == "d":
        return round(float(1 - value), 12)
    try:
        return round(1 - (10 ** -float(value) if kind == "c" else LEVEL ** float(value)), 12)
    except OverflowError:  # an exponent or a level far below 0
        return -math.inf


def _expand(part: str, where: str) -> list[Decimal]:
    given = [number.strip() for number in part.split(":")]
    numbers = [Decimal(number) for number in given] if all(map(_NUMBER.fullmatch, given)) else []
    if len(numbers) not in (1, 3):
        raise UsageError(
            f"{part[:_SHOWN]!r} is neither a number nor START:END:STEP",
            where=where,
            mend="For example 0.5,0.8 or 0.5:0.9:0.1.",
        )
    if len(numbers) == 1:
        return numbers
    start, end, step = numbers
    if step <= 0 or end < start or (end - start) / step > _MOST_VALUES:
        raise UsageError("an empty or endless range", where=where, mend="Give START <= END and a positive STEP.")
    return [start + step * index for index in range(int((end - start) / step) + 1)]


def parse_seeds(text: str) -> tuple[int, ...]:
    """Seeds from ``0``, ``0,1,5`` or ``0-2``."""
    where = f"--seeds {text[:_SHOWN]}"
    seeds: dict[int, None] = {}
    for part in text.split(","):
        match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", part.strip(), re.ASCII)
        if not match:
            raise UsageError(f"{part[:_SHOWN]!r} is no seed", where=where, mend="For example 0, 0,1,5 or 0-2.")
        first = int(match[1])
        last = int(match[2] or first)
        if last < first or last - first >= _MOST_VALUES:
            raise UsageError("an empty or endless range", where=where, mend="Give FIRST-LAST, up to 10,000.")
        seeds |= dict.fromkeys(range(first, last + 1))
        if len(seeds) > _MOST_VALUES:
            raise UsageError(f"more than {_MOST_VALUES:,} seeds", where=where, mend="Give fewer.")
    return tuple(seeds)


def split_settings(settings: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Those of the tasks' presets (``docids``, ``train.lr``), and those of one pruner or task (``imp.rate``)."""
    ours = {name for name in settings if "." not in name or name.split(".")[0] in ("train", "recover")}
    return (
        {name: value for name, value in settings.items() if name in ours},
        {name: value for name, value in settings.items() if name not in ours},
    )


def parse_settings(pairs: Sequence[str]) -> dict[str, str]:
    """``NAME=VALUE`` pairs as a mapping."""
    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise UsageError("is not NAME=VALUE", where=f"--set {pair}", mend="For example --set train.lr=1e-3.")
        settings[name] = value
    return settings
