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
        ("-0.1", "outside [0, 1)"),
        ("nan", "neither a number"),
        ("half", "neither a number"),
        ("0.1:0.5", "neither a number"),
        ("0.5:0.1:0.1", "empty or endless"),
        ("0:1:0", "empty or endless"),
        ("r=4", "unknown kind of target"),
        ("", "neither a number"),
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
    for bad in ("x", "2-0", "-1", "0-99999999"):
        with pytest.raises(UsageError, match="--seeds"):
            parse_seeds(bad)


def test_settings_are_name_equals_value() -> None:
    assert parse_settings(["a=1", "b.c=x=y"]) == {"a": "1", "b.c": "x=y"}
    with pytest.raises(UsageError, match="NAME=VALUE"):
        parse_settings(["a"])
