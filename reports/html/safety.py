"""The cross-task figure: for each task how sparse each pruner gets at 99 % and at 95 % of the dense metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from reports.answers import SHARES
from reports.escape import clipped
from reports.html import axes
from reports.html.axes import Axis
from reports.overview import Panel, Safe
from reports.retention import Kept
from reports.summary import MUTE

WIDTH, LEFT, RIGHT, TOP, STEP, BOTTOM = 380.0, 118.0, 16.0, 8.0, 18.0, 40.0
GAP, WORD = 4.0, 34.0
"""Between a marker and a word, and what the word takes."""
LABEL, SHOWN = 300, 17
"""Characters of a pruner's name, and of as much of it as has room."""


@dataclass(frozen=True)
class Strip:
    """One pruner."""

    label: str
    shown: str
    number: int | None
    y: float
    strict: float | None
    """Place of the higher share; None where it is kept nowhere or nothing can be compared to dense."""
    lenient: float | None
    """Of the lower one."""
    bar: tuple[float, float] | None
    """The higher share's interval."""
    nowhere: float | None
    """Place of the word where the higher share is kept nowhere."""
    said: str


@dataclass(frozen=True)
class Safety:
    """One task."""

    title: str
    task: int | None
    height: float
    x: Axis
    strips: tuple[Strip, ...]
    note: str


def safety(panel: Panel, pruners: Mapping[str, int], tasks: Mapping[str, int]) -> Safety:
    kept = [found for one in panel.safe for found in (one.strict, one.lenient) if found is not None]
    ends = [end for found in kept for end in (found.sparsity, *(found.sparsity_interval or ()))]
    x = axes.sparsity_axis([0.0, *ends, *([] if ends else [0.5])], LEFT, WIDTH - RIGHT)
    strips = [_strip(one, panel, x, TOP + STEP * (line + 0.5), pruners) for line, one in enumerate(panel.safe)]
    sample = "embedded sample" if panel.sample else ""
    mute = "" if panel.informative else MUTE
    name = f"{panel.task} [{panel.setting}]" if panel.setting else panel.task
    return Safety(
        clipped(f"{name} · {panel.metric}", LABEL),
        tasks.get(panel.task),
        TOP + STEP * len(strips) + BOTTOM,
        x,
        tuple(strips),
        "; ".join(part for part in (sample, mute) if part),
    )


def _strip(one: Safe, panel: Panel, x: Axis, y: float, pruners: Mapping[str, int]) -> Strip:
    label = clipped(one.answer.pruner, LABEL)
    strict, lenient = one.strict, one.lenient
    nowhere = strict is not None and strict.bound == "none"
    reached = None if strict is None or nowhere else strict
    hollow = None if lenient is None or lenient.bound == "none" else round(x.place(lenient.sparsity), 1)
    interval = reached.sparsity_interval if reached is not None else None
    first = round(x.place(0.0) + GAP, 1)
    parts = [
        f"{share:.0%} of the dense {panel.metric} {_kept(found)}"
        for share, found in zip(SHARES, (strict, lenient), strict=True)
        if found is not None
    ]
    return Strip(
        label,
        label if len(label) <= SHOWN else f"{label[: SHOWN - 1]}…",
        pruners.get(one.pruner),
        round(y, 1),
        None if reached is None else round(x.place(reached.sparsity), 1),
        hollow,
        None if interval is None else (round(x.place(interval[0]), 1), round(x.place(interval[1]), 1)),
        None if not nowhere else first if hollow is None or hollow > first + WORD else round(hollow + 2 * GAP, 1),
        f"{label} on {panel.task}: " + ("; ".join(parts) or "nothing to compare to"),
    )


def _kept(found: Kept) -> str:
    if found.bound == "none":
        return "not kept at the lowest sparsity measured"
    ends = found.sparsity_interval
    spread = f" ({ends[0]:.3f} to {ends[1]:.3f})" if ends else ""
    after = {"at least": ", the highest measured", "failed": ", where the next one failed"}.get(found.bound, "")
    return f"to sparsity {found.sparsity:.3f}{spread}{after}"
