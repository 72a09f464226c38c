"""What the verbs that only read print, and how they refuse."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bench import cli
from bench.api import Result
from bench.cli.progress import _outcome
from bench.record import Layer
from reports.rows import tables
from tests.factories import make_failure, make_record, make_store

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four cells: two dense, one of grasp with a collapsed layer, one of grasp that failed."""
    layers = (Layer("body.weight", "Linear", 1000, 0), Layer("head.weight", "Linear", 400, 100))
    collapsed = make_record("grasp", 0.9, 0, collapsed_layers=["body.weight"], layers=layers)
    make_store(tmp_path / "res", [make_record(), make_record(seed=1), collapsed, make_failure("grasp", 0.9, 1)])
    return tmp_path / "res"


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    code = cli.main(arguments)
    printed = capsys.readouterr()
    return code, printed.out, printed.err


@pytest.mark.parametrize(
    ("task", "model", "said"),
    [
        ("mnist", "resnet20", "mnist has no model 'resnet20'. There is: lenet-300-100, fc."),
        (
            "msmarco-rerank",
            "conv-knm",
            "--model conv-knm: no model of the task, and no such folder. Did you mean",
        ),
        ("ag-news", "transfomer", "Did you mean 'transformer'?"),
    ],
)
def test_a_model_that_cannot_be_is_refused_by_show_as_by_a_run(capsys, tmp_path, task, model, said):
    for verb in (["show", task], ["run", "--task", task, "--pruner", "random", "--data", "sample"]):
        more = ["--out", str(tmp_path / "out")] if verb[0] == "run" else []
        code, out, err = run(capsys, *verb, "--model", model, *more)
        assert (code, out) == (2, "") and said in err, verb


def test_a_model_that_only_a_hub_may_know_is_said_to_be_one(capsys):
    code, out, _ = run(capsys, "show", "ag-news", "--model", "nope")
    assert code == 0 and "nope, a checkpoint's folder or hub id: whether it is there, a run tells" in out
    for model in ("transformer", "minilm"):
        assert "hub id: whether" not in run(capsys, "show", "ag-news", "--model", model)[1]


def test_report_prints_the_table_and_nothing_else(folder, capsys):
    code, out, err = run(capsys, "report", str(folder))
    assert (code, err) == (0, "")
    assert out.startswith("toy-news")
    assert "\x1b" not in out


def test_report_keeps_dense_in_tables_and_filters_cells_strictly(folder, capsys):
    _, table, _ = run(capsys, "report", str(folder), "--pruner", "grasp")
    assert "\ndense " in table
    _, lines, _ = run(capsys, "report", str(folder), "--pruner", "grasp", "--format", "jsonl")
    assert {json.loads(line)["pruner"] for line in lines.splitlines()} == {"grasp"}


def test_report_writes_to_a_file(folder, tmp_path, capsys):
    assert run(capsys, "report", str(folder), "--format", "csv", "--output", str(tmp_path / "cells.csv")) == (0, "", "")
    assert len((tmp_path / "cells.csv").read_text().splitlines()) == 1 + 4


def test_report_answers_over_tasks(folder, capsys):
    code, out, err = run(capsys, "report", str(folder), "--summary", "--pruner", "grasp")
    assert (code, err) == (0, "")
    assert out.startswith("Which pruner is safe where") and "Families side by side" in out
    _, lines, _ = run(capsys, "report", str(folder), "--summary", "--format", "jsonl")
    assert [json.loads(line)["pruner"] for line in lines.splitlines()] == ["grasp"]


def test_a_task_and_a_pruner_that_never_met_are_no_selection(tmp_path, capsys):
    make_store(tmp_path, [make_record("grasp", 0.5), make_record("snip", 0.5, task="other")])
    code, out, err = run(capsys, "report", str(tmp_path), "--task", "toy-news", "--pruner", "snip")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "no cell is of these tasks and these pruners" in err


def test_reading_records_leaves_the_garbage_collector_as_it_was(folder, capsys):
    assert gc.isenabled()
    run(capsys, "report", str(folder), "--task", "none")
    assert gc.isenabled()


def test_status_counts_cells_and_tells_why_some_failed(folder, capsys):
    code, out, _ = run(capsys, "status", str(folder))
    assert code == 0
    assert "4: 3 done, 1 failed" in out
    assert "toy-news grasp at 0.9, seed 1: the loss became NaN at step 7 (Train), see logs/toy.txt" in out


@pytest.mark.parametrize(("count", "said"), [(1, "1 unfinished training, "), (2, "2 unfinished trainings, ")])
def test_status_tells_trainings_from_their_steps(folder, capsys, count, said):
    (folder / "partial").mkdir(exist_ok=True)
    for number in range(count):
        (folder / "partial" / f"{number}.safetensors").write_bytes(b"")
    _, out, _ = run(capsys, "status", str(folder))
    assert f"{said}kept half-way" in out


