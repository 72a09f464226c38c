"""Is a difference more than noise? A paired test over examples and seeds, and Holm's correction.

Two models are compared on the same examples, at each of S seeds: the difference of example i at seed s is

    d[s, i] = mean + seed effect[s] + example effect[i] + rest[s, i]

so the grand mean is uncertain for two reasons: other seeds, and other examples. The two-way analysis of variance parts
them. With A = N var(seed means), B = S var(example means) and E, the mean square of the rest,

    A / SN            estimates what S seeds leave uncertain, with S-1 degrees of freedom,
    (B - E) / SN      estimates what N examples add, with N-1 (zero where it is negative).

(difference - mean) is then a sum of two independent t variables at these scales (Behrens and Fisher's distribution):
p = E[2 T(N-1, -|difference| / sqrt(V))] with V = (A (S-1) / X + max(B - E, 0)) / SN, X chi-squared with S-1 degrees of
freedom. In the limits it is the paired t test: over seeds where each is one number, over examples with one seed, whose
verdict holds for that seed alone.

Why no bootstrap: resampling three seeds with replacement cannot show what a fourth would do, and the percentile
interval covers 84 % there instead of 95 %, and less where seeds matter more. This one covers 95 to 98 % with 3 and 5
seeds and is conservative with 2 (``tests/reports/test_significance.py`` simulates both). Values of 0 and 1 of which
fewer than about five change per seed remain too few for any interval: it covers 87 to 91 % there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

from reports.estimates import CONFIDENCE

Floats = NDArray[np.float64]

LEAST_SEEDS = 0.05
"""Seeds are taken to differ by at least this share of E: means of few 0/1 values coincide by chance, and without a
floor three seeds that agree to the last example would be called certain."""
NODE_STEP = 0.5
"""Step of the trapezoid rule in log X: analytic and vanishing at both ends, so that the error is below 1e-8."""
NEWTON_STEPS, NEWTON_TOLERANCE = 50, 1e-9


@dataclass(frozen=True)
class Paired:
    """Head minus base, with the interval and the p-value of no difference; these are None where nothing can tell (one
    seed of one number) and the interval where none was asked for."""

    difference: float
    low: float | None
    high: float | None
    p: float | None
    seeds: int
    examples: int
    """Examples behind the test; 1 where each seed is one number."""


def paired(
    base: Sequence[ArrayLike],
    head: Sequence[ArrayLike],
    *,
    confidence: float | None = CONFIDENCE,
    fixed_seeds: bool = False,
) -> Paired:
    """Compares per-example values of two models, one array of shape (examples,) a seed, or one number a seed.

    Seeds are paired by position, examples by position in every array. An example that is not finite in one of the
    arrays is left out of all. With ``confidence`` None there is no interval: its search takes most of the time. Raises
    ``ValueError`` where the shapes differ or nothing is left.

    With ``fixed_seeds`` the verdict is about these seeds, not about others: the t test over the examples' means over
    seeds. It sees far smaller differences, and is the one to ask of the same seeds run twice.
    """
    before, after = (_stacked(values) for values in (base, head))
    if before.shape != after.shape:
        raise ValueError(f"{before.shape} and {after.shape} (seeds, examples) cannot be paired")
    values = after - before
    finite = np.isfinite(values)
    if not finite.all():
        values = values[:, finite.all(axis=0)]
    if not values.size:
        raise ValueError("nothing to compare")
    seeds, examples = values.shape
    if fixed_seeds and examples > 1:
        means = values.mean(axis=0)
        return replace(paired([np.zeros(examples)], [means], confidence=confidence), seeds=seeds)
    difference = float(values.mean())
    of_seeds, of_examples = _variances(values)
    if seeds == examples == 1:
        return Paired(difference, None, None, None, seeds, examples)
    tail = _tail(of_seeds, of_examples, seeds - 1, examples - 1)
    if confidence is None:
        return Paired(difference, None, None, tail(abs(difference)), seeds, examples)
    half = _half_width(tail, of_seeds, of_examples, seeds - 1, examples - 1, confidence)
    return Paired(difference, difference - half, difference + half, tail(abs(difference)), seeds, examples)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjusted p-values (Scand. J. Statist. 6, 1979): each at most the level keeps the chance of one
    false alarm in the family below it. None is no test: it stays and does not count."""
    tested = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for rank, (p, index) in enumerate(tested):
        largest = max(largest, min(1.0, (len(tested) - rank) * p))
        adjusted[index] = largest
    return adjusted


