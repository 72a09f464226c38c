"""Grids and seeds as people write them."""

from __future__ import annotations

import pytest

from bench.errors import UsageError
from bench.grid import parse_grid, parse_seeds, parse_settings


def test_sparsities_ranges_densities_and_exponents() -> None:
    assert parse_grid("0.5,0.8") == (0.5, 0.8)
    assert parse_grid("0.5:0.95:0.05") == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
    assert parse_grid("d=0.1,0.5") == (0.9, 0.5)
    assert parse_grid("c=0,1,2") == (0.0, 0.9, 0.99)
    assert parse_grid("c=0.5")[0] == pytest.approx(1 - 10**-0.5, abs=1e-12)


def test_the_same_target_twice_is_once() -> None:
    assert parse_grid("0.9,0.90,0.5:0.9:0.4") == (0.9, 0.5)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1.0", "outside [0, 1)"),
        ("-0.1", "sparsity -0.1 is outside [0, 1). Give values from 0 to below 1."),
        ("d=0", "density 0 is outside (0, 1]. Give values above 0, to 1."),
        ("d=1.5", "density 1.5 is outside (0, 1]"),
        ("c=-1", "exponent -1 is outside [0, 12.3]"),
        ("c=13", "exponent 13 is outside [0, 12.3]"),
        ("l=-2", "level -2 is outside [0, 126]"),
        ("nan", "neither a number"),
        ("half", "neither a number"),
        ("0.1:0.5", "neither a number"),
        ("0.5:0.1:0.1", "empty or endless"),
        ("0:1:0", "empty or endless"),
        ("r=4", "unknown kind of target"),
        ("", "neither a number"),
        ("0:1e999999:1e-999999", "neither a number"),
        ("0.5_0", "neither a number"),
        ("\u0660.\u0665", "neither a number"),
        ("c=-1000", "outside [0, 12.3]"),
        ("l=-1e99", "outside [0, 126]"),
        ("0:0.5:0.00006,0.50001:0.99:0.00006", "more than 10,000 values"),
        ("9" * 5_000, "neither a number"),
    ],
)
def test_a_bad_grid_is_one_clear_line(text: str, says: str) -> None:
    with pytest.raises(UsageError, match="--grid") as error:
        parse_grid(text)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_seeds() -> None:
    assert parse_seeds("0-2") == (0, 1, 2)
    assert parse_seeds("5,0-1,5") == (5, 0, 1)
    for bad in ("x", "2-0", "-1", "0-99999999", "\u0661", "0-9999,10000-10001", "1_0"):
        with pytest.raises(UsageError, match="--seeds"):
            parse_seeds(bad)


def test_a_grid_that_nobody_could_wait_for_is_refused_at_once() -> None:
    from bench.grid import Request
    from bench.plan import make

    with pytest.raises(UsageError, match=r"a grid of 20,010,000 cells, 200,000 at most"):
        make(Request(("toy",), ("random",), tuple(n / 2_001 for n in range(2_000)), seeds=tuple(range(10_000))))
    with pytest.raises(UsageError, match=r"9,000,000 iterations: give 1,000 or less"):
        make(Request(("toy",), ("sap",), (0.5,), pruner_settings={"sap.iterations": "9000000"}))
    with pytest.raises(UsageError, match=r"a rate of 1e-09 needs more than 1,000 levels to 0\.5"):
        make(Request(("toy",), ("imp",), (0.5,), pruner_settings={"imp.rate": "1e-9"}))
    with pytest.raises(UsageError, match=r"at least one cut and at most 1,000"):
        make(Request(("toy",), ("gmp",), (0.5,), pruner_settings={"gmp.cuts": "99999999"}))
    for name, value in (
        ("train.steps", "1" + "0" * 12),
        ("train.epochs", "1e12"),
        ("train.batch_size", "1" + "0" * 12),
    ):
        with pytest.raises(UsageError, match=r"give 1,000,000,000 or less"):
            make(Request(("toy",), ("random",), (0.5,), settings={name: value}))


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999"])
def test_a_setting_is_a_finite_number(text: str) -> None:
    from bench.grid import Request
    from bench.plan import make

    for settings, pruner in (({"train.lr": text}, {}), ({}, {"sap.gamma": text})):
        with pytest.raises(UsageError, match="is no finite number"):
            make(Request(("toy",), ("sap",), (0.5,), settings=settings, pruner_settings=pruner))


def test_settings_are_name_equals_value() -> None:
    assert parse_settings(["a=1", "b.c=x=y"]) == {"a": "1", "b.c": "x=y"}
    with pytest.raises(UsageError, match="NAME=VALUE"):
        parse_settings(["a"])
