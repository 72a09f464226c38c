"""How numbers read."""

from __future__ import annotations

import math

import pytest

from reports import figures
from reports.estimates import Estimate
from reports.table import MetricInfo

PERCENT, PLAIN = MetricInfo("accuracy", True, True), MetricInfo("loss", False)


def test_percentages_are_times_hundred_with_two_decimals_and_others_have_four():
    assert figures.metric(Estimate(0.91234, 0.00456, 3), PERCENT) == "91.23 ±0.46"
    assert figures.metric(Estimate(0.91234, 0.00456, 3), PLAIN) == "0.9123 ±0.0046"
    assert figures.heading(PERCENT) == "accuracy % ↑"
    assert figures.heading(PLAIN) == "loss ↓"


def test_one_seed_shows_no_interval_and_nothing_shows_a_dash():
    assert figures.metric(Estimate(0.5, None, 1), PLAIN) == "0.5000"
    assert figures.metric(None, PLAIN) == "–"


def test_differences_carry_their_sign_and_zero_carries_none():
    assert figures.metric(Estimate(0.01, None, 1), PERCENT, signed=True) == "+1.00"
    assert figures.metric(Estimate(-0.01, None, 1), PERCENT, signed=True) == "-1.00"
    assert figures.metric(Estimate(-1e-9, None, 1), PERCENT, signed=True) == "0.00"


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ([0.5, 0.9], ["0.50", "0.90"]),
        ([0.968, 0.9], ["0.968", "0.900"]),
        ([0.9684, 0.968], ["0.9684", "0.9680"]),
        ([0.00004, 0.0], ["0.0000", "0.0000"]),
        ([0.99999, None], ["0.99999", "–"]),
        ([1.0, 0.99999], ["1.00000", "0.99999"]),
        ([0.999996, 1.0], ["0.999996", "1.000000"]),
    ],
)
def test_a_column_of_sparsities_has_the_decimals_it_needs(values, shown):
    assert figures.sparsities(values) == shown


def test_flops_take_the_unit_that_suits_the_largest():
    assert figures.flops_scale([None, 3.2e9, 5e6]) == (1e9, "GFLOPs")
    assert figures.flops_scale([5e6]) == (1e6, "MFLOPs")
    assert figures.flops_scale([512.0]) == (1.0, "FLOPs")
    assert figures.flops(22_953_600_000, 1e9) == "22.95"


def test_flops_of_models_of_other_sizes_stand_each_in_their_own_unit():
    assert figures.flops_column([2.5e6, 30_000.0, None]) == ("MFLOPs", ["2.500", "0.0300", "–"])
    assert figures.flops_column([2.5e6], [3e9]) == ("FLOPs", ["2.500 M"])
    assert figures.flops_column([4.2e9, 51_200.0, 512.0, 0.0]) == ("FLOPs", ["4.200 G", "51.20 k", "512.0", "0.000"])


def test_how_many_times_fewer():
    shown = {1.0: "1.00×", 31.25: "31.2×", 1234.5: "1,234×", math.inf: "∞", None: "–"}
    assert {value: figures.times(value) for value in shown} == shown


def test_runs_of_seeds_are_ranges():
    assert figures.ranges([5, 0, 2, 1]) == "0-2, 5"
