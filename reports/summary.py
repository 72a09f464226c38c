"""The cross-task answer as tables: per task how far each pruner keeps the dense metric, and over tasks by family."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Sequence
from typing import Any

from reports.answers import SHARES, Answer, Place, by_task, mean_ranks
from reports.escape import csv_field
from reports.figures import NOTHING
from reports.layout import Block, Column, data_kind
from reports.retention import Kept

DEFINITIONS = (
    "sparsity, FLOPs (share of dense) at 99 % and 95 %: up to where every measured sparsity keeps that share of the "
    "dense metric, linear between measured ones. ≥, ≤: kept on the whole grid. none: not kept at the lowest measured "
    "sparsity. ✗: all cells at the next sparsity failed.",
    "area: mean retention (metric / dense metric, its inverse where lower is better) from the dense model to the "
    "highest sparsity measured on the task; failed sparsities count as 0. rank: by area, of the task's pruners where "
    "there are several.",
    "(a to b): 95 % of the samples of seeds, drawn with replacement. Of few seeds that is too narrow: it says how far "
    "these seeds differ, not how far others would.",
)
OVERVIEW = (
    "safe at 99 %: the lowest, over the family's tasks, of the sparsities that keep 99 %. area, mean rank: means over "
    "the tasks, of each the mean over its settings and data. mean rank: of pruners ranked wherever any is. n/m: "
    "measured in n of the m settings of the family's tasks only."
)
KINDS = ("sample", "subset", "changed")
"""Of data that are not the official release as it is."""
MUTE = "not informative: the dense model does not clearly beat chance, is 0, or missing"
UNINFORMATIVE = f"{MUTE}; left out of ranks: "
BLANK = (
    f"{NOTHING}: no dense metric above 0 to compare to; of area, not measured up to the task's highest sparsity; of "
    "rank, no area, no other pruner to rank, or not informative."
)


def blocks(found: Sequence[Answer]) -> list[Block]:
    """The table of all tasks, then the one over tasks with the families side by side."""
    return [_by_task(found), _by_family(found)]


def flat(found: Sequence[Answer]) -> list[dict[str, Any]]:
    """One mapping a pruner and task with plain numbers, for other programs; what is not known is None."""
    return [
        {
            **{name: getattr(answer, name) for name in ("family", "task", "data", "setting", "metric", "pruner")},
            "informative": answer.informative,
            **{name: value for share in SHARES for name, value in _numbers(answer.kept.get(share), share).items()},
            "area": answer.area,
            **_ends("area", answer.area_interval),
            "rank": answer.rank,
        }
        for answer in found
    ]


def jsonl(found: Sequence[Answer]) -> str:
    """One object a pruner and task."""
    return "".join(f"{json.dumps(row, sort_keys=True)}\n" for row in flat(found))


def comma_separated(found: Sequence[Answer]) -> str:
    """One line a pruner and task."""
    rows = flat(found)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: "" if value is None else csv_field(value) for name, value in row.items()} for row in rows)
    return stream.getvalue()


def _numbers(kept: Kept | None, share: float) -> dict[str, Any]:
    at = f"{share:.0%}"
    return {
        f"sparsity {at}": kept.sparsity if kept else None,
        **_ends(f"sparsity {at}", kept.sparsity_interval if kept else None),
        f"flops {at}": kept.flops if kept else None,
        **_ends(f"flops {at}", kept.flops_interval if kept else None),
        f"bound {at}": kept.bound if kept else None,
    }


def _ends(name: str, interval: tuple[float, float] | None) -> dict[str, float | None]:
    low, high = interval or (None, None)
    return {f"{name} low": low, f"{name} high": high}


def _by_task(found: Sequence[Answer]) -> Block:
    labels = task_labels(found)
    columns = [
        Column("family", tuple(answer.family for answer in found), left=True),
        Column("task", tuple(labels[answer.place] for answer in found), left=True),
        Column("pruner", tuple(answer.pruner for answer in found), left=True),
    ]
    for share in SHARES:
        kept = [answer.kept.get(share) for answer in found]
        values = tuple(None if k is None else k.sparsity for k in kept)
        columns.append(Column(f"sparsity {share * 100:g} %", tuple(map(_sparsity, kept)), values=values))
    for share in SHARES:
        kept = [answer.kept.get(share) for answer in found]
        values = tuple(None if k is None else k.flops for k in kept)
        columns.append(Column(f"FLOPs {share * 100:g} %", tuple(map(_flops, kept)), values=values))
    areas, ranks = tuple(a.area for a in found), tuple(a.rank for a in found)
    columns.append(Column("area", tuple(_spread(a.area, a.area_interval) for a in found), values=areas))
    firsts = {a.place: min(b.rank for b in found if b.place == a.place and b.rank) for a in found if a.rank}
    best = frozenset(i for i, a in enumerate(found) if a.rank and a.rank == firsts[a.place])
    columns.append(Column("rank", tuple(map(_rank, ranks)), best=best, values=ranks))
    mute = sorted({labels[answer.place] for answer in found if not answer.informative})
    kinds = dict.fromkeys(answer.stands_on[0] for answer in found)
    return Block(
        "Which pruner is safe where",
        tuple(columns),
        below=(
            *(f"{kind}: {data_kind('', kind)}." for kind in KINDS if kind in kinds),
            *DEFINITIONS,
            *([BLANK] if any(NOTHING in column.cells for column in columns) else []),
            *([UNINFORMATIVE + ", ".join(mute) + "."] if mute else []),
        ),
        breaks=tuple(i for i in range(1, len(found)) if found[i].place != found[i - 1].place),
    )


def _by_family(found: Sequence[Answer]) -> Block:
    told = [answer for answer in found if answer.informative and answer.kept]
    ranks = mean_ranks(found)
    pruners = sorted({answer.pruner for answer in told}, key=lambda name: (ranks.get(name, math.inf), name))
    columns = [Column("pruner", tuple(pruners), left=True)]
    for family in dict.fromkeys(answer.family for answer in told):
        inside = [answer for answer in told if answer.family == family]
        places = len({answer.place for answer in inside})
        by_pruner = [[answer for answer in inside if answer.pruner == pruner] for pruner in pruners]
        least = tuple(least.sparsity if (least := _least(of)) else None for of in by_pruner)
        columns.append(Column(f"{family}: safe at 99 %", tuple(_safe(of, places) for of in by_pruner), values=least))
        areas = tuple(map(_mean_area, by_pruner))
        shown = tuple(_area(area, of, places) for area, of in zip(areas, by_pruner, strict=True))
        columns.append(Column(f"{family}: area", shown, values=areas))
    means = tuple(f"{ranks[name]:.2f}" if name in ranks else NOTHING for name in pruners)
    first = min(ranks.values()) if len(ranks) > 1 else None
    best = frozenset(i for i, name in enumerate(pruners) if name in ranks and ranks[name] == first)
    columns.append(Column("mean rank", means, best=best, values=tuple(map(ranks.get, pruners))))
    return Block("Families side by side", tuple(columns), below=(OVERVIEW, *_synthetic(told)))


def _rank(rank: float | None) -> str:
    return NOTHING if rank is None else f"{rank:g}"


def task_labels(found: Sequence[Answer]) -> dict[Place, str]:
    """By place the task, its setting, and its data: always where it is not the official release as it is, else where
    the task stands on other data as well."""
    data: dict[str, set[tuple[str, ...]]] = {}
    for answer in found:
        data.setdefault(answer.task, set()).add(answer.stands_on)
    depths = {
        task: next(depth for depth in range(4) if len({one[:depth] for one in of}) == len(of))
        for task, of in data.items()
    }
    return {answer.place: _label(answer, depths[answer.task]) for answer in found}


def _label(answer: Answer, depth: int) -> str:
    kind, *more = answer.stands_on[: max(depth, 1)]
    aside = [kind] * (kind in KINDS) + ["whole release"] * (kind == "whole" and depth > 0) + more
    setting = f" [{answer.setting}]" if answer.setting else ""
    return f"{answer.task}{setting}" + (f" ({', '.join(aside)})" if aside else "")


def _synthetic(told: Sequence[Answer]) -> list[str]:
    places = {answer.place: answer.stands_on[0] == "sample" for answer in told}
    samples = sum(places.values())
    if not samples:
        return []
    labels = task_labels(told)
    which = "all" if samples == len(places) else ", ".join(labels[place] for place, sample in places.items() if sample)
    return [f"on embedded synthetic samples, not on real data: {which}."]


def _sparsity(kept: Kept | None) -> str:
    if kept is None or kept.bound == "none":
        return NOTHING if kept is None else "none"
    before, after = {"at least": ("≥ ", ""), "failed": ("", " ✗")}.get(kept.bound, ("", ""))
    return before + _spread(kept.sparsity, kept.sparsity_interval) + after


def _flops(kept: Kept | None) -> str:
    if kept is None or kept.bound == "none":
        return NOTHING if kept is None else "none"
    interval = kept.flops_interval
    spread = f" ({interval[0]:.0%} to {interval[1]:.0%})" if interval else ""
    return f"{'≤ ' if kept.bound == 'at least' else ''}{kept.flops:.0%}{spread}"


def _spread(value: float | None, interval: tuple[float, float] | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:.3f}" + (f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval else "")


def _least(answers: Sequence[Answer]) -> Kept | None:
    """Of the task that keeps 99 % the least far."""
    kept = (answer.kept[SHARES[0]] for answer in answers)
    return min(kept, key=lambda kept: (kept.sparsity, kept.bound == "at least"), default=None)


def _safe(answers: Sequence[Answer], places: int) -> str:
    least = _least(answers)
    if least is None:
        return NOTHING
    said = "none" if least.bound == "none" else f"{'≥ ' if least.bound == 'at least' else ''}{least.sparsity:.3f}"
    return said + _share(answers, places)


def _mean_area(answers: Sequence[Answer]) -> float | None:
    told = [answer for answer in answers if answer.area is not None]
    return by_task(told, [answer.area or 0.0 for answer in told]) if told else None


def _area(mean: float | None, answers: Sequence[Answer], places: int) -> str:
    return NOTHING if mean is None else f"{mean:.3f}{_share(answers, places)}"


def _share(answers: Sequence[Answer], places: int) -> str:
    return "" if len(answers) == places else f" {len(answers)}/{places}"
