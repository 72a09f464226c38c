"""The task through the harness: cells, records, exports."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import bench
from bench.api import Silent
from bench.export import export
from bench.measure.flops import dense_flops
from bench.record import Record, dumps
from bench.store import Store
from tests.tasks.dense_retrieval.dense_opening import checkpoint, opened

FEW = {"train.steps": "3", "recover.steps": "2", "train.batch_size": "8", "query_length": "8", "passage_length": "24"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def run(out: Path, structure: str = "weights", **settings: str) -> list[Record]:
    given = {**FEW, **settings}
    return list(
        bench.run("dense-retrieval", "magnitude", [0.5], data="sample", structure=structure, settings=given, out=out)
        .records
    )  # fmt: skip


def test_jpq_is_trained_pruned_and_recorded_like_any_model(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "bert")
    dense, pruned = run(tmp_path / "out", model=str(folder), index="jpq", subvectors="8")
    assert dense.status == pruned.status == "done" and pruned.sparsity == pytest.approx(0.5, abs=1e-3)
    assert {layer.name.split(".")[0] for layer in pruned.layers} == {"query"}
    whole = pruned.notes["index"]["JPQ"]["bytes"]
    assert pruned.notes["quantised"] == {
        "vector_bytes": 800 * 32 * 4,
        "code_bytes": 800 * 8,
        "codes_times_smaller": 16.0,
        "index_times_smaller": round(800 * 32 * 4 / whole, 2),
    }
    assert pruned.notes["index"]["JPQ"]["bytes"] == dense.notes["index"]["JPQ"]["bytes"] > 800 * 8
    assert dense.model == "bert" and str(tmp_path) not in dumps(dense), "no folder of this machine"
    assert Store(tmp_path / "out").references()[0]["references"][2]["name"] == "OPQ 8, untrained"


def test_a_record_is_a_function_of_its_cell(tmp_path: Path) -> None:
    one, other = (run(tmp_path / name)[-1] for name in ("one", "other"))
    assert one.key == other.key and one.metrics == other.metrics and one.notes == other.notes


@pytest.mark.parametrize("structure", ["rows", "heads"])
def test_a_tied_encoder_is_exported_without_its_removed_units(tmp_path: Path, structure: str) -> None:
    from transformers import BertModel

    record = run(tmp_path / "out", structure)[-1]
    export(Store(tmp_path / "out"), record, tmp_path / "to", Silent())
    assert (tmp_path / "to" / "compact.safetensors").is_file()
    assert isinstance(BertModel.from_pretrained(tmp_path / "to", add_pooling_layer=False), BertModel)


def test_flops_of_a_query_are_its_encoder_and_under_jpq_the_rotation() -> None:
    counted = {}
    for index in ("flat", "jpq"):
        task, model = opened(index=index, subvectors=4, tied=False, prune="query", query_length=8)
        counted[index] = dense_flops(model, lambda t=task, m=model: t.forward(m, t.example())).total  # type: ignore[misc]
    # One layer, 8 tokens of 16 numbers: four projections, two feed-forward matrices, QK^T and AV; then R of 16 x 16.
    assert counted["flat"] == 2 * 8 * (4 * 16 * 16 + 2 * 16 * 16 + 2 * 8 * 16)
    assert counted["jpq"] == counted["flat"] + 2 * 16 * 16


def test_pruning_one_of_two_encoders_leaves_the_other_whole(tmp_path: Path) -> None:
    dense, pruned = run(tmp_path / "out", tied="false", prune="document")
    assert {layer.name.split(".")[0] for layer in pruned.layers} == {"passage"}
    assert pruned.parameters == dense.parameters and pruned.flops < dense.flops
    assert any("passage encoder" in note for note in pruned.task_notes)
    assert torch.isfinite(torch.tensor(list(pruned.metrics.values()))).all()
