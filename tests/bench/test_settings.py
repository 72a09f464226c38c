"""Flags change a preset, each value read by the type of its field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest

from bench.errors import UsageError
from bench.settings import override
from bench.steps import Schedule
from tasks.base import Preset


@dataclass(frozen=True)
class Options:
    model: str = "small"
    width: int = 4
    rate: float = 0.5
    flag: bool = False
    limit: int | None = None
    kind: Literal["atomic", "naive"] = "atomic"


PRESET = Preset(Options(), Schedule(lr=0.1, batch_size=4, epochs=3), Schedule(lr=0.01, batch_size=4, steps=5))


def test_options_schedules_and_scoring() -> None:
    text = {"width": "8", "flag": "true", "limit": "3", "kind": "naive", "train.lr": "1e-3", "score_batches": "7"}
    changed = override(PRESET, {**text, "train.betas": "0.9,0.98", "recover.batch_size": "2"})
    assert changed.options == Options(width=8, flag=True, limit=3, kind="naive")
    assert (changed.train.lr, changed.train.betas, changed.train.epochs) == (1e-3, (0.9, 0.98), 3)
    assert changed.recover.batch_size == 2
    assert changed.score_batches == 7
    assert override(changed, {"limit": "none"}).options.limit is None


def test_steps_replace_epochs_and_the_other_way_round() -> None:
    steps = override(PRESET, {"train.steps": "10"})
    assert (steps.train.steps, steps.train.epochs) == (10, None)
    epochs = override(steps, {"train.epochs": "2"})
    assert (epochs.train.steps, epochs.train.epochs) == (None, 2.0)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("wdith", "8", "Did you mean 'width'"),
        ("train.lrr", "8", "Did you mean 'lr'"),
        ("width", "wide", "no whole number"),
        ("rate", "fast", "no number"),
        ("flag", "perhaps", "neither true nor false"),
        ("kind", "semantic", "none of atomic, naive"),
    ],
)
def test_a_bad_setting_is_one_clear_line(name: str, text: str, says: str) -> None:
    with pytest.raises(UsageError) as error:
        override(PRESET, {name: text})
    assert says in str(error.value)
    assert f"--set {name}={text}" in str(error.value)
