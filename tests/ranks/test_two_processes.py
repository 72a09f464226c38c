"""Two processes on one model: gradients, training, evaluations and errors, against one process's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.ranks.launching import ended, started
from tests.ranks.opened import SMALL


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What ``tests/ranks/pair.py`` found; one start of two processes serves all tests here."""
    folder = tmp_path_factory.mktemp("pair")
    first, second = ended(started(["-m", "tests.ranks.pair", str(folder)]))
    assert (first.code, second.code) == (0, 0), first.err + second.err
    results: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return {**results, "trace": (folder / "fails").read_text()}


@pytest.mark.parametrize("case", SMALL)
def test_the_summed_gradients_are_those_of_the_whole_batch(found: dict[str, Any], case: str) -> None:
    """Seven rows, so that the parts differ in size; in float64, relative to the largest gradient."""
    assert found[f"gradients of {case}"] < 1e-12


@pytest.mark.parametrize("case", SMALL)
def test_an_evaluation_shared_out_is_the_same_to_the_bit(found: dict[str, Any], case: str) -> None:
    assert found[f"evaluation of {case}"] == []


@pytest.mark.parametrize("learned", [False, True], ids=["weights", "weights and masks"])
@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_training_is_two_halves_by_hand_to_the_bit_wherever_it_is_stopped(
    found: dict[str, Any], dropout: float, learned: bool
) -> None:
    """Dropout of each half's own, batch norm, clipping, a batch of which one process has no row, learned masks."""
    one = found[f"training {dropout} {learned}"]
    assert one["by hand"] and one["in stretches"]
    assert one["moved"] > 0.05
    assert one["scores"] == (2 if learned else 0)


def test_a_parameter_that_any_row_touches_has_a_gradient_and_others_have_none(found: dict[str, Any]) -> None:
    # The mean of 1 * 2 * (1, 2) and 1 * 30: d/d always = (2 + 4 + 30) / 3, d/d first = (1 + 2) / 3.
    assert found["touched"] == ["always 12.0", "first 1.0"]


def test_work_is_spread_in_turn_and_handed_to_all_in_order(found: dict[str, Any]) -> None:
    assert found["who works"] == [0, 1, 0, 1, 0]
    numbers, texts, one, nothing = found["spreads"]
    expected: list[Any] = []
    for count in range(5):
        expected += [[float(value) for value in range(count)], count == 3, []]
    assert numbers == expected
    assert texts == [["ä", "x"], ["", "x"], ["b\nc", "x"]]
    assert one == [[0]]
    assert nothing == []


def test_an_error_of_another_process_is_told_by_the_first_which_goes_on(found: dict[str, Any]) -> None:
    assert found["fails"] == "rank 1 of 2: ValueError: number 1 is odd."
    assert found["trace"].startswith("Traceback") and "in work\n" in found["trace"]
    assert found["fails in a step"] == "rank 1 of 2: MemoryError: no room for the second half."
    assert found["concludes"] == "rank 0 went on"  # all later jobs are done


def test_processes_that_spread_other_work_than_one_another_are_told_so(found: dict[str, Any]) -> None:
    assert found["leaves early"].startswith("the processes of one cell are at different places.")
    assert found["counts apart"] == "the processes spread 4, 5 items, which must be as many."
