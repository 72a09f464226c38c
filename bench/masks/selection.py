"""The k largest of tens of millions of scores, exactly.

On the CPU one threshold costs two comparisons of every score: a strided sample gives a bracket that holds the k-th
largest with all but certainty, the scores beyond it are counted, and only those inside are sorted (the sampling idea
of Floyd and Rivest 1975, "Expected time bounds for selection"). The counts prove the answer; where a bracket misses, a
full sort follows, so the sample decides the time and never the result. Many thresholds come from one count by leading
bits, as a radix sort begins, and a sort of the few scores that share theirs with a threshold.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray

SMALL = 1 << 18
"""Up to so many scores a plain sort is as fast as a bracket."""
STRIDE = 251
"""One score in so many is sampled. A prime, so that the sample meets every place of a kernel or a row."""

LEADING = 18
"""Bits that scores are first counted by, where several thresholds are wanted: the sign, all of the exponent and at
least six of the mantissa, so that a key's scores lie within 1.6 % of one another."""
COUNTED_BLOCK = 1 << 19
"""Scores keyed at a time: many against the 2^18 counts that each block adds."""

BLOCK = 1 << 16
"""Scores compared at a time: few enough for the cache to hold."""


def select(scores: Sequence[Tensor], keep: int, threshold: float | None = None) -> list[Tensor]:
    """Masks, True for the ``keep`` largest of all ``scores`` together.

    Equal scores stay by position: the earlier tensor, then the smaller flat (row-major) index. -0.0 equals 0.0; -inf is
    legal, NaN is not. A mask has its scores' memory layout and device. ``keep`` is held to [0, number of scores];
    ``threshold`` is ``thresholds``' answer for it where that is known already.
    """
    size = sum(values.numel() for values in scores)
    if keep <= 0 or keep >= size:
        return [torch.full(values.shape, keep > 0, dtype=torch.bool, device=values.device) for values in scores]
    if len({values.dtype for values in scores}) > 1:
        scores = [values.double() for values in scores]
    least = thresholds(scores, [keep])[0] if threshold is None else threshold
    masks = [_compare(values, least) for values in scores]
    surplus = sum(count(mask) for mask in masks) - keep
    for values, mask in zip(reversed(scores), reversed(masks), strict=True):
        if surplus <= 0:
            break
        # The last of the scores equal to the threshold give way.
        equal = torch.nonzero(values.reshape(-1) == least).reshape(-1)
        leaving = equal[max(0, len(equal) - surplus) :]
        mask[torch.unravel_index(leaving, mask.shape)] = False
        surplus -= len(leaving)
    return masks


def thresholds(scores: Sequence[Tensor], keeps: Sequence[int]) -> list[float]:
    """For each k of ``keeps``, the k-th largest of all ``scores`` together; inf for k = 0.

    Several thresholds cost one pass (a sort), not one each. Raises ``ValueError`` for a k outside [0, size].
    """
    size = sum(values.numel() for values in scores)
    if any(not 0 <= keep <= size for keep in keeps):
        raise ValueError(f"cannot keep {[keep for keep in keeps if not 0 <= keep <= size]} of {size} scores")
    wanted = sorted({keep for keep in keeps if keep})
    if not wanted:
        return [math.inf for _ in keeps]
    found = _thresholds_cpu(scores, wanted) if scores[0].device.type == "cpu" else _thresholds_device(scores, wanted)
    return [found[keep] if keep else math.inf for keep in keeps]


def count(mask: Tensor) -> int:
    """Number of True entries."""
    return int(np.count_nonzero(flat(mask).numpy())) if mask.device.type == "cpu" else int(torch.count_nonzero(mask))


def flat(values: Tensor) -> Tensor:
    """All entries as a vector in memory order, without a copy where the memory is dense (channels last, say)."""
    values = values.detach()
    dense = torch.empty_like(values, device="meta").stride() == values.stride()
    return values.as_strided((values.numel(),), (1,)) if dense else values.contiguous().view(-1)


def _thresholds_cpu(scores: Sequence[Tensor], keeps: Sequence[int]) -> dict[int, float]:
    arrays = _arrays(scores)
    if sum(array.size for array in arrays) > SMALL:
        if len(keeps) > 1:
            return _counted(arrays, keeps)
        found = _bracketed(arrays, keeps[0])
        if found is not None:
            return {keeps[0]: found}
    ranked = np.concatenate(arrays)
    ranked.sort()
    return {keep: float(ranked[-keep]) for keep in keeps}