def _stacked(values: Sequence[ArrayLike]) -> Floats:
    """Shape (seeds, examples)."""
    arrays = [np.atleast_1d(np.asarray(value, dtype=np.float64)) for value in values]
    if len({array.shape for array in arrays}) > 1 or any(array.ndim != 1 for array in arrays):
        raise ValueError(f"seeds of shapes {sorted({array.shape for array in arrays})} have no examples in common")
    return np.stack(arrays) if arrays else np.empty((0, 0))


def _variances(values: Floats) -> tuple[float, float]:
    """What seeds and what examples contribute to the variance of the grand mean."""
    seeds, examples = values.shape
    if seeds == 1:
        return 0.0, float(values.var(ddof=1)) / examples if examples > 1 else 0.0
    means = values.mean(axis=1)
    if examples == 1:
        return float(means.var(ddof=1)) / seeds, 0.0
    columns = values.mean(axis=0)
    of_seeds, of_examples = examples * means.var(ddof=1), seeds * columns.var(ddof=1)
    rest = values - means[:, None]
    rest -= columns
    rest += means.mean()
    error = float(np.vdot(rest, rest)) / ((seeds - 1) * (examples - 1))
    cells = seeds * examples
    return max(of_seeds, LEAST_SEEDS * error) / cells, max(of_examples - error, 0.0) / cells


def _tail(of_seeds: float, of_examples: float, seeds_df: int, examples_df: int) -> Callable[[float], float]:
    """P(|error of the mean| >= q), as a function of q."""
    if of_seeds + of_examples == 0:
        return lambda q: 1.0 if q == 0 else 0.0
    if of_seeds == 0 or of_examples == 0:
        df = examples_df if of_seeds == 0 else seeds_df
        scale = math.sqrt(of_seeds + of_examples)
        return lambda q: float(2 * stdtr(df, -q / scale))
    ratios, weights = _nodes(seeds_df)
    scales = np.sqrt(of_seeds * ratios + of_examples)
    return lambda q: float(2 * stdtr(examples_df, -q / scales) @ weights)


@cache
def _nodes(df: int) -> tuple[Floats, Floats]:
    """Values of df / X with their weights, X chi-squared with ``df`` degrees of freedom."""
    logs = np.arange(-75.0 / df, math.log(200 + 4 * df), NODE_STEP)
    heights = df * logs / 2 - np.exp(logs) / 2
    weights = np.exp(heights - heights.max())
    return df / np.exp(logs), weights / weights.sum()


def _half_width(
    tail: Callable[[float], float],
    of_seeds: float,
    of_examples: float,
    seeds_df: int,
    examples_df: int,
    confidence: float,
) -> float:
    """The q whose tail is 1 - confidence. The tail is convex: Newton's steps from below never overshoot."""
    alone = [
        float(stdtrit(df, (1 + confidence) / 2)) * math.sqrt(variance)
        for df, variance in ((seeds_df, of_seeds), (examples_df, of_examples))
        if variance > 0
    ]
    q = max(alone, default=0.0)
    if len(alone) < 2:
        return q
    for _ in range(NEWTON_STEPS):
        excess, small = tail(q) - (1 - confidence), 1e-6 * q
        step = -excess * small / (tail(q + small) - tail(q))
        q += step
        if abs(step) <= NEWTON_TOLERANCE * q:
            break
    return q
