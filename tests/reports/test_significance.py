"""Differences and how sure they are, held against scipy and against simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from reports.significance import holm, paired


def differing(draw, seeds, examples, of_seed=0.0, of_example=0.0, rest=1.0):
    """Differences with a true mean of zero: standard deviations between seeds, between examples and of the rest."""
    return (
        of_seed * draw.standard_normal((seeds, 1))
        + of_example * draw.standard_normal((1, examples))
        + rest * draw.standard_normal((seeds, examples))
    )


def against_zero(differences):
    return paired(np.zeros_like(differences), differences)


def test_with_one_seed_it_is_the_paired_t_test_over_examples():
    draw = np.random.default_rng(1)
    base, head = draw.random(150), draw.random(150) + 0.05
    found, expected = paired([base], [head]), stats.ttest_rel(head, base)
    interval = expected.confidence_interval()
    assert found.p == pytest.approx(expected.pvalue, rel=1e-12)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-12)
    assert (found.seeds, found.examples) == (1, 150)


def test_with_one_number_a_seed_it_is_the_paired_t_test_over_seeds():
    base, head = [0.90, 0.92, 0.94], [0.85, 0.86, 0.90]
    found, expected = paired(base, head), stats.ttest_rel(head, base)
    interval = expected.confidence_interval()
    assert found.p == pytest.approx(expected.pvalue, rel=1e-12)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-12)


def test_of_fixed_seeds_it_is_the_paired_t_test_over_the_examples_means():
    draw = np.random.default_rng(8)
    base, head = draw.random((3, 60)), draw.random((3, 60)) + 0.1
    found, expected = paired(base, head, fixed_seeds=True), stats.ttest_rel(head.mean(0), base.mean(0))
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert (found.seeds, found.examples) == (3, 60)


def test_one_seed_agrees_with_scipys_bootstrap_and_permutations():
    draw = np.random.default_rng(2)
    base = (draw.random(800) < 0.9).astype(float)
    head = np.where(draw.random(800) < 0.08, 0.0, base)
    head = np.where(draw.random(800) < 0.03, 1.0, head)
    found = paired([base], [head])
    drawn = stats.bootstrap((head - base,), np.mean, n_resamples=4000, method="percentile", rng=3).confidence_interval
    width = found.high - found.low
    assert abs(found.low - drawn.low) < 0.05 * width
    assert abs(found.high - drawn.high) < 0.05 * width
    close = np.random.default_rng(2).random(60) - 0.45
    flipped = stats.permutation_test((close,), np.mean, permutation_type="samples", n_resamples=20000, rng=4)
    assert against_zero(close[None]).p == pytest.approx(flipped.pvalue, abs=0.02)


def test_seeds_and_examples_together_are_the_sum_of_two_t_variables():
    """The tail against a million draws of it; the variances against the analysis of variance by hand."""
    values = differing(np.random.default_rng(5), 3, 40, of_seed=0.2, of_example=0.6)
    found = against_zero(values)
    means, columns = values.mean(1), values.mean(0)
    rest = values - means[:, None] - columns + values.mean()
    error = (rest**2).sum() / (2 * 39)
    of_seeds, of_examples = 40 * means.var(ddof=1) / 120, (3 * columns.var(ddof=1) - error) / 120
    draw = np.random.default_rng(6)
    errors = np.sqrt(of_seeds * 2 / draw.chisquare(2, 10**6) + of_examples) * draw.standard_t(39, 10**6)
    # three standard errors of a share of about 0.05 among a million draws are 0.0007
    assert np.mean(np.abs(errors) >= abs(found.difference)) == pytest.approx(found.p, abs=0.0015)
    assert np.mean(np.abs(errors) >= found.high - found.difference) == pytest.approx(0.05, abs=0.0007)


@pytest.mark.parametrize("examples", [100, 1000])
@pytest.mark.parametrize("seeds", [1, 3, 5])
@pytest.mark.parametrize(("of_seed", "of_example"), [(0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (3.0, 1.0)])
def test_the_interval_covers_the_truth_92_to_98_times_in_a_hundred(seeds, examples, of_seed, of_example):
    """``of_seed`` in units of the noise that examples leave in a seed's mean; one seed's own mean is its truth."""
    draw = np.random.default_rng(seeds * examples)
    spread = of_seed / np.sqrt(examples) if seeds > 1 else 0.0
    repeats = 1000
    covered = 0
    for _ in range(repeats):
        found = against_zero(differing(draw, seeds, examples, spread, of_example))
        covered += found.low <= 0 <= found.high
    assert 0.92 <= covered / repeats <= 0.98


@pytest.mark.parametrize(("seeds", "examples"), [(1, 400), (3, 400), (5, 400), (3, 10_000)])
def test_accuracies_of_zeros_and_ones_are_covered_as_well(seeds, examples):
    """The head loses a tenth of the examples, nearly the same ones at every seed, and changes others at random."""
    draw = np.random.default_rng(seeds + examples)
    repeats = 300 if examples > 1000 else 1000
    covered = 0
    for _ in range(repeats):
        ease = draw.beta(1.8, 0.2, examples)  # mean 0.9
        base = draw.random((seeds, examples)) < ease
        other = draw.random((seeds, examples)) < ease
        head = np.where(draw.random((seeds, examples)) < 0.05, other, base)
        lost = 0.1 * (1 + 0.3 * draw.standard_normal((seeds, 1)) * (seeds > 1))
        head = head & (draw.random(examples) >= lost)
        found = paired(base, head)
        covered += found.low <= -0.1 * 0.9 <= found.high
    assert 0.92 <= covered / repeats <= 0.98


def test_resampling_three_seeds_would_cover_far_less():
    """Why this is no bootstrap: percentiles of 500 draws of seeds and examples, where seeds differ."""
    draw = np.random.default_rng(7)
    repeats, covered = 300, 0
    for _ in range(repeats):
        values = differing(draw, 3, 100, of_seed=0.3)
        seeds = draw.multinomial(3, [1 / 3] * 3, 500) / 3
        examples = draw.multinomial(100, [0.01] * 100, 500) / 100
        low, high = np.quantile(np.einsum("bs,se,be->b", seeds, values, examples), (0.025, 0.975))
        covered += low <= 0 <= high
    assert covered / repeats < 0.88


def test_two_seeds_that_agree_by_chance_are_no_certainty():
    """One more example wrong at each of two seeds, not the same one: seed means do not differ at all."""
    base = np.ones((2, 100))
    head = base.copy()
    head[0, 3] = head[1, 70] = 0
    found = paired(base, head)
    assert found.difference == pytest.approx(-0.01)
    assert found.p > 0.1


def test_no_difference_is_no_evidence_and_a_constant_one_is_certain():
    same = paired([[1.0, 2.0]] * 2, [[1.0, 2.0]] * 2)
    assert (same.difference, same.low, same.high, same.p) == (0, 0, 0, 1)
    assert paired([[0.25] * 9], [[0.5] * 9]).p == 0


def test_one_number_at_one_seed_can_tell_nothing():
    found = paired([0.5], [0.75])
    assert (found.difference, found.low, found.high, found.p) == (0.25, None, None, None)


def test_examples_that_are_not_finite_anywhere_are_left_out_everywhere():
    whole = paired([[1.0, 2.0, 5.0]], [[2.0, 2.0, 4.0]])
    holed = paired([[1.0, np.nan, 2.0, 5.0]], [[2.0, 1.0, 2.0, 4.0]])
    assert holed == whole


@pytest.mark.parametrize(
    ("base", "head", "said"),
    [
        ([[1.0, 2.0]], [[1.0]], "cannot be paired"),
        ([[1.0], [2.0]], [[1.0]], "cannot be paired"),
        ([[1.0, 2.0], [1.0]], [[1.0, 2.0], [1.0]], "have no examples in common"),
        ([], [], "nothing to compare"),
        ([[np.nan]], [[1.0]], "nothing to compare"),
    ],
)
def test_what_cannot_be_paired_is_an_error(base, head, said):
    with pytest.raises(ValueError, match=said):
        paired(base, head)


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(1, 9)), elements=st.floats(-4, 4, width=16)))
def test_swapping_sides_mirrors_and_the_interval_holds_zero_exactly_where_p_is_above_5_percent(values):
    found, swapped = against_zero(values), paired(values, np.zeros_like(values))
    assert swapped.difference == -found.difference
    assert swapped.p == found.p
    if found.p is not None and abs(found.p - 0.05) > 1e-6:
        assert (found.low <= 0 <= found.high) == (found.p > 0.05)


def test_holm_multiplies_the_smallest_most_and_never_falls():
    # 4 x 0.01; 3 x 0.02; 2 x 0.03 equals it; 0.04 would fall below and is kept up
    assert holm([0.03, 0.01, 0.04, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


def test_holm_does_not_count_what_was_not_tested():
    assert holm([None, 0.02, None, 0.04]) == [None, pytest.approx(0.04), None, pytest.approx(0.04)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_rejects_what_the_step_down_procedure_rejects(p_values):
    level, rejected = 0.05, set()
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        if p_values[index] * (len(p_values) - rank) > level:
            break
        rejected.add(index)
    assert {index for index, p in enumerate(holm(p_values)) if p <= level} == rejected
