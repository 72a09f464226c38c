"""What the tables come to, in sentences: for who reads the first lines of a report only."""

from __future__ import annotations

from collections.abc import Sequence

from reports.answers import SHARES, Answer, mean_ranks
from reports.retention import Kept
from reports.summary import UNINFORMATIVE, task_labels
from reports.table import LEVEL, Table

MOST_TASKS = 12
"""Tasks that have a sentence of their own."""
MOST_PRUNERS = 4
"""Pruners that one sentence names."""
SHARE = SHARES[0]
KEPT = f"{SHARE * 100:g} %"


def headlines(tables: Sequence[Table], found: Sequence[Answer]) -> list[str]:
    """Ranks over tasks, families, each task's furthest pruner, and how many differences to dense are significant."""
    told = [answer for answer in found if answer.informative and answer.kept]
    places = list(dict.fromkeys(answer.place for answer in told))
    labels = task_labels(found)
    sentences = [*_ranks(found), *_families(told)]
    for place in places[:MOST_TASKS]:
        sentences.append(_furthest(labels[place], [answer for answer in told if answer.place == place]))
    if len(places) > MOST_TASKS:
        sentences.append(f"And {len(places) - MOST_TASKS} more tasks, in the tables.")
    mute = sorted({labels[answer.place] for answer in found if not answer.informative})
    if mute:
        sentences.append(f"{UNINFORMATIVE[0].upper()}{UNINFORMATIVE[1:]}{_listed(mute)}.")
    return [*sentences, *_differences(tables)]


def _ranks(found: Sequence[Answer]) -> list[str]:
    ranked = [answer for answer in found if answer.rank is not None]
    ranks = sorted(mean_ranks(found).items(), key=lambda entry: (entry[1], entry[0]))
    if len({answer.place for answer in ranked}) < 2 or len(ranks) < 2:
        return []
    said = _listed([f"{pruner} {rank:.2f}" for pruner, rank in ranks])
    return [f"Mean rank over {_tasks(ranked)}, by how much of the dense metric is kept along the grid: {said}."]


def _families(told: Sequence[Answer]) -> list[str]:
    """For each field the pruner that is safe on all of its tasks up to the highest sparsity."""
    families = list(dict.fromkeys(answer.family for answer in told))
    if len(families) < 2:
        return []
    parts = []
    for family in families:
        inside = [answer for answer in told if answer.family == family]
        places = {answer.place for answer in inside}
        kept: dict[str, list[Kept]] = {}
        for answer in inside:
            kept.setdefault(answer.pruner, []).append(answer.kept[SHARE])
        least = {name: min(k.sparsity for k in of) for name, of in kept.items() if len(of) == len(places)}
        if least:
            top = max(least.values())
            names = _listed([name for name, value in least.items() if value == top]) if top else "none"
            parts.append(f"{family} ({_tasks(inside)}) {names}{f' to sparsity {top:.3f}' if top else ''}")
    return [f"By field, what keeps {KEPT} of dense the furthest on all of its tasks: {'; '.join(parts)}."]


def _tasks(answers: Sequence[Answer]) -> str:
    tasks, places = len({answer.task for answer in answers}), len({answer.place for answer in answers})
    return _count(tasks, "task") + (f" in {places} settings" if places > tasks else "")


def _furthest(name: str, answers: Sequence[Answer]) -> str:
    kept = {answer.pruner: answer.kept[SHARE] for answer in answers}
    metric = answers[0].metric
    best = max(kept.values(), key=lambda k: k.sparsity)
    if best.bound == "none":
        return f"{name}: nothing keeps {KEPT} of the dense {metric}, not even at the lowest sparsity measured."
    first = [pruner for pruner, k in kept.items() if k.sparsity == best.sparsity]
    verb = "keep" if len(first) > 1 else "keeps"
    whole = " and was measured no further" if best.bound == "at least" else ""
    interval = best.sparsity_interval
    spread = f" ({interval[0]:.3f} to {interval[1]:.3f})" if interval and not whole else ""
    others = sorted((k.sparsity, pruner) for pruner, k in kept.items() if pruner not in first)
    none = [pruner for sparsity, pruner in others if not sparsity]
    last = f"; {others[0][1]} the least far, to {others[0][0]:.3f}" if others else ""
    if none:
        last = f"; not at the lowest sparsity measured: {_listed(none)}"
    return (
        f"{name}: {_listed(first)} {verb} {KEPT} of the dense {metric} furthest, to sparsity "
        f"{best.sparsity:.3f}{spread}{whole}, at {best.flops * 100:.0f} % of the FLOPs{last}."
    )


def _differences(tables: Sequence[Table]) -> list[str]:
    tested = [row.evidence for table in tables for row in table.rows if row.evidence]
    if not tested:
        return []
    differing = sum(evidence.significant for evidence in tested)
    return [
        f"{differing} of {_count(len(tested), 'tested row')} differ significantly from dense (p ≤ {LEVEL:g}, paired, "
        "Holm's correction a table)."
    ]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MOST_PRUNERS
    return ", ".join(names[:MOST_PRUNERS]) + (f" and {more} more" if more > 0 else "")
