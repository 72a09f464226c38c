"""``bench paper``: list, run and show."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import cli
from reports.papers import published


def run(capsys, *arguments: object) -> tuple[int, str, str]:
    code = cli.main(["paper", *(str(argument) for argument in arguments)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_list_names_every_table_and_its_tasks(capsys):
    code, out, _ = run(capsys, "list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()[1:]] == published.names()
    _, out, _ = run(capsys, "list", "--json")
    found = {entry["name"]: entry for entry in json.loads(out)}
    assert found["ag-news"]["installed"] is True
    assert found["jpq"]["tasks"] == []


@pytest.mark.parametrize("format", ["text", "md", "latex"])
@pytest.mark.parametrize("name", published.names())
def test_each_table_shows_alone_in_each_format(name, format, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, "show", name, "--format", format)
    assert (code, err) == (0, "")
    assert "nothing of it is measured here" in " ".join(out.split())


def test_run_computes_the_grid_and_shows_it_beside_and_show_finds_it_again(capsys, tmp_path):
    arguments = ("--preset", "smoke", "--data", "sample", "--grid", "c=1", "--seeds", "0-1", "--pruner", "random",
                 "--set", "train.steps=20", "--threads", "1", "--out", tmp_path)  # fmt: skip
    code, out, _ = run(capsys, "run", "ag-news", *arguments)
    assert code == 0
    (line,) = [line for line in out.splitlines() if line.lstrip().startswith("1  accuracy random")]
    assert "96.57" in line
    assert "not comparable" in line
    assert "Measured: ag-news: AG News (sample), preset smoke, 2 seeds (0-1)." in out
    assert run(capsys, "show", "ag-news", "--out", tmp_path)[1] == out


def test_a_dry_run_plans_with_the_published_settings_unless_a_preset_is_given(capsys, tmp_path):
    code, out, _ = run(capsys, "run", "ag-news", "--data", "sample", "--dry-run", "--out", tmp_path / "none")
    assert code == 0
    assert "preset paper" in out
    assert not (tmp_path / "none").exists()
    assert "preset smoke" in run(capsys, "run", "ag-news", "--preset", "smoke", "--data", "sample", "--dry-run")[1]


def test_a_table_whose_task_is_missing_or_that_has_none_is_one_clear_line(capsys, tmp_path: Path, monkeypatch):
    from bench import registry

    monkeypatch.setattr(registry, "names", lambda group: ["msmarco-dsi"])
    code, _, err = run(capsys, "run", "ag-news")
    assert code == 2
    assert err == (
        "bench: paper ag-news: needs the task 'ag-news', which is not installed. "
        "'bench paper show ag-news' prints the published figures.\n"
    )
    code, _, err = run(capsys, "run", "bert-squad-movement")
    assert (code, err.count("\n")) == (2, 1)
    assert "cannot be computed: question answering is no task here." in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "ag-new"), "no published table 'ag-new'. Did you mean 'ag-news'?"),
        (("show", "ag-news", "--format", "pdf"), "unknown format 'pdf'"),
        (("show", "ag-news", "--out", "/nowhere/at/all"), "is not a results folder"),
    ],
)
def test_bad_input_is_one_line(arguments, said, capsys):
    code, _, err = run(capsys, *arguments)
    assert (code, err.count("\n")) == (2, 1)
    assert said in err
