"""``bench run`` and ``bench plan`` as a person types them: tables, resuming, and one clear line for bad input."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from bench.cli import main
from bench.store import Store

SMALL = ["--task", "toy", "--grid", "0.5"]
HERE = ["--threads", "1", "--device", "cpu"]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def run(out: Path, *more: str) -> int:
    return main(["run", *SMALL, *HERE, "--pruner", "random,magnitude", *more, "--out", str(out)])


def test_run_prints_the_table_on_stdout_and_progress_on_stderr(out: Path, capsys) -> None:
    assert run(out) == 0
    shown = capsys.readouterr()
    assert "Toy clouds" in shown.out
    assert "the embedded synthetic sample" in shown.out
    for row in ("dense", "random", "magnitude", "nearest corner"):
        assert f"\n{row} " in shown.out
    assert "[3/3] toy/mlp magnitude 0.5 seed 0: accuracy" in shown.err
    assert "[" not in shown.out.split("FLOPs are theoretical")[0].split("digest")[1].split("pruner")[0]


def test_the_same_command_again_prints_the_same_table_and_computes_nothing(out: Path, capsys) -> None:
    run(out)
    first = capsys.readouterr()
    assert run(out) == 0
    again = capsys.readouterr()
    assert again.out == first.out
    assert again.err == ""


def test_jsonl_carries_the_promised_keys(out: Path, capsys) -> None:
    run(out, "--format", "jsonl")
    cells = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    promised = {"key", "status", "task", "model", "pruner", "target_sparsity", "sparsity", "total_sparsity", "seed"}
    promised |= {"metrics", "dense_flops", "flops", "dense_bytes", "compressed_bytes", "collapsed_layers"}
    promised |= {"train_steps", "data", "provenance"}
    assert {cell["pruner"] for cell in cells} == {"dense", "random", "magnitude"}
    for cell in cells:
        assert promised <= set(cell)
        assert cell["data"].keys() == {"name", "kind", "counts", "digest"}
        assert isinstance(cell["metrics"]["accuracy"], float)
        assert isinstance(cell["collapsed_layers"], list)
    assert next(cell for cell in cells if cell["pruner"] == "dense")["target_sparsity"] == 0


def test_plan_json_counts_cells_and_steps_before_and_after(out: Path, capsys) -> None:
    grid = ["plan", *SMALL, "--pruner", "random,magnitude", "--when", "trained", "--seeds", "0-2", "--out", str(out)]
    assert main([*grid, "--json"]) == 0
    before = json.loads(capsys.readouterr().out)
    # per seed: dense 40, then two recoveries of 20; cell by cell each trains its own dense model
    assert (before["cells"], before["done"], before["train_steps_shared"]) == (9, 0, 3 * 80)
    assert before["train_steps_cell_by_cell"] == 3 * (40 + 2 * 60)
    assert before["train_steps_left"] == before["train_steps_shared"]
    assert run(out, "--when", "trained", "--seeds", "0-1") == 0
    capsys.readouterr()
    assert main([*grid, "--json"]) == 0
    after = json.loads(capsys.readouterr().out)
    assert (after["done"], after["train_steps_left"]) == (6, 80)
    assert main(grid) == 0
    text = capsys.readouterr().out
    assert "Train(40 steps)" in text
    assert "[done]" in text


def test_plan_says_how_long_the_rest_takes_once_such_steps_were_measured(out: Path, capsys) -> None:
    grid = ["plan", *SMALL, *HERE, "--pruner", "random,magnitude", "--seeds", "0-3", "--out", str(out)]
    assert main(grid) == 0
    assert "time left" not in capsys.readouterr().out
    assert run(out, "--seeds", "0-1") == 0
    capsys.readouterr()
    assert main([*grid, "--json"]) == 0
    left = json.loads(capsys.readouterr().out)["time_left"]
    spent = sum(sum(Store(out).timing(cell.key).values()) for cell in Store(out).records())
    assert left["missing"] == [] and left["jobs"] == 1
    assert left["basis"].startswith("measured in 6 cells of this folder, on ")
    assert 0 < left["seconds"] <= 2 * spent  # as many cells again; a median is at most twice the mean
    assert main([*grid, "--jobs", "2"]) == 0
    assert re.search(r"^time left, about +\d+ (s|min) by 2 jobs   measured in 6 cells", capsys.readouterr().out, re.M)
    assert run(out, "--seeds", "0-3") == 0
    capsys.readouterr()
    assert main(grid) == 0
    assert "time left" not in capsys.readouterr().out


def test_a_dry_run_prints_the_plan_and_leaves_no_folder(out: Path, capsys) -> None:
    assert run(out, "--dry-run") == 0
    assert "training steps, shared" in capsys.readouterr().out
    assert not out.exists()


def test_a_failed_cell_makes_the_exit_code_one_and_keeps_the_rest(out: Path, capsys) -> None:
    assert main(["run", *SMALL, *HERE, "--pruner", "toy-broken,random", "--out", str(out)]) == 1
    shown = capsys.readouterr()
    assert "failed at Cut: 0.weight" in shown.err
    assert "\nrandom " in shown.out
    assert "✗" in shown.out or "failed" in shown.out


def test_a_grid_can_come_from_a_file_and_flags_win(tmp_path: Path, capsys) -> None:
    config = tmp_path / "grid.toml"
    config.write_text(
        'task = "toy"\npruner = ["random", "magnitude"]\ngrid = [0.5, 0.9]\nseeds = 3\nlr = 0.02\n[set]\nwidth = 8\n'
    )
    assert main(["plan", "--config", str(config), "--json", "--out", str(tmp_path / "out")]) == 0
    assert json.loads(capsys.readouterr().out)["cells"] == 5
    assert main(["plan", "--config", str(config), "--grid", "0.5", "--json", "--out", str(tmp_path / "out")]) == 0
    assert json.loads(capsys.readouterr().out)["cells"] == 3


def test_the_python_api_gives_the_same_cells(out: Path, capsys) -> None:
    import bench

    result = bench.run(
        task="toy", pruner=["random", "magnitude"], grid=[0.5], seeds=range(1), out=out, device="cpu", threads=1
    )
    assert [record.pruner for record in result.records] == ["dense", "random", "magnitude"]
    assert "Toy clouds" in str(result)
    assert run(out, "--format", "jsonl") == 0
    cells = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {cell["key"] for cell in cells} == {record.key for record in result.records}
    assert callable(bench.run)  # the submodules that a run imports do not shadow it


SETTINGS = [
    (["--batch-size", "0"], "train schedule: batch_size is 0: give 1 or more"),
    (["--epochs", "nan"], "train.epochs=nan: 'nan' is no finite number"),
    (["--lr", "inf"], "train.lr=inf: 'inf' is no finite number"),
    (["--set", "train.clip=-1"], "clip is -1.0"),
    (["--set", "train.warmup=-3"], "warmup is -3: give 0 or more"),
    (["--set", "train.optimizer=adamx"], "optimizer is 'adamx': give one of adam, adamw, sgd"),
    (["--set", "train.decay=foo"], "decay is 'foo'"),
    (["--set", "score_batches=0"], "score_batches is 0: give 1 or more"),
    (["--epochs", "1", "--steps", "5"], "both steps and epochs are given"),
    (["--recover", "10"], "all asked pruners cut before training. Add --when trained."),
    (["--when", "trained", "--score-after", "5"], "is for a cut at init"),
    (["--out", ""], "--out: is empty"),
    (["--grid", ""], "neither a number"),
]
BAD = [
    (["run", "--task", "toi", "--pruner", "random"], "unknown task 'toi'. Did you mean 'toy'?"),
    (["run", "--task", "toy", "--pruner", "grsp"], "unknown pruner 'grsp'. Did you mean 'grasp'?"),
    (["run", "--task", "toy"], "no --pruner given. 'bench list pruners' shows what there is."),
    (["run", "--pruner", "snip"], "no --task given. 'bench list tasks' shows what there is."),
    (["run", "--task", "toy", "--pruner", "snip", "--grid", "1.5"], "sparsity 1.5 is outside [0, 1)"),
    (["run", "--task", "toy", "--pruner", "snip", "--grid", "c=-1"], "exponent -1 is outside [0, 12.3]"),
    (["run", "--task", "toy", "--pruner", "snip", "--seeds", "x"], "'x' is no seed"),
    (["run", "--task", "toy", "--pruner", "snip", "--when", "soon"], "Give init or trained"),
    (["run", "--task", "toy", "--pruner", "snip", "--device", "gpu9"], "--device gpu9: cannot be used"),
    (["run", "--task", "toy", "--pruner", "snip", "--dtype", "int3"], "There is: float32, bfloat16"),
    (["run", "--task", "toy", "--pruner", "snip", "--format", "docx"], "unknown format 'docx'"),
    (["run", "--task", "toy", "--pruner", "snip", "--threads", "0"], "--threads"),
    (["run", "--task", "toy", "--pruner", "snip", "--set", "width"], "is not NAME=VALUE"),
    (["run", "--task", "toy", "--pruner", "snip", "--set", "wdth=3"], "Did you mean 'width'?"),
    (["run", "--task", "toy", "--pruner", "snip", "--set", "zzzz=3"], "Beside these: train.X and recover.X"),
    (["run", "--task", "toy", "--pruner", "spin"], "'snip'?"),
    (["run", "--task", "toy", "--pruner", "imp", "--rewind", "-1"], "'--rewind'"),
    (
        ["run", "--task", "toy", "--pruner", "imp", "--rewind", "3", "--set", "imp.rewind=5"],
        "--rewind: is given by --set as well. Leave out --rewind or --set imp.rewind.",
    ),
    (["run", "--task", "toy", "--pruner", "snip", "--config", "no.toml"], "--config no.toml: cannot be read"),
    (["run", "--task", "toy", "--pruner", "snip", "--data", "no-such-folder"], "no such folder"),
    (["run", "--task", "toy", "--pruner", "snip", "--grd", "0.5"], "--grd"),
    (["rnu"], "rnu"),
    (["run", "--task", "toy", "--pruner", "imp", "--when", "init"], "trains before it cuts, and has no other way"),
    *((["run", "--task", "toy", "--pruner", "snip", *words], says) for words, says in SETTINGS),
]


@pytest.mark.parametrize(("words", "says"), BAD, ids=[" ".join(words[1:])[-40:] for words, _ in BAD])
def test_bad_input_is_one_line_and_exit_code_two(words, says, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert says in shown.err
    assert shown.err.startswith("bench: ")
    assert shown.err.count("\n") == 1


def test_bad_files_are_named_with_their_line(tmp_path: Path, out: Path, capsys) -> None:
    folder = tmp_path / "data" / "toy"
    folder.mkdir(parents=True)
    (folder / "points.tsv").write_text("0\t1.0\t2.0\n1\t3.0\n")
    assert run(out, "--data", str(tmp_path / "data")) == 2
    assert "points.tsv, line 2: 2 columns where 3 belong (class, x, y)" in capsys.readouterr().err
    (folder / "points.tsv").write_text("")
    assert run(out, "--data", str(tmp_path / "data")) == 2
    assert "points.tsv: holds no points" in capsys.readouterr().err


def test_folders_that_cannot_hold_results_are_left_alone(tmp_path: Path, capsys) -> None:
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter.txt").write_text("precious")
    assert run(other) == 2
    assert "is not empty and not a results folder" in capsys.readouterr().err
    assert [path.name for path in other.iterdir()] == ["chapter.txt"]
    newer = tmp_path / "newer"
    newer.mkdir()
    (newer / "results.json").write_text('{"schema": 99}')
    assert run(newer) == 2
    assert "has schema 99" in capsys.readouterr().err
    assert [path.name for path in newer.iterdir()] == ["results.json"]
    (tmp_path / "plain").write_text("a file")
    assert run(tmp_path / "plain") == 2
    assert "cannot be written" in capsys.readouterr().err


def test_what_a_flag_is_not_for_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--when", "trained", "--recover", "3", "--data", "sample"]
    assert main(["plan", *SMALL, "--pruner", "wanda,magnitude,sap,gmp", *asked]) == 0
    shown = capsys.readouterr().out
    assert "wanda has no recovery of its own" in shown and "magnitude has no recovery" not in shown
    assert "sap finds its own sparsities" in shown
    assert "gmp cuts 2 times, not 10" in shown


def test_a_device_that_cannot_be_used_is_told_where_nothing_is_left_to_compute(out: Path, capsys) -> None:
    asked = ["run", *SMALL, "--pruner", "random", "--out", str(out), "--threads", "1"]
    assert main([*asked, "--device", "cpu"]) == 0
    for more in ([], ["--jobs", "2"]):
        assert main([*asked, *more, "--device", "tpu"]) == 2
        assert "--device tpu: cannot be used" in capsys.readouterr().err


@pytest.mark.parametrize("given", [["--recover", "0"], ["--set", "recover.steps=0"]])
def test_a_recovery_turned_off_is_no_flag_for_the_wrong_pruner(
    given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["--when", "trained", *given, "--data", "sample"]
    assert main(["plan", *SMALL, "--pruner", "wanda,magnitude", *asked]) == 0
    assert "no recovery of its own" not in capsys.readouterr().out


def test_dense_may_be_asked_for_by_itself(out: Path, capsys) -> None:
    assert main(["run", *SMALL, *HERE, "--pruner", "dense", "--out", str(out)]) == 0
    assert "[1/1] toy/mlp dense 0 seed 0" in capsys.readouterr().err
    assert main(["plan", *SMALL, "--pruner", "dense,random", "--out", str(out), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["cells"], facts["done"]) == (2, 1)
    assert main(["run", *SMALL, "--pruner", "dense", "--recover", "3", "--out", str(out)]) == 2


def test_the_command_that_show_prints_computes_the_cell_again(tmp_path: Path, capsys) -> None:
    asked = ["--pruner", "snip", "--allocation", "uniform", "--data", "sample", "--set", "recover.steps=4"]
    assert main(["run", *SMALL, *asked, "--out", str(tmp_path / "one")]) == 0
    keys = Store(tmp_path / "one").keys()
    capsys.readouterr()
    for key in keys:
        assert main(["show", key, "--out", str(tmp_path / "one"), "--reproduce"]) == 0
        printed = capsys.readouterr().out
        words = shlex.split(printed)
        assert words[:2] == ["bench", "run"] and printed.count("\n") == 1
        assert main([*words[1:], "--out", str(tmp_path / "two")]) == 0
        capsys.readouterr()
    assert Store(tmp_path / "two").keys() == keys
    assert main(["show", "snip", "--reproduce"]) == 2
    assert "'snip' is no cell" in capsys.readouterr().err