def test_progress_prints_the_leading_metric_as_the_table_does():
    record = make_record(metrics={"loss": 0.3, "accuracy": 0.9107})
    assert _outcome(record) == "toy-news/linear dense 0 seed 0: accuracy 91.07 %"
    plain = [{"name": "AP", "higher_is_better": True, "percent": False}]
    assert _outcome(make_record(metrics={"AP": 0.12345}, metric_info=plain)).endswith(": AP 0.1235")


def test_a_result_is_short_where_a_shell_shows_it():
    result = Result([make_record(), make_failure("grasp", 0.9)], tables([make_record()]))
    assert repr(result) == "<Result: 1 cells done, 1 failed; print() shows the tables>"
    assert "toy-news" in str(result)


def test_verbs_that_read_say_what_they_leave_out_and_move_nothing(folder, capsys):
    victim = next((folder / "records").glob("*.json"))
    victim.write_text(victim.read_text().replace('"seed": ', '"seed": 1'))
    _, out, _ = run(capsys, "status", str(folder), "--json")
    found = json.loads(out)
    assert (found["cells"], found["damaged"]) == (3, [])
    assert found["left_out"] == {f"records/{victim.name}": "is damaged"}
    _, out, _ = run(capsys, "status", str(folder))
    assert "left out  1 that are not whole" in out and f"  records/{victim.name} is damaged\n" in out
    code, out, err = run(capsys, "report", str(folder), "--format", "csv")
    assert (code, len(out.splitlines())) == (0, 4)
    assert err == (
        f"bench: {folder}: left out, as not whole: records/{victim.name} is damaged. "
        "Nothing was moved: put back what is missing, or 'bench run' computes it again.\n"
    )
    code, _, err = run(capsys, "show", victim.stem, "--out", str(folder))
    assert (code, err) == (2, f"bench: {victim}: is damaged. Put it back, or 'bench run' computes the cell again.\n")
    code, out, _ = run(capsys, "compare", str(folder), str(folder))
    assert code == 4 and out.count(f"{folder}, records/{victim.name}: is damaged") == 2
    code, _, err = run(capsys, "compare", str(folder / "base.jsonl"), str(folder), "--update-baseline")
    assert code == 2 and "is damaged" in err and not (folder / "base.jsonl").exists()
    for other in (folder / "records").glob("*.json"):
        other.write_text("{}")
    code, _, err = run(capsys, "report", str(folder))
    assert code == 2 and "none of its 4 records is whole" in err and err.count("\n") == 1
    assert len([*(folder / "records").glob("*.json")]) == 4 and not [*(folder / "damaged").glob("*")]


def test_show_prints_a_cell_found_by_the_start_of_its_key(folder, capsys):
    key = make_failure("grasp", 0.9, 1).key
    code, out, _ = run(capsys, "show", key[:8], "--out", str(folder))
    assert code == 0
    assert key in out
    assert "the loss became NaN at step 7. (Train), see logs/toy.txt" in out
    assert "Cut allocation=global sparsity=0.9 structure=weights" in out


def test_show_of_a_failed_cell_leaves_out_what_it_never_came_to(folder, capsys):
    _, out, _ = run(capsys, "show", make_failure("grasp", 0.9, 1).key, "--out", str(folder))
    assert "null" not in out and "unknown" not in out
    names = {line.split("  ")[0] for line in out.splitlines()}
    assert "target" in names
    assert not names & {"sparsity", "weights", "FLOPs", "bytes", "mask digest"}


def test_names_that_are_suggested_are_named_once(capsys):
    _, _, err = run(capsys, "show", "zzzzzzzzzz")
    names = err.split("There is: ")[1].rstrip(".\n").split(", ")
    assert len(names) == len(set(names))


def test_show_lists_layers_and_marks_a_collapsed_one(folder, capsys):
    (key,) = [path.stem for path in (folder / "records").glob("*.json") if "head.weight" in path.read_text()]
    _, out, _ = run(capsys, "show", key, "--out", str(folder))
    layers = [line.split() for line in out.splitlines() if ".weight " in line]
    assert layers == [
        ["body.weight", "Linear", "1000", "0", "0.0000", "†"],
        ["head.weight", "Linear", "400", "100", "0.2500"],
    ]