def _thresholds_device(scores: Sequence[Tensor], keeps: Sequence[int]) -> dict[int, float]:
    ranked = torch.cat([flat(values) for values in scores]).sort().values
    return {keep: float(ranked[-keep]) for keep in keeps}


def _bracketed(arrays: Sequence[Array], keep: int) -> float | None:
    """The ``keep``-th largest, or None where the sample's bracket does not hold it."""
    sample = np.concatenate([array[::STRIDE] for array in arrays])
    sample.sort()
    size = sum(array.size for array in arrays)
    rank = (size - keep) / size * sample.size
    # Five standard deviations of a sample's rank (binomial), and a few places for small samples.
    margin = 5 * math.sqrt(rank * (1 - rank / sample.size)) + 8
    low = float(sample[max(0, int(rank - margin))])
    high = float(sample[min(sample.size - 1, int(rank + margin))])
    above, between = _inside(arrays, low, high)
    most = above + between.size
    if keep <= above:
        return high if keep > sum(int(np.count_nonzero(array > high)) for array in arrays) else None
    if keep > most:
        return low if keep <= sum(int(np.count_nonzero(array >= low)) for array in arrays) else None
    between.sort()
    return float(between[-(keep - above)])


def _counted(arrays: Sequence[Array], keeps: Sequence[int]) -> dict[int, float]:
    """The k-th largest for each k: all scores are counted by their leading bits, and of those that share theirs with a
    k-th largest, no others, the one that it is is found by sorting."""
    counts = np.zeros(1 << LEADING, np.int64)
    for keys, _ in _keyed(arrays):
        counts += np.bincount(keys, minlength=len(counts))
    # at_least[key]: scores of that key or a larger one.
    at_least = np.cumsum(counts[::-1])[::-1]
    places = {keep: int(np.searchsorted(-at_least, -keep, side="right")) - 1 for keep in keeps}
    wanted = np.zeros(len(counts), bool)
    wanted[list(places.values())] = True
    found = {place: [np.empty(0, arrays[0].dtype)] for place in set(places.values())}
    for keys, block in _keyed(arrays):
        inside = np.flatnonzero(wanted[keys])
        values, theirs = block[inside], keys[inside]
        for place, parts in found.items():
            parts.append(values[theirs == place])
    ranked = {place: np.sort(np.concatenate(parts)) for place, parts in found.items()}
    return {keep: float(ranked[place][int(at_least[place]) - keep - counts[place]]) for keep, place in places.items()}


def _keyed(arrays: Sequence[Array]) -> Iterator[tuple[Array, Array]]:
    """Blocks of the scores, each with the keys that its leading bits make: whole numbers that order as the scores do,
    where those differ. IEEE numbers order as their bits do, negative ones the other way round."""
    integer: type[np.signedinteger[Any]] = np.int64 if arrays[0].dtype == np.float64 else np.int32
    bits = np.iinfo(integer).bits
    for array in arrays:
        for start in range(0, array.size, COUNTED_BLOCK):
            block = array[start : start + COUNTED_BLOCK]
            keys = block.view(integer)
            keys = keys ^ ((keys >> (bits - 1)) & np.iinfo(integer).max)
            keys >>= bits - LEADING
            keys += 1 << (LEADING - 1)
            yield keys.astype(np.intp, copy=False), block


def _inside(arrays: Sequence[Array], low: float, high: float) -> tuple[int, Array]:
    """How many are ``high`` or more, and those strictly between ``low`` and ``high``."""
    above, found = 0, [np.empty(0, arrays[0].dtype)]
    for array in arrays:
        for start in range(0, array.size, BLOCK):
            block = array[start : start + BLOCK]
            top = block >= high
            above += int(np.count_nonzero(top))
            found.append(block[np.flatnonzero((block > low) & ~top)])
    return above, np.concatenate(found)


def _arrays(scores: Sequence[Tensor]) -> list[Array]:
    """The scores as vectors in memory order, of one type that holds each exactly."""
    wide = torch.float64 if any(values.dtype == torch.float64 for values in scores) else torch.float32
    return [flat(values).to(wide).numpy() for values in scores]


def _compare(values: Tensor, least: float) -> Tensor:
    """``values >= least``, in the memory layout of ``values``."""
    if values.device.type != "cpu" or values.dtype not in (torch.float32, torch.float64):
        return values.detach() >= least
    entries = flat(values)
    mask = torch.from_numpy(entries.numpy() >= least)
    copied = entries.data_ptr() != values.data_ptr()
    return mask.view(values.shape) if copied else mask.as_strided(values.shape, values.stride())
