"""Keys: equal prefixes share them, and what must not alias does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.steps import Cut, Evaluate, Init, Schedule, Score, Train, keys, root_key

PLAN = Schedule(lr=0.1, batch_size=8, steps=100)
SCORE = Score("magnitude", 1, 0, 8)


def test_equal_prefixes_have_equal_keys_and_different_ends_do_not() -> None:
    half = keys("root", [Init(), SCORE, Cut(0.5), Train(PLAN, 100), Evaluate()])
    most = keys("root", [Init(), SCORE, Cut(0.9), Train(PLAN, 100), Evaluate()])
    assert half[:2] == most[:2]
    assert not set(half[2:]) & set(most[2:])


def test_a_key_depends_on_all_that_came_before() -> None:
    assert keys("one", [Init()]) != keys("two", [Init()])
    assert keys("root", [Init(), Cut(0.5), SCORE])[-1] != keys("root", [Init(), SCORE])[-1]


def test_training_in_two_stretches_is_training_in_one() -> None:
    whole = keys("root", [Init(), Train(PLAN, 100), Evaluate()])
    parts = keys("root", [Init(), Train(PLAN, 30), Train(PLAN, 100), Evaluate()])
    assert parts[-1] == whole[-1]
    assert parts[2] == whole[1]


def test_two_schedules_in_a_row_are_not_one() -> None:
    other = replace(PLAN, stream="recover")
    assert (
        keys("root", [Init(), Train(PLAN, 100), Train(other, 100)])[-1] != keys("root", [Init(), Train(other, 100)])[-1]
    )


@pytest.mark.parametrize("change", [{"lr": 0.2}, {"steps": 101}, {"warmup": 1}, {"betas": (0.9, 0.98)}, {"clip": 1.0}])
def test_every_setting_of_a_schedule_changes_the_key(change: dict) -> None:
    assert keys("root", [Train(PLAN, 50)]) != keys("root", [Train(replace(PLAN, **change), 50)])


def test_keys_are_what_they_were() -> None:
    """Golden: a change of these means that old results are no longer found; raise SEMANTICS knowingly."""
    root = root_key({"task": "toy", "seed": 0})
    assert root == "b135c31ecb6acda83d9bddaceabf11b70ccefaea2a9d66264b12b2ef69ac8c26"
    path = [Init(), SCORE, Cut(0.9), Train(PLAN, 100), Evaluate()]
    assert keys(root, path)[-1] == "c5ffe201f9e05ea7dc215699cb05c894fd38b4461c6a9c3edc1055a5d9270055"


def test_epochs_become_steps_rounding_a_last_small_batch_up() -> None:
    # 20 examples in batches of 8 are 3 batches; 2.5 epochs of 3 are 7.5, rounded to 8.
    assert Schedule(lr=1, batch_size=8, epochs=2.5).resolved(20).steps == 8
    with pytest.raises(ValueError, match="steps or epochs"):
        Schedule(lr=1, batch_size=8).resolved(20)


def test_rates_follow_their_formulas() -> None:
    linear = Schedule(lr=1.0, batch_size=1, steps=12, warmup=2, decay="linear")
    assert [linear.rate(step) for step in (0, 1, 2, 7, 12)] == [0.5, 1.0, 1.0, 0.5, 0.0]
    cosine = Schedule(lr=1.0, batch_size=1, steps=10, decay="cosine", floor=0.2)
    assert cosine.rate(0) == 1.0
    assert cosine.rate(5) == pytest.approx(0.6)  # floor + (1 - floor) / 2
    assert cosine.rate(10) == pytest.approx(0.2)
    drops = Schedule(lr=1.0, batch_size=1, steps=100, decay="milestones", milestones=(0.5, 0.75))
    assert [drops.rate(step) for step in (49, 50, 75)] == pytest.approx([1.0, 0.1, 0.01])
