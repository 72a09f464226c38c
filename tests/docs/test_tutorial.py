"""The tutorial's commands, run in order, print what the tutorial shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.tutorial import LEFT_OUT, WIDTH, Turn, turns

NUMBER = re.compile(r"(?<![\w.])[+-]?\d[\d,]*(\.\d+)?")
MARKS = str.maketrans("", "", "›*─")
"""Which row is best, or passes a test, may turn on a last digit."""


def words(text: str) -> list[str]:
    """Words and numbers, without what depends on the width of a column."""
    return [word for word in text.translate(MARKS).split() if word]


def agree(shown: str, printed: str) -> bool:
    """Whether two words are one, but for figures that another processor may give otherwise in their first digits."""
    if re.fullmatch(r"[0-9a-f]{12,}", shown):
        return re.fullmatch(r"[0-9a-f]{12,}", printed) is not None
    if NUMBER.sub("#", shown) != NUMBER.sub("#", printed):
        return False
    pairs = zip(NUMBER.finditer(shown), NUMBER.finditer(printed), strict=True)
    return all(abs(_value(one[0]) - _value(other[0])) <= 3 + 0.3 * abs(_value(one[0])) for one, other in pairs)


def _value(number: str) -> float:
    return float(number.replace(",", ""))


def check(turn: Turn) -> None:
    assert turn.shown is not None
    if LEFT_OUT in turn.shown:
        rest = turn.printed.splitlines()
        for line in filter(None, (line.partition(LEFT_OUT)[0].rstrip() for line in turn.shown.splitlines())):
            found = [number for number, other in enumerate(rest) if _same(line, other[: len(line)])]
            assert found, f"{turn.code}prints no line {line!r}"
            rest = rest[found[0] + 1 :]
    else:
        assert _same(turn.shown, turn.printed), f"{turn.code}prints\n{turn.printed}"


def _same(shown: str, printed: str) -> bool:
    one, other = words(shown), words(printed)
    return len(one) == len(other) and all(map(agree, one, other))


def test_the_tutorial_prints_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", WIDTH)
    done = list(turns(tmp_path))
    assert len(done) >= 9
    for turn in done:
        if turn.shown is not None:
            check(turn)


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("accuracy ›91.37 ±1.00", "accuracy  91.40 ±1.02*", True),
        ("accuracy 91.37", "accuracy 41.37", False),
        ("done 3, failed 0", "done 3, failed 0", True),
        ("digest 4cd8176e3f91", "digest 4cd8176e3f92", True),
        ("magnitude 0.50", "random 0.50", False),
        ("one", "one two", False),
    ],
)
def test_what_counts_as_the_same(shown: str, printed: str, same: bool) -> None:
    assert _same(shown, printed) is same
