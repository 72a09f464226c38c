"""The exact gate: what a cell must reproduce to the last digit, and what of that only the same machine can.

Everywhere: the key; the sparsity of a cut to a target that takes single weights or N:M groups; the dense FLOPs, by
layer. On the same machine (``reports.compare.machine`` says what of it counts) also the masks, the weights kept in each
layer and the FLOPs left. On another machine scores differ in their last bits, and which of two nearly equal weights
stays is decided by these: there masks that differ are a note, and densities may differ by ``DRIFT``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from bench.record import Record
from reports.compare import machine
from reports.compare.findings import NOT_COMPARABLE, NOTE, PASSED, REGRESSION, Finding
from reports.compare.matching import Pair, differences

DRIFT = 0.02
"""By how much the density of a layer, or the share of FLOPs left, may differ between machines."""
SHOWN_LAYERS = 3
_COUNTED = re.compile(r"weights|\d+:\d+")
"""Structures that keep exactly as many weights as asked for."""


def check(pair: Pair) -> list[Finding]:
    """What the exact gate and the presence of its cell say of a pair."""
    found = [Finding(gate, verdict, pair.cell, said) for gate, verdict, said in _check(pair)]
    return found or [Finding("exact", PASSED, pair.cell, "nothing exact differs")]


def comparable(pair: Pair) -> bool:
    """Whether both sides finished the cell, on the same data and under the same version of the task."""
    if pair.base is None or pair.head is None:
        return False
    done = pair.base.record.status == pair.head.record.status == "done"
    return done and _another(pair.base.record, pair.head.record) is None


Said = tuple[str, str, str]
"""Gate, verdict and sentence."""


def _check(pair: Pair) -> Iterator[Said]:
    if pair.base is None:
        yield "cells", NOTE, "new in HEAD, with nothing to compare it to"
    elif pair.head is None:
        yield "cells", REGRESSION, "missing in HEAD"
    else:
        yield from _both(pair.base.record, pair.head.record)


def _both(base: Record, head: Record) -> Iterator[Said]:
    if base.status != "done" or head.status != "done":
        yield from _failed(base, head)
        return
    other = _another(base, head)
    if other is not None:
        yield "cells", NOT_COMPARABLE, other
        return
    if base.key != head.key:
        yield "exact", REGRESSION, f"the key differs ({differences(base, head)})"
    yield from _counted(base, head)
    elsewhere = machine.differences(base.provenance, head.provenance)
    if base.key == head.key:
        yield from _masks(base, head, elsewhere)


def _failed(base: Record, head: Record) -> Iterator[Said]:
    if head.status != "done":
        why = head.failure.error.rstrip(".") if head.failure else "no reason recorded"
        still = base.status != "done"
        yield "cells", NOTE if still else REGRESSION, f"{'still fails' if still else 'fails in HEAD'}: {why}"
    else:
        yield "cells", NOTE, "failed in BASE and is done in HEAD"


def _another(base: Record, head: Record) -> str | None:
    """Why the two stand on other ground, or None."""
    if base.task_version != head.task_version:
        return f"task version {base.task_version} is now {head.task_version}"
    for part in ("name", "kind"):
        if base.data.get(part) != head.data.get(part):
            return f"other data: {part} {base.data.get(part)} is now {head.data.get(part)}"
    before, after = (str(record.data.get("digest", "")) for record in (base, head))
    return None if before == after else f"other data: digest {before[:12] or 'none'} is now {after[:12] or 'none'}"


def _counted(base: Record, head: Record) -> Iterator[Said]:
    """What depends on no machine."""
    if base.target_sparsity is not None and _COUNTED.fullmatch(base.structure or "weights"):
        for name in ("sparsity", "prunable", "parameters"):
            before, after = getattr(base, name), getattr(head, name)
            if None not in (before, after) and before != after:
                yield "exact", REGRESSION, f"{name} {before:.12g} is now {after:.12g}"
    flops = _changed_flops(base, head)
    if base.dense_flops != head.dense_flops or flops:
        total = _moved(base.dense_flops, head.dense_flops)
        yield "exact", REGRESSION, f"dense FLOPs {total}{': ' if flops else ''}{flops}"


def _changed_flops(base: Record, head: Record) -> str:
    """Layers whose dense FLOPs differ, in words."""
    before = {layer.name: layer.flops for layer in base.layers}
    after = {layer.name: layer.flops for layer in head.layers}
    # Old records do not tell the FLOPs of their layers; that is no change.
    told = {None} not in ({*before.values()}, {*after.values()})
    said = [
        f"layer {name} {_moved(before.get(name), after.get(name))}"
        for name in dict.fromkeys((*before, *after))
        if told and before.get(name) != after.get(name)
    ]
    for kind in dict.fromkeys((*base.flops_by_type, *head.flops_by_type)):
        ours, theirs = (record.flops_by_type.get(kind, (0, 0))[0] for record in (base, head))
        if ours != theirs and not said:
            said.append(f"type {kind} {_moved(ours, theirs)}")
    return _listed(said)


def _masks(base: Record, head: Record, elsewhere: list[str]) -> Iterator[Said]:
    """What the same machine reproduces to the last bit, and another nearly."""
    same_flops = base.dense_flops == head.dense_flops
    layers = _changed_layers(base, head)
    if not elsewhere:
        if base.mask_digest != head.mask_digest:
            yield "exact", REGRESSION, f"other masks under the same key ({layers or 'as many weights in every layer'})"
        elif layers:
            yield "exact", REGRESSION, f"the same masks are counted otherwise ({layers})"
        if same_flops and base.flops != head.flops and not layers:
            yield "exact", REGRESSION, f"FLOPs left {_moved(base.flops, head.flops)}"
        return
    drifted = _changed_layers(base, head, DRIFT)
    if same_flops and base.dense_flops and abs((base.flops or 0) - (head.flops or 0)) > DRIFT * base.dense_flops:
        drifted = drifted or f"FLOPs left {_moved(base.flops, head.flops)}"
    if drifted:
        yield "exact", REGRESSION, f"other masks, beyond what another machine explains ({drifted})"
    elif base.mask_digest != head.mask_digest:
        yield "exact", NOTE, f"other masks, not comparable here ({_listed(elsewhere)})"


def _changed_layers(base: Record, head: Record, tolerance: float = 0.0) -> str:
    """Layers that keep other numbers of weights, in words; by a share of more than ``tolerance`` of their size."""
    before = {layer.name: layer for layer in base.layers}
    after = {layer.name: layer for layer in head.layers}
    said = []
    for name in dict.fromkeys((*before, *after)):
        ours, theirs = before.get(name), after.get(name)
        if ours is None or theirs is None:
            said.append(f"layer {name} is {'new' if ours is None else 'gone'}")
        elif ours.size != theirs.size:
            said.append(f"{name} has {theirs.size:,} weights, had {ours.size:,}")
        elif abs(ours.kept - theirs.kept) > tolerance * ours.size:
            said.append(f"{name} keeps {theirs.kept:,} of {theirs.size:,} weights, kept {ours.kept:,}")
    return _listed(said)


def _moved(before: int | None, after: int | None) -> str:
    """``2,000 is now 2,100 (+5.0 %)``."""
    if before is None or after is None:
        return f"{'none' if before is None else f'{before:,}'} is now {'none' if after is None else f'{after:,}'}"
    share = f" ({(after - before) / before:+.1%})".replace("%", " %") if before else ""
    return f"{before:,} is now {after:,}{share}"


def _listed(said: list[str]) -> str:
    more = len(said) - SHOWN_LAYERS
    return ", ".join(said[:SHOWN_LAYERS]) + (f" and {more} more" if more > 0 else "")
