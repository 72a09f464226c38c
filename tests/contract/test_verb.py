"""``bench check``, with the tests' toy plug-ins."""

from __future__ import annotations

import json

import pytest

from bench import cli


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.main(arguments)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_it_prints_a_line_a_check(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "check", "pruner", "magnitude")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 16
    assert all(line.startswith("ok      ") for line in out.splitlines())


def test_what_fails_is_said_and_the_exit_code_is_1(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "check", "pruner", "toy-broken")
    assert code == 1
    (line,) = [line for line in out.splitlines() if "shapes and are finite, on a model with a convolution" in line]
    assert line.startswith("FAILED  ") and line.endswith(": scores of 'conv.weight' are NaN or infinite")


def test_json_is_one_array(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "check", "pruner", "toy-broken", "--json")
    found = json.loads(out)
    assert code == 1
    assert {entry["ok"] for entry in found} == {True, False}
    assert "scores of 'conv.weight' are NaN or infinite" in [entry["problem"] for entry in found]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("pruner", "grsp"), "bench: unknown pruner 'grsp'. Did you mean 'grasp'?"),
        (("task", "ag-mews"), "bench: unknown task 'ag-mews'. Did you mean 'ag-news'?"),
    ],
)
def test_an_unknown_name_is_one_line(arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "check", *arguments)
    assert (code, out, err.strip()) == (2, "", said)
