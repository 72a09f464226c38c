"""Mutated TOML grids: each means what the same flags mean, or is refused in one line."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from bench.cli import flags, main
from bench.errors import UsageError
from bench.plan import make
from tests.fuzz.judging import Tally, in_time
from tests.fuzz.mutations import TEXT, mutated

GRIDS = (
    b'task = "toy"\npruner = ["random", "magnitude"]\ngrid = [0.5, 0.9]\nseeds = "0-2"\n\n[set]\n"train.lr" = 1e-3\n',
    b'task = ["toy"]\npruner = "random,magnitude"\ngrid = "c=0.1,0.5"\nseeds = [0, 1, 7]\n'
    b'when = "trained"\nrecover = 8\n',
    b'# a comment\ntask = "toy"\npruner = "imp"\nrewind = 3\nsteps = 10\nbatch-size = 8\n'
    b"[set.train]\nlr = 0.01\n[set.imp]\nrate = 0.3\n",
    b'task = "toy"\npruner = "magnitude"\nstructure = "2:4"\ndtype = "bfloat16"\nallocation = "uniform"\nlr = 0.1\n',
    b'task = "toy"\npruner = "random"\ngrid = "0.5:0.9:0.1"\nseeds = 0\nepochs = 1.5\nexclude = ""\nout = "results"\n',
)


def as_flags(content: bytes) -> dict[str, Any] | None:
    """The same grid as a person would type it, one flag an entry; None for what is no TOML or no flag."""
    try:
        table = tomllib.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return None
    found: dict[str, Any] = {"set_": []}
    for name, value in table.items():
        flag = name.replace("-", "_")
        if flag == "set":
            found["set_"] = [f"{setting}={_typed(inner)}" for setting, inner in _settings(value)]
        else:
            found[flag] = _typed(value)
    return found


def _settings(table: dict[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        yield from _settings(value, f"{before}{name}.") if isinstance(value, dict) else [(f"{before}{name}", value)]


def _typed(value: Any) -> str:
    return ",".join(str(one) for one in value) if isinstance(value, list) else str(value)


def described(given: dict[str, Any]) -> object:
    """The request and the keys of its plan: all that a run would depend upon."""
    request, folder = flags.request(given)
    assert all(0 <= sparsity < 1 for sparsity in request.sparsities) and all(seed >= 0 for seed in request.seeds)
    return request, folder, [cell.key for cell in make(request).cells]


def test_a_mutated_grid_means_what_its_flags_mean_or_is_refused_in_one_line(fuzz: int, tmp_path: Path) -> None:
    tally = Tally("TOML grids")
    path = tmp_path / "grid.toml"
    for number in range(fuzz):
        content = mutated(GRIDS, number, TEXT, "toml")
        path.write_bytes(content)
        typed = as_flags(content)
        expected = partial(described, typed) if typed is not None else lambda: "no TOML"
        tally.judge(number, partial(described, {"config": str(path)}), expected, content)
    tally.close(fuzz)


def test_the_command_line_refuses_a_mutated_grid_with_code_2_and_one_line(fuzz: int, tmp_path: Path, capsys) -> None:
    path = tmp_path / "grid.toml"
    codes = set()
    for number in range(max(20, fuzz // 5)):
        content = mutated(GRIDS, number, TEXT, "command line")
        path.write_bytes(content)
        with in_time():
            code = main(["plan", "--config", str(path), "--out", str(tmp_path / "out"), "--json"])
        shown = capsys.readouterr()
        codes.add(code)
        assert code in (0, 2), (number, content[:300], shown.err[:300])
        if code == 2:
            assert len(shown.err.splitlines()) == 1 and shown.err.startswith("bench: ") and shown.out == "", number
    assert codes == {0, 2}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("grid = " + "[" * 100_000, "is no TOML"),
        ("a = 1\n" * 400_000, "is larger than"),
        ("set = 3\n", "'set' is no table"),
        ('grid = "0:1e999999:1e-999999"\n', "neither a number nor START:END:STEP"),
        ('grid = "l=-1e99"\n', "is outside"),
        ('grid = "c=-1000"\n', "is outside"),
        ('grid = "0:0.99:0.0001"\nseeds = "0-9998"\n', "cells"),
        ("steps = 99999999999999999999999999\n", "steps"),
        ("epochs = inf\n", "epochs"),
        ("steps = 5\rlr = 0.1\r", "is no TOML"),
        ("lr = nan\n", "lr"),
    ],
)
def test_what_the_fuzzer_found_is_one_line(tmp_path: Path, capsys, text: str, said: str) -> None:
    path = tmp_path / "grid.toml"
    path.write_bytes(b'task = "toy"\npruner = "random"\n' + text.encode())
    assert main(["plan", "--config", str(path), "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("bench: ") and said in line and len(line) < 1_000


def test_a_byte_order_mark_before_a_grid_means_nothing(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    for content in GRIDS:
        path.write_bytes(b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n"))
        assert described({"config": str(path)}) == described(as_flags(content) or {})


def test_a_grid_that_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        flags.request({"config": str(tmp_path)})
