"""How much of the dense metric a pruner keeps, as a function of sparsity: one curve a pruner, its crossings and area.

Retention is mean metric / mean dense metric over the seeds that both have, its inverse where lower is better. The
interval of whatever is computed from it comes from resampling seeds: all S^S samples of up to five seeds, 2,000 drawn
ones of more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from reports.estimates import CONFIDENCE
from reports.table import MetricInfo, Row

Floats = NDArray[np.float64]

ENUMERATED_SEEDS, DRAWS = 5, 2000
SAME_SPARSITY = 1e-3
"""Cuts round to whole weights: sparsities this close are one."""


@dataclass(frozen=True)
class Curve:
    """Points in the order of sparsity; the first axis of ``retention`` are resampled seeds, the last row all seeds."""

    sparsity: Floats
    """Shape (points,)."""
    flops: Floats
    """Share of the dense FLOPs, shape (points,)."""
    retention: Floats
    """Shape (samples + 1, points); 0 where every cell failed."""
    failed: NDArray[np.bool_]
    """Points at which every cell failed, shape (points,)."""
    seeds: int


@dataclass(frozen=True)
class Kept:
    """How far a pruner keeps a share of the dense metric. Intervals are None with one seed."""

    sparsity: float
    """Up to which every measured sparsity keeps it; 0 where the first one does not."""
    flops: float
    """Fewest FLOPs that keep it, as a share of the dense ones; 1 where nothing does."""
    sparsity_interval: tuple[float, float] | None
    flops_interval: tuple[float, float] | None
    bound: str = ""
    """``at least`` where it is kept on the whole grid, ``none`` where nowhere, ``failed`` where all cells at the next
    sparsity failed."""


def curve(rows: Sequence[Row], dense: Row, info: MetricInfo) -> Curve | None:
    """The curve of one pruner's rows, or None where the dense metric is not positive or nothing can be compared."""
    reference = {r.seed: r.metrics[info.name] for r in dense.cells if info.name in r.metrics}
    placed = points(rows, info)
    seeds = sorted(set(reference).intersection(*[[s for row in placed for s in row.seeds]]))
    failed = np.array([not row.seeds for row in placed], dtype=bool)
    if not seeds or dense.flops in (None, 0) or min(reference.values()) <= 0:
        return None
    values = np.array([_by_seed(row, info.name, seeds) for row in placed])
    if (np.isnan(values).all(axis=1) & ~failed).any():
        return None
    return Curve(
        np.array([_place(row) for row in placed], dtype=np.float64),
        np.array([(row.flops or 0) / (dense.flops or 1) for row in placed]),
        _retention(values, np.array([reference[seed] for seed in seeds]), failed, info.higher_is_better is not False),
        failed,
        len(seeds),
    )


def points(rows: Sequence[Row], info: MetricInfo) -> list[Row]:
    """The rows that are the points of their curve, in its order."""
    placed = [row for row in rows if _place(row) is not None and (not row.seeds or info.name in row.metrics)]
    return sorted(placed, key=lambda row: _place(row) or 0.0)


def kept(found: Curve, share: float) -> Kept:
    """Up to where ``share`` of the dense metric is kept, linear between the points."""
    sparsity, flops = _crossings(found, share)
    first = found.retention[-1] < share
    if not first.any():
        bound = "at least"
    else:
        bound = "none" if first[0] else "failed" if found.failed[first.argmax()] else ""
    sparsities, shares = _intervals(np.stack([sparsity, flops]), found)
    return Kept(float(sparsity[-1]), float(flops[-1]), sparsities, shares, bound)


def band(found: Curve) -> tuple[Floats, Floats] | None:
    """Lower and upper ends of the retention's interval, each (points,); None with one seed."""
    if found.seeds < 2:
        return None
    low, high = np.quantile(found.retention[:-1], ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2), axis=0)
    return low, high


def area(found: Curve, top: float) -> tuple[float, tuple[float, float] | None] | None:
    """Mean retention from the dense model up to sparsity ``top``; None where the curve ends before it."""
    if top <= 0 or found.sparsity[-1] < top - SAME_SPARSITY:
        return None
    anchor = found.sparsity[0] > SAME_SPARSITY
    sparsity = np.concatenate([[0.0], found.sparsity]) if anchor else found.sparsity
    ones = np.ones((len(found.retention), int(anchor)))
    areas = np.trapezoid(np.hstack([ones, found.retention]), sparsity, axis=1) / (sparsity[-1] - sparsity[0])
    return float(areas[-1]), _intervals(areas[None], found)[0]


def _place(row: Row) -> float | None:
    """Sparsity reached, or asked for where all cells failed; None of a failed iteration, which nobody can place."""
    if row.sparsity is not None:
        return row.sparsity
    return row.target if row.iteration is None else None


def _by_seed(row: Row, metric: str, seeds: Sequence[int]) -> list[float]:
    found = {record.seed: record.metrics[metric] for record in row.cells if metric in record.metrics}
    return [found.get(seed, np.nan) for seed in seeds]


def _retention(values: Floats, reference: Floats, failed: NDArray[np.bool_], higher: bool) -> Floats:
    """Shape (samples + 1, points), of ``values`` (points, seeds) and ``reference`` (seeds,)."""
    weights = _samples(len(reference))
    there = ~np.isnan(values)
    pruned = weights @ np.where(there, values, 0.0).T
    dense = weights @ np.where(there, reference, 0.0).T
    upper, lower = (pruned, dense) if higher else (dense, pruned)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Floats = upper / lower
    # A sample may hold no seed that a point has: there the point stays what all its seeds say.
    found = np.where(np.isnan(found), found[-1], found)
    return np.where(failed, 0.0, found)


@cache
def _samples(seeds: int) -> Floats:
    """How often each sample draws each seed, shape (samples + 1, seeds); the last one has each once."""
    if seeds <= ENUMERATED_SEEDS:
        drawn = np.indices((seeds,) * seeds).reshape(seeds, -1).T
    else:
        drawn = np.random.default_rng(0).integers(seeds, size=(DRAWS, seeds))
    counts = (drawn[:, :, None] == np.arange(seeds)).sum(axis=1)
    return np.vstack([counts, np.ones(seeds)]).astype(np.float64)


def _crossings(found: Curve, share: float) -> tuple[Floats, Floats]:
    """Sparsity and FLOPs at which each sample's retention first falls below ``share``, shape (samples + 1,)."""
    below = found.retention < share
    lines = np.arange(len(below))
    after = np.where(below.any(axis=1), below.argmax(axis=1), below.shape[1])
    last = np.maximum(after - 1, 0)
    there = np.minimum(after, below.shape[1] - 1)
    left, right = found.retention[lines, last], found.retention[lines, there]
    with np.errstate(divide="ignore", invalid="ignore"):
        way = np.where((there > last) & ~found.failed[there], (left - share) / (left - right), 0.0)
    sparsity = found.sparsity[last] + way * (found.sparsity[there] - found.sparsity[last])
    fewest = np.minimum.accumulate(found.flops)[last]
    flops = np.minimum(fewest, found.flops[last] + way * (found.flops[there] - found.flops[last]))
    return np.where(after == 0, 0.0, sparsity), np.where(after == 0, 1.0, flops)


def _intervals(values: Floats, found: Curve) -> list[tuple[float, float] | None]:
    """One a row of ``values``, shape (rows, samples + 1)."""
    if found.seeds < 2:
        return [None] * len(values)
    ends = np.quantile(values[:, :-1], ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2), axis=1)
    return [(float(low), float(high)) for low, high in ends.T]
