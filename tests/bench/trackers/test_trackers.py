"""What trackers are told, and that none of them can stop a run."""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from bench import cli, trackers
from bench.errors import UsageError
from bench.trackers import Tracked, open_trackers
from bench.trackers.entry import describe
from tests.factories import make_failure, make_record


class Listening:
    """A listener that keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.records: list[str] = []

    def started(self, node, worker=0) -> None: ...

    def trained(self, node, step, loss) -> None: ...

    def finished(self, record) -> None:
        self.records.append(record.key)

    def said(self, text) -> None:
        self.lines.append(text)


class Broken:
    """A tracker that can do nothing."""

    def push(self, record) -> None:
        raise ConnectionError("no route\nto the server")

    def close(self) -> None:
        raise ConnectionError("no route")


def push(name: str, folder: Path, *records) -> None:
    listener = Listening()
    tracked = Tracked(listener, open_trackers([name], folder))
    for record in records:
        tracked.finished(record)
    tracked.close()
    assert (listener.lines, len(listener.records)) == ([], len(records))


def events(folder: Path) -> Iterator[Event]:
    """Events of all files below a folder: TFRecords, each an 8-byte length, 4 bytes of checksum, content, 4 more."""
    for path in sorted(folder.rglob("events.*")):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            yield Event.FromString(content[12 : 12 + length])
            content = content[16 + length :]


def scalars(folder: Path) -> set[tuple[str, int, float]]:
    return {
        (value.tag, event.step, round(value.simple_value, 4))
        for event in events(folder)
        for value in event.summary.value
        if value.HasField("simple_value")
    }


def test_an_entry_names_the_cell_its_choices_and_what_was_measured():
    entry = describe(make_record("grasp", 0.9, seed=2, when="trained"))
    assert entry.name == "toy-news/linear/grasp (trained)/0.9/seed 2"
    assert entry.curve == "toy-news/linear/grasp (trained)/seed 2"
    assert entry.parameters["option.dim"] == 8
    assert (entry.metrics["accuracy"], entry.metrics["sparsity"], entry.step) == (0.9, 0.9, 900)


def test_a_failed_cell_has_its_error_and_no_numbers():
    entry = describe(make_failure("grasp", 0.9))
    assert entry.metrics == {}
    assert (entry.parameters["status"], entry.parameters["error"]) == ("failed", "the loss became NaN at step 7.")


def test_tensorboard_has_a_curve_over_sparsity_and_a_line_a_cell(tmp_path):
    push("tensorboard", tmp_path, *(make_record("grasp", target) for target in (0.5, 0.9)))
    curve = scalars(tmp_path / "tensorboard" / "curves" / "toy-news" / "linear" / "grasp" / "seed_0")
    assert {("accuracy", 500, 0.9), ("accuracy", 900, 0.9), ("flops", 500, 1e6), ("flops", 900, 2e5)} <= curve
    cells = tmp_path / "tensorboard" / "cells" / "toy-news" / "linear" / "grasp"
    assert ("accuracy", 900, 0.9) in scalars(cells / "0.9" / "seed_0")
    tags = {value.tag for event in events(cells / "0.5") for value in event.summary.value}
    assert "_hparams_/session_start_info" in tags


def test_tensorboard_stays_below_its_folder_whatever_a_model_is_called(tmp_path):
    push("tensorboard", tmp_path / "out", make_record(model="../../../elsewhere\n"))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert scalars(tmp_path / "out")


def test_mlflow_has_a_run_a_cell(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    push("mlflow", tmp_path, make_record("grasp", 0.9), make_failure("grasp", 0.98))
    push("mlflow", tmp_path, make_record("grasp", 0.9))
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("prunebench/toy-news")
    runs = {run.data.params["target"]: run for run in client.search_runs([experiment.experiment_id])}
    assert {target: run.info.status for target, run in runs.items()} == {"0.9": "FINISHED", "0.98": "FAILED"}
    assert runs["0.9"].data.metrics["accuracy"] == 0.9


def test_wandb_keeps_a_run_a_cell_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="the extra wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    record = make_record("grasp", 0.9)
    push("wandb", tmp_path, record)
    (run,) = (tmp_path / "wandb").glob("offline-run-*")
    assert run.name.endswith(record.key[:32])
    assert b"accuracy" in (run / f"run-{record.key[:32]}.wandb").read_bytes()


def test_a_tracker_that_fails_is_named_once_and_told_nothing_more():
    listener = Listening()
    tracked = Tracked(listener, {"broken": Broken()})
    for seed in range(3):
        tracked.finished(make_record(seed=seed))
    tracked.close()
    assert len(listener.records) == 3
    assert listener.lines == [
        "broken failed and is told nothing more: ConnectionError: no route to the server. "
        "The run goes on, records are kept."
    ]


def test_a_tracker_that_fails_when_closed_is_named():
    listener = Listening()
    Tracked(listener, {"broken": Broken()}).close()
    assert listener.lines == ["broken failed when it was closed: ConnectionError: no route. Records are kept."]


def test_names_that_there_are_not_and_packages_that_are_missing_are_one_line(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="Did you mean 'tensorboard'"):
        open_trackers(["tensorbord"], tmp_path)
    monkeypatch.setitem(sys.modules, "wandb", None)
    monkeypatch.delitem(sys.modules, "bench.trackers.wandb", raising=False)
    with pytest.raises(UsageError, match=r"wandb does not import .*pip install 'prunebench\[wandb\]'"):
        open_trackers(["wandb"], tmp_path)


def test_run_pushes_each_cell_and_goes_on_where_the_tracker_fails(tmp_path, capsys, monkeypatch):
    grid = ["run", "--task", "ag-news", "--pruner", "random", "--grid", "0.9", "--data", "sample", "--steps", "2",
            "--threads", "1", "--out", str(tmp_path), "--track", "tensorboard"]  # fmt: skip
    assert cli.main(grid) == 0
    assert {step for tag, step, _ in scalars(tmp_path / "tensorboard" / "curves") if tag == "accuracy"} == {0, 898}
    capsys.readouterr()
    monkeypatch.setattr(trackers, "open_trackers", lambda names, folder: {"broken": Broken()})
    assert cli.main([*grid, "--seeds", "1"]) == 0
    said = capsys.readouterr()
    assert said.err.count("broken failed") == 1
    assert "random" in said.out
