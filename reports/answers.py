"""Which pruner is safe where: how far each keeps the dense metric on each task, and ranks over tasks."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from reports.retention import Curve, Kept, area, curve, kept
from reports.table import MetricInfo, Row, Table, uninformative

SHARES = (0.99, 0.95)
"""Of the dense metric, that is to be kept."""
UNSPECIFIED = "unspecified"
Place = tuple[str, str, str]
"""Task, data and setting."""
_RANKING = re.compile(r"(nDCG|RR|AP|MAP|MRR|R|Recall|P|Success|Hits|RBP)(\(.*\))?(@\d+)?", re.IGNORECASE)
_TEXT = re.compile(r"(BLEU|chrF|ROUGE|METEOR|perplexity)", re.IGNORECASE)


@dataclass(frozen=True)
class Answer:
    """One pruner on one task."""

    family: str
    task: str
    data: str
    """Name, kind and digest of the data, and the version of the task."""
    stands_on: tuple[str, str, str]
    """The data's kind and digest, and the version of the task: what sets answers of one task apart, coarsest first."""
    setting: str
    """What sets model, options or training apart where a task has several."""
    metric: str
    pruner: str
    informative: bool
    """Whether the dense model clearly beats chance. Where it does not, nothing is ranked."""
    kept: Mapping[float, Kept]
    """By share; empty where nothing can be compared to dense."""
    area: float | None
    """Mean retention from the dense model up to the highest sparsity that any pruner of the task was measured at."""
    area_interval: tuple[float, float] | None
    rank: float | None = None
    """Among the pruners of the task by area, 1 is best; ties share their mean. None where there is no other to rank."""
    curve: Curve | None = field(default=None, repr=False, compare=False)
    """What all this was read from; None where nothing can be compared to dense."""

    @property
    def place(self) -> Place:
        """What answers are compared within."""
        return self.task, self.data, self.setting


def answers(tables: Sequence[Table]) -> list[Answer]:
    """In the order of family and task, the pruners of a task by rank."""
    found = [answer for table in tables for setting in _settings(table) for answer in _ranked(_of(table, setting))]
    return sorted(found, key=lambda a: (a.family == UNSPECIFIED, a.family, a.place, a.rank or math.inf, a.pruner))


def by_task(found: Sequence[Answer], values: Sequence[float]) -> float:
    """The mean over tasks of the mean over each task's settings."""
    tasks: dict[str, list[float]] = {}
    for answer, value in zip(found, values, strict=True):
        tasks.setdefault(answer.task, []).append(value)
    return math.fsum(math.fsum(of) / len(of) for of in tasks.values()) / len(tasks)


def mean_ranks(found: Sequence[Answer]) -> dict[str, float]:
    """Of the pruners that are ranked wherever any is: other means would be over other tasks."""
    ranked: dict[str, list[Answer]] = {}
    for answer in found:
        if answer.rank is not None:
            ranked.setdefault(answer.pruner, []).append(answer)
    places = {answer.place for of in ranked.values() for answer in of}
    return {
        pruner: by_task(of, [answer.rank or 0.0 for answer in of])
        for pruner, of in ranked.items()
        if {answer.place for answer in of} == places
    }


def family(table: Table) -> str:
    """The field a task belongs to: what its records say, else what its leading metric tells (IR's and translation's
    metrics are their own; accuracy is anyone's)."""
    for row in table.rows:
        for record in row.cells:
            if isinstance(said := record.notes.get("family"), str) and said:
                return said
    lead = table.metrics[0].name if table.metrics else ""
    if _RANKING.fullmatch(lead):
        return "IR"
    return "NLP" if _TEXT.match(lead) else UNSPECIFIED


def _settings(table: Table) -> list[str]:
    return list(dict.fromkeys(row.setting for row in table.rows))


def _of(table: Table, setting: str) -> list[Answer]:
    rows = [row for row in table.rows if row.setting == setting]
    dense = next((row for row in rows if row.dense), None)
    lead = table.metrics[0] if table.metrics else MetricInfo("")
    top = max((row.sparsity for row in rows if row.sparsity is not None and row.iteration is None), default=0.0)
    pruners = dict.fromkeys(row.line for row in rows if not row.dense)
    informative = dense is not None and bool(dense.seeds) and dense not in uninformative(table)
    blank = Answer(
        family(table),
        table.task,
        _data(table),
        (str(table.data.get("kind", "")), str(table.data.get("digest", ""))[:8], f"version {table.version}"),
        setting,
        lead.name,
        "",
        informative,
        {},
        None,
        None,
    )
    return [_answer(replace(blank, pruner=name), [r for r in rows if r.line == name], dense, lead, top)
            for name in pruners]  # fmt: skip


def _data(table: Table) -> str:
    name, kind, digest = (str(table.data.get(part, "")) for part in ("name", "kind", "digest"))
    return f"{name} {kind} {digest[:12]} (task version {table.version})"


def _answer(blank: Answer, rows: Sequence[Row], dense: Row | None, lead: MetricInfo, top: float) -> Answer:
    found = curve(rows, dense, lead) if dense is not None else None
    if found is None:
        return blank
    whole = area(found, top)
    return replace(
        blank,
        kept={share: kept(found, share) for share in SHARES},
        area=whole[0] if whole else None,
        area_interval=whole[1] if whole else None,
        curve=found,
    )


def _ranked(found: Sequence[Answer]) -> list[Answer]:
    areas = [answer.area for answer in found if answer.area is not None and answer.informative]

    def rank(answer: Answer) -> float | None:
        if answer.area is None or not answer.informative or len(areas) < 2:
            return None
        return 1 + sum(other > answer.area for other in areas) + (areas.count(answer.area) - 1) / 2

    return [replace(answer, rank=rank(answer)) for answer in found]
