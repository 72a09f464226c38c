"""Running a grid: what is computed once, what fails alone, what a crash leaves."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench import api, runner
from bench.cli import main
from bench.grid import Request
from bench.leases import Leases, Owner
from bench.plan import make
from bench.steps import Cut, Init, Score, Train
from bench.store import Store

GRID = (0.5, 0.9)


def request(**changes: object) -> Request:
    return Request(**{"tasks": ("toy",), "pruners": ("random", "magnitude", "snip"), "sparsities": GRID, **changes})  # type: ignore[arg-type]


class Watcher(api.Silent):
    """Counts what a run does."""

    def __init__(self) -> None:
        self.steps: Counter[str] = Counter()
        self.trained_steps: dict[str, int] = {}
        self.records: list = []

    def started(self, node, worker=0) -> None:
        self.steps[type(node.step).__name__] += 1

    def trained(self, node, step, loss) -> None:
        self.trained_steps[node.key] = node.train_steps - (node.step.to - step)

    def finished(self, record) -> None:
        self.records.append(record)


def run(asked: Request, out: Path, **execution) -> Watcher:
    watcher = Watcher()
    interrupted = execution.pop("interrupted", lambda: False)
    plan, store = make(asked), Store(out, create=True)
    settings = api.Execution("cpu", 1, **execution)
    api.execute(plan, store, settings, asked.dtype, watcher, interrupted)
    return watcher


def contents(out: Path) -> dict[str, bytes]:
    """Every record and every file beside one."""
    return {
        str(path.relative_to(out)): path.read_bytes()
        for folder in ("records", "files")
        for path in sorted((out / folder).iterdir())
    }


def test_the_run_spends_exactly_the_shared_steps_and_scores_once(tmp_path: Path) -> None:
    asked = request(when="trained", seeds=(0, 1, 2))
    plan = make(asked)
    watcher = run(asked, tmp_path / "out")
    assert sum(watcher.trained_steps.values()) == plan.train_steps_shared < plan.train_steps_cell_by_cell
    assert watcher.steps["Score"] == 3 * 3
    assert watcher.steps["Init"] == 3
    assert [record.status for record in watcher.records] == ["done"] * len(plan.cells)


def test_a_finished_grid_does_nothing_again(tmp_path: Path) -> None:
    run(request(), tmp_path / "out")
    before = contents(tmp_path / "out")
    again = run(request(), tmp_path / "out")
    assert not again.steps
    assert contents(tmp_path / "out") == before


def test_a_wider_grid_starts_from_the_dense_model_that_is_there(tmp_path: Path) -> None:
    run(request(when="trained", pruners=("magnitude",)), tmp_path / "out")
    wider = run(request(when="trained", pruners=("magnitude", "snip"), sparsities=(0.5, 0.9, 0.98)), tmp_path / "out")
    assert wider.steps["Init"] == 0
    assert sum(wider.trained_steps.values()) == (1 + 3) * 20  # recovery of the four new cells


@pytest.mark.parametrize("allocation", ["global", "uniform", "erk"])
@pytest.mark.parametrize("when", ["init", "trained"])
def test_every_cell_has_exactly_its_sparsity(tmp_path: Path, allocation: str, when: str) -> None:
    pruners = ("random", "magnitude", "snip", "grasp", "synflow", "toy-tied")
    watcher = run(request(pruners=pruners, allocation=allocation, when=when, sparsities=(0.5, 0.77)), tmp_path / "out")
    assert len(watcher.records) == 1 + 12
    for record in watcher.records:
        assert record.status == "done", record.failure
        assert sum(layer.kept for layer in record.layers) == round((1 - record.target_sparsity) * record.prunable)
        assert record.total_sparsity == pytest.approx(record.sparsity * record.prunable / record.parameters)


def test_a_metric_that_is_nan_fails_its_cell_alone(tmp_path: Path) -> None:
    asked = request(settings={"nan_from": "0.7"})
    watcher = run(asked, tmp_path / "out")
    failed = {(record.pruner, record.target_sparsity) for record in watcher.records if record.status == "failed"}
    assert failed == {("random", 0.9), ("magnitude", 0.9), ("snip", 0.9)}
    assert len(watcher.records) == 7
    record = next(record for record in watcher.records if record.status == "failed")
    assert "the metric accuracy is nan" in record.failure.error
    assert (tmp_path / "out" / record.failure.log).read_text().startswith("Traceback")
    assert not run(asked, tmp_path / "out").steps
    assert run(asked, tmp_path / "out", retry_failed=True).steps["Evaluate"] == 3


def test_training_that_diverges_fails_every_cell_below_it_once(tmp_path: Path) -> None:
    watcher = run(request(when="trained", settings={"train.lr": "1e30"}), tmp_path / "out")
    assert len(watcher.records) == 7
    assert {record.failure.step for record in watcher.records} == {"Train"}
    assert watcher.steps["Train"] == 1


def test_a_criterion_that_gives_nan_names_the_layer(tmp_path: Path) -> None:
    watcher = run(request(pruners=("toy-broken", "random")), tmp_path / "out")
    failed = [record for record in watcher.records if record.status == "failed"]
    assert {record.pruner for record in failed} == {"toy-broken"}
    assert "0.weight" in failed[0].failure.error


def test_fail_fast_stops_at_the_first_failure(tmp_path: Path) -> None:
    from bench.errors import CellError

    with pytest.raises(CellError, match="a cell failed"):
        run(request(pruners=("toy-broken", "random")), tmp_path / "out", fail_fast=True)


def test_a_limit_computes_that_many_cells_and_the_next_run_the_rest(tmp_path: Path) -> None:
    assert len(run(request(), tmp_path / "out", limit=3).records) == 3
    assert len(run(request(), tmp_path / "out").records) == 4


def test_an_interrupted_run_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    asked = request(when="trained")
    run(asked, tmp_path / "whole")
    calls = iter(range(10**9))
    for stop in (7, 33, 61):  # training steps until a stop is asked for
        calls = iter(range(10**9))
        run(asked, tmp_path / "parts", interrupted=lambda stop=stop, calls=calls: next(calls) >= stop)
    last = run(asked, tmp_path / "parts")
    assert last.steps
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")
    assert not list((tmp_path / "parts" / "partial").iterdir())


def test_long_training_is_saved_on_its_way_without_changing_the_result(tmp_path: Path, monkeypatch) -> None:
    run(request(), tmp_path / "whole")
    monkeypatch.setattr(runner, "CHECKPOINT_SECONDS", 0.0)  # save after every step
    run(request(), tmp_path / "often")
    assert contents(tmp_path / "often") == contents(tmp_path / "whole")


def test_what_is_damaged_is_set_aside_and_computed_again(tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(request(when="trained"), out)
    whole = contents(out)
    records, files = sorted((out / "records").iterdir()), sorted((out / "files").iterdir())
    records[0].write_bytes(records[0].read_bytes().replace(b"done", b"dome"))
    records[1].write_bytes(records[1].read_bytes()[:100])
    for path in files:
        if path.name.startswith(records[2].stem):
            path.write_bytes(path.read_bytes()[:-1] + b"?")
    state = next((out / "states").iterdir())
    state.write_bytes(state.read_bytes()[:-4] + b"\0\1\2\3")
    again = run(request(when="trained"), out)
    assert len(again.records) == 3
    assert contents(out) == whole
    assert len(Store(out).damaged()) == 4


def test_states_kept_are_the_dense_models_alone(tmp_path: Path) -> None:
    run(request(when="trained", seeds=(0, 1)), tmp_path / "out")
    assert len(list((tmp_path / "out" / "states").iterdir())) == 2


def test_what_a_killed_run_did_not_come_to_remove_is_removed_by_the_next(tmp_path: Path) -> None:
    asked = request(when="trained")
    run(asked, tmp_path / "out")
    store = Store(tmp_path / "out")
    scored = next(node for node in make(asked).roots[0].node.walk() if isinstance(node.step, Score))
    store.put_state(scored.key, lambda path: path.write_bytes(b"its scores"))  # type: ignore[arg-type,return-value]
    store.put_state("ab" * 32, lambda path: path.write_bytes(b"another grid's"))  # type: ignore[arg-type,return-value]
    kept = store.state_keys()
    killed = Leases(store)
    killed.owner = replace(Owner.this(), id="killed", started="long ago")
    assert killed.take(scored.key, []) is None
    run(asked, tmp_path / "out")
    assert kept - store.state_keys() == {scored.key}
    assert store.storage.names("leases") == []


def test_two_pruners_at_one_seed_see_the_same_init_and_batches(tmp_path: Path) -> None:
    """At target zero after training, both are the dense model and its recovery: the same numbers."""
    watcher = run(request(when="trained", sparsities=(0.0,), pruners=("random", "magnitude")), tmp_path / "out")
    first, second = (record for record in watcher.records if record.pruner != "dense")
    assert first.metrics == second.metrics


def test_the_dense_cell_stands_first_and_carries_everything(tmp_path: Path) -> None:
    watcher = run(request(), tmp_path / "out")
    dense = watcher.records[0]
    assert (dense.pruner, dense.target_sparsity, dense.sparsity, dense.collapsed_layers) == ("dense", 0.0, 0.0, ())
    # 2-16-16-4: two FLOPs a multiply-add of each linear layer
    assert dense.dense_flops == dense.flops == 2 * (2 * 16 + 16 * 16 + 16 * 4)
    assert dense.dense_bytes == 4 * (2 * 16 + 16 + 16 * 16 + 16 + 16 * 4 + 4)
    assert dense.data["kind"] == "sample"
    assert dense.provenance["threads"] == torch.get_num_threads()
    half = next(record for record in watcher.records if record.target_sparsity == 0.5)
    assert half.flops < dense.flops
    assert half.compressed_bytes < dense.compressed_bytes


def test_the_dense_path_is_init_train_evaluate(tmp_path: Path) -> None:
    plan = make(request())
    assert [type(step) for step in plan.cells[0].path[:2]] == [Init, Train]
    assert [type(step) for step in plan.cells[1].path[:4]] == [Init, Score, Cut, Train]


def test_unwritable_and_full_folders_are_one_clear_line(tmp_path: Path, monkeypatch) -> None:
    import errno

    from bench.errors import StoreError

    run(request(), tmp_path / "out", limit=2)
    before = contents(tmp_path / "out")
    replace = Path.replace

    def full(self: Path, target: Path) -> Path:
        if "states" in str(target) or "records" in str(target):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(StoreError, match="no space left on the disk") as error:
        run(request(), tmp_path / "out")
    assert "\n" not in str(error.value)
    monkeypatch.undo()
    assert before.items() <= contents(tmp_path / "out").items()
    assert len(run(request(), tmp_path / "out").records) == 5


def test_a_model_beyond_all_memory_is_a_matter_of_its_options(tmp_path: Path, monkeypatch, capsys) -> None:
    # Not by a width of a million: where the system promises more than it has, the first write would end the process.
    monkeypatch.setattr("tasks.cifar10.models.build", lambda *given, **more: torch.empty(2**58))
    asked = ["run", "--task", "cifar10", "--data", "sample", "--pruner", "magnitude", "--out", str(tmp_path / "out")]
    assert main([*asked, "--set", "width=1000000"]) == 2
    (said,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("bench: "))
    assert said.startswith("bench: cifar10, model conv, width=1000000: its model does not fit into memory")


def test_a_model_without_prunable_weights_is_not_blamed_on_an_exclusion_that_nobody_asked_for(
    tmp_path: Path, capsys
) -> None:
    asked = ["--task", "msmarco-rerank", "--model", "conformer-kernel", "--set", "variant=ndrm2", "--data", "sample"]
    assert main(["run", *asked, "--pruner", "magnitude", "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "msmarco-rerank, model conformer-kernel, variant=ndrm2: offers no weight to prune" in said
    assert "--exclude" not in said


def test_a_criterion_that_ends_the_process_fails_its_cells_alone(tmp_path: Path, monkeypatch) -> None:
    from pruners.criteria.magnitude import Magnitude

    def leave(self: object, view: object) -> None:
        raise SystemExit(0)

    monkeypatch.setattr(Magnitude, "score", leave)
    watcher = run(request(pruners=("magnitude", "random")), tmp_path / "out")
    failed = {record.pruner: record.failure.error for record in watcher.records if record.status == "failed"}
    assert failed == {"magnitude": "it asked the process to end (exit code 0)."}
    assert sum(record.status == "done" for record in watcher.records) == 3
    assert main(["check", "pruner", "magnitude"]) == 1
