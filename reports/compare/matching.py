"""Which cell of HEAD answers to which of BASE, how a pair is called, and why its keys differ.

A key changes with every declared change of what is computed, so cells are matched by what they are: task, model,
pruner, variant, target, seed, precision and evaluation. Where several cells share that, options and path tell
them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

from bench.record import Record
from reports import identity
from reports.compare.sides import Measured

SHOWN_DIFFERENCES = 3
SHORT_DIGEST = 12


@dataclass(frozen=True)
class Pair:
    """A cell on both sides, or on one."""

    label: str
    """Names the cell without its seed."""
    base: Measured | None
    head: Measured | None

    @property
    def record(self) -> Record:
        """The record of either side, the base's where there is one."""
        found = self.base or self.head
        assert found is not None
        return found.record

    @property
    def cell(self) -> str:
        """Names the cell."""
        return f"{self.label}, seed {self.record.seed}"


def match(base: Sequence[Measured], head: Sequence[Measured]) -> list[Pair]:
    """Pairs of cells that are the same one, and each cell that has no counterpart alone, in a readable order."""
    left, right = list(base), list(head)
    found: list[tuple[Measured | None, Measured | None]] = []
    for same in _LOOSENING:
        ours, theirs = _unique(left, same), _unique(right, same)
        for name in ours.keys() & theirs.keys():
            found.append((ours[name], theirs[name]))
        paired = {id(cell) for pair in found for cell in pair}
        left = [cell for cell in left if id(cell) not in paired]
        right = [cell for cell in right if id(cell) not in paired]
    found += [(cell, None) for cell in left] + [(None, cell) for cell in right]
    return _labelled(found)


def differences(base: Record, head: Record) -> str:
    """What of two records' declarations differs, in words; what their fields do not show is named as well."""
    before, after = _declared(base), _declared(head)
    said = [
        f"{name} {before.get(name, 'absent')} is now {after.get(name, 'absent')}"
        for name in dict.fromkeys((*before, *after))
        if before.get(name) != after.get(name)
    ]
    if not said:
        return "the harness's semantics or a plug-in's source changed"
    more = len(said) - SHOWN_DIFFERENCES
    return ", ".join(said[:SHOWN_DIFFERENCES]) + (f" and {more} more" if more > 0 else "")


def _name(record: Record) -> tuple[Hashable, ...]:
    """What a cell is, whatever its key says."""
    evaluate = next((step for step in record.path if step.get("step") == "Evaluate"), {})
    return (
        record.task, record.model, identity.recipe(record), record.target_sparsity is None, identity.target(record),
        record.seed, str(record.provenance.get("dtype", "")), str(evaluate.get("split", "")),
    )  # fmt: skip


def _options(record: Record) -> Hashable:
    return record.preset, _data(record), identity.setting(record)


_LOOSENING: tuple[Callable[[Record], Hashable], ...] = (
    lambda record: record.key,
    lambda record: (_name(record), _options(record), _unversioned(record)),
    lambda record: (_name(record), _options(record)),
    lambda record: (_name(record), record.preset),
    _name,
)
"""What counts as the same cell, from strict to loose. Each is tried on the cells that the ones before left over."""


def _unique(cells: Sequence[Measured], same: Callable[[Record], Hashable]) -> dict[Hashable, Measured]:
    """The cells that no other is the same as."""
    groups: dict[Hashable, list[Measured]] = {}
    for cell in cells:
        groups.setdefault(same(cell.record), []).append(cell)
    return {name: group[0] for name, group in groups.items() if len(group) == 1}


def _unversioned(record: Record) -> identity.Facts:
    return tuple(fact for fact in _path(record) if not fact[0].endswith(".version"))


def _path(record: Record) -> identity.Facts:
    """Facts of the steps under names that people read: ``2 Score.version``."""
    return tuple(
        (f"{index} {step.get('step')}.{name.partition('.')[2]}", value)
        for index, step in enumerate(record.path)
        for name, value in identity.flat({name: step[name] for name in step if name != "step"}, f"{index}")
    )


def _declared(record: Record) -> dict[str, str]:
    return {"preset": record.preset, **dict(identity.setting(record)), **dict(_path(record))}


def _labelled(found: Sequence[tuple[Measured | None, Measured | None]]) -> list[Pair]:
    """Pairs under labels that tell them apart, sorted by them."""
    pairs = [Pair(_label((base or head).record), base, head) for base, head in found]  # type: ignore[union-attr]
    groups: dict[str, list[Pair]] = {}
    for pair in pairs:
        groups.setdefault(pair.cell, []).append(pair)
    shared = {pair.label for group in groups.values() if len(group) > 1 for pair in group}
    facts = {label: [_facts(pair.record) for pair in pairs if pair.label == label] for label in shared}
    asides = {label: identity.distinguishing(sorted(alternatives)) for label, alternatives in facts.items()}
    named = [
        Pair(_with_aside(pair.label, asides[pair.label][_facts(pair.record)]), pair.base, pair.head)
        if pair.label in asides
        else pair
        for pair in pairs
    ]
    return sorted(named, key=lambda pair: (pair.record.task, pair.record.pruner, pair.record.goal, pair.label,
                                           pair.record.seed))  # fmt: skip


def _facts(record: Record) -> identity.Facts:
    return (("data", _data(record)), *identity.setting(record), *identity.path(record))


def _data(record: Record) -> str:
    name, kind, digest = (str(record.data.get(part, "")) for part in ("name", "kind", "digest"))
    return f"{name} {kind} {digest[:SHORT_DIGEST]}"


def _with_aside(label: str, aside: str) -> str:
    return f"{label} [{aside}]" if aside else label


def _label(record: Record) -> str:
    recipe = identity.recipe_label(identity.recipe(record))
    place = "" if identity.is_dense(record) else f" at {record.goal_name}"
    return f"{record.task} {record.model} {recipe}{place}"