def test_show_of_a_key_that_several_share_asks_for_more(tmp_path, capsys):
    first = make_record()
    make_store(tmp_path, [replace(first, key="abcd1" + "0" * 59), replace(first, key="abcd2" + "0" * 59)])
    code, _, err = run(capsys, "show", "abcd", "--out", str(tmp_path))
    assert (code, err) == (2, f"bench: {tmp_path}: 2 keys begin with 'abcd'. Give more of the key.\n")


def test_list_gives_clean_json(capsys):
    code, out, _ = run(capsys, "list", "structures", "--json")
    assert code == 0
    assert ("structures", "weights") in {(entry["kind"], entry["name"]) for entry in json.loads(out)}


REFUSALS = {
    "report FOLDER --format pdf": "--format: unknown format 'pdf'."
    " There is: text, md, latex, html, csv, jsonl, parquet.",
    "report FOLDER --format jsnl": "--format: unknown format 'jsnl'. Did you mean 'jsonl'?",
    "report FOLDER --pruner grsp": "--pruner: no cell of 'grsp' in the folder. Did you mean 'grasp'?",
    "report FOLDER --pruner ,": "--task and --pruner: no cell is of these tasks and these pruners."
    " 'bench status' counts cells.",
    "report FOLDER --summary --pruner dense": "--summary: no pruned cell in the folder."
    " Run a pruner with this --out first.",
    "report FOLDER --summary --pruner dense --format html": "--summary: no pruned cell in the folder."
    " Run a pruner with this --out first.",
    "report FOLDER --format parquet": "--format parquet: is a binary format. Give 'bench report' a file with --output.",
    "report FOLDER/none": "FOLDER/none: is not a results folder. Give the --out of a 'bench run'.",
    "report FOLDER --output FOLDER/no/x": "--output FOLDER/no/x: cannot be written (No such file or directory).",
    "status FOLDER/none": "FOLDER/none: is not a results folder. Give the --out of a 'bench run'.",
    "show grsp": "'grsp' is no task, pruner or key. Did you mean 'grasp'?",
    "show ab1": "'ab1' is no task or pruner, and too short for a key. Give at least 4 digits.",
    "list prunners": "unknown kind 'prunners'. Did you mean 'pruners'?",
    "doctor --data FOLDER/none": "--data FOLDER/none: no such folder. Give the folder that holds the data sets.",
}


@pytest.mark.parametrize("command", REFUSALS)
def test_bad_input_is_one_line_and_exit_code_2(command, folder, capsys):
    code, out, err = run(capsys, *command.replace("FOLDER", str(folder)).split())
    assert (code, out) == (2, "")
    assert err == f"bench: {REFUSALS[command]}\n".replace("FOLDER", str(folder))


@pytest.mark.parametrize("command", ["reprot", "report --frmat md", "show", "--bogus", "report a b"])
def test_wrong_usage_is_one_line_that_names_the_help(command, capsys):
    code, out, err = run(capsys, *command.split())
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "--help'." in err


def test_a_folder_of_a_newer_version_is_refused(folder, capsys):
    (folder / "results.json").write_text('{"schema": 99}')
    code, _, err = run(capsys, "report", str(folder))
    assert code == 2
    assert "schema 99" in err


def test_an_empty_results_folder_says_what_to_do(tmp_path, capsys):
    make_store(tmp_path / "empty", [])
    code, out, err = run(capsys, "report", str(tmp_path / "empty"))
    assert (code, out) == (2, "")
    assert "no finished cell yet" in err


def test_a_defect_is_one_line_and_its_traceback_comes_with_debug(folder, capsys, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("wires crossed")

    monkeypatch.setattr("bench.store.Store.records", broken)
    code, _, err = run(capsys, "report", str(folder))
    assert (code, err.count("\n")) == (70, 1)
    assert "RuntimeError: wires crossed" in err
    _, _, err = run(capsys, "report", "--debug", str(folder))
    assert "Traceback" in err


def test_an_interrupt_ends_with_130(folder, capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.store.Store.records", interrupted)
    code, out, err = run(capsys, "report", str(folder))
    assert (code, out) == (130, "")
    assert err.count("\n") == 1


def test_a_reader_that_goes_away_is_no_error(tmp_path):
    """Far more than a pipe holds is written to one that is closed after a line."""
    make_store(tmp_path / "res", [make_record("grasp", 0.9, seed) for seed in range(100)])
    command = [sys.executable, "-m", "bench", "report", str(tmp_path / "res"), "--format", "jsonl"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline().startswith(b"{")
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=60) == 141


def test_no_report_imports_torch(folder):
    code = (
        "import sys; from bench.cli import main; "
        f"[main(['report', {str(folder)!r}, '--format', f, *more]) for f in ('text', 'latex', 'jsonl') "
        "for more in ([], ['--summary'])]; print('torch' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stderr.strip() == "False"
