"""The model of a finished cell, written out and read back by others."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from toy_plugin import Options, Toy

import bench
from bench import cli
from bench.api import Silent
from bench.data import Memory
from bench.errors import DataError, StoreError, UsageError
from bench.export import export, load, load_masks
from bench.masks import compact
from bench.masks.exact import digest
from bench.measure.size import unpack
from bench.record import loads
from bench.store import Store
from tasks.msmarco_dsi import MsMarcoDsi
from tasks.msmarco_dsi.options import Options as DsiOptions

DSI = {"train.steps": 12, "recover.steps": 6, "decoder_layers": 2}


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of finished toy cells, at two sparsities, cut before and after training."""
    out = tmp_path_factory.mktemp("toys") / "out"
    for when in ("init", "trained"):
        bench.run("toy", ["magnitude", "snip"], [0.5, 0.9], out=out, when=when)
    bench.run("toy", "magnitude", [0.5], out=out, structure="rows", when="trained")
    return out


@pytest.fixture(scope="module")
def indexes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of finished search indexes: single weights, rows, heads."""
    out = tmp_path_factory.mktemp("indexes") / "out"
    for structure in ("weights", "rows", "heads"):
        bench.run("msmarco-dsi", "magnitude", [0.5], out=out, structure=structure, settings=DSI)
    return out


def one(out: Path, **wanted: object):
    return next(
        record
        for record in Store(out).records()
        if all(getattr(record, name) == value for name, value in wanted.items())
    )


def test_every_cell_of_a_folder_can_be_exported_and_is_what_its_record_says(toys: Path, tmp_path: Path) -> None:
    records = [*Store(toys).records()]
    assert len(records) == 1 + 8 + 1
    for record in records:
        folder = tmp_path / record.key[:8]
        sizes = export(Store(toys), record, folder, Silent())
        assert {path.name: path.stat().st_size for path in folder.iterdir()} == sizes
        assert sizes["compressed.safetensors"] == record.compressed_bytes
        assert loads((folder / "record.json").read_text()) == record
        masks = load_masks(folder / "masks.safetensors")
        assert digest(masks) == record.mask_digest
        model = Toy(Memory("toy", Toy.sample()), Options()).build(0)
        model.load_state_dict(load_file(folder / "model.safetensors"))
        weights = dict(model.named_parameters())
        assert all((weights[name][~mask] == 0).all() for name, mask in masks.items())
        assert sum(int(masks[layer.name].sum()) for layer in record.layers if masks) == (
            sum(layer.kept for layer in record.layers) if masks else 0
        )
        task = Toy(Memory("toy", Toy.sample()), Options())
        with torch.no_grad():
            assert task.evaluate(model.eval(), "test").metrics == pytest.approx(record.metrics)
        shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
        unpacked = unpack(load_file(folder / "compressed.safetensors"), shapes)
        assert all(torch.equal(unpacked[name], tensor) for name, tensor in model.state_dict().items())
        assert ("compact.safetensors" in sizes) == (record.structure == "rows")


def test_an_export_leaves_no_state_behind_but_the_dense_models(toys: Path, tmp_path: Path) -> None:
    before = sorted(path.name for path in (toys / "states").iterdir())
    export(Store(toys), one(toys, pruner="snip", when="trained", target_sparsity=0.9), tmp_path / "to", Silent())
    assert sorted(path.name for path in (toys / "states").iterdir()) == before


def test_an_export_amid_an_unfinished_grid_leaves_its_states_alone(tmp_path: Path) -> None:
    """Scores that cells to come will start from are kept: only what the export itself stored goes."""
    from bench import api
    from bench.grid import Request
    from bench.plan import make

    out = tmp_path / "out"
    plan = make(Request(("toy",), ("snip",), (0.5, 0.9), when="trained"))
    store = Store(out, create=True)
    api.execute(plan, store, api.Execution("cpu", 1, limit=2), "float32", Silent())
    before = sorted(path.name for path in (out / "states").iterdir())
    export(store, one(out, pruner="snip"), tmp_path / "to", Silent())
    assert sorted(path.name for path in (out / "states").iterdir()) == before


def test_it_works_without_any_stored_state(toys: Path, tmp_path: Path) -> None:
    record = one(toys, pruner="magnitude", when="trained", target_sparsity=0.9)
    store = Store(tmp_path / "bare", create=True)
    sizes = export(store, record, tmp_path / "to", Silent())
    assert sizes["compressed.safetensors"] == record.compressed_bytes


@pytest.mark.parametrize("structure", ["weights", "rows", "heads"])
def test_a_t5_loads_with_from_pretrained_and_with_plain_pytorch(indexes: Path, tmp_path: Path, structure: str) -> None:
    from transformers import AutoConfig, T5ForConditionalGeneration

    record = one(indexes, structure=structure)
    export(Store(indexes), record, tmp_path / "to", Silent())
    loaded, told = T5ForConditionalGeneration.from_pretrained(
        tmp_path / "to", attn_implementation="eager", output_loading_info=True
    )
    assert not told["missing_keys"]
    assert not told["unexpected_keys"]
    assert not told["mismatched_keys"]
    config = AutoConfig.from_pretrained(tmp_path / "to", attn_implementation="eager")
    config.tie_word_embeddings = False  # transformers 5 sets it whatever the file says
    plain = T5ForConditionalGeneration(config)
    plain.load_state_dict(load_file(tmp_path / "to" / "model.safetensors"))
    task = dsi(record)
    for model in (loaded.eval(), plain.eval()):
        weights = dict(model.named_parameters())
        masks = load_masks(tmp_path / "to" / "masks.safetensors")
        assert sum(int((weights[layer.name] != 0).sum()) for layer in record.layers) <= sum(
            layer.kept for layer in record.layers
        )
        assert all((weights[name][~mask] == 0).all() for name, mask in masks.items())
        with torch.no_grad():
            assert task.evaluate(model, "test").metrics == pytest.approx(record.metrics, abs=1e-6)


@pytest.mark.parametrize("structure", ["rows", "heads"])
def test_the_compact_file_is_a_smaller_model_with_the_records_metrics(
    indexes: Path, tmp_path: Path, structure: str
) -> None:
    record = one(indexes, structure=structure)
    sizes = export(Store(indexes), record, tmp_path / "to", Silent())
    assert sizes["compact.safetensors"] < record.dense_bytes < sizes["model.safetensors"]
    task = dsi(record)
    built = task.build(0).eval()
    small = compact.load(tmp_path / "to" / "compact.safetensors", built, task.couplings(built), task).eval()
    with torch.no_grad():
        assert task.evaluate(small, "test").metrics == pytest.approx(record.metrics, abs=1e-6)


def dsi(record) -> MsMarcoDsi:
    return MsMarcoDsi(Memory("msmarco-dsi", MsMarcoDsi.sample()), DsiOptions(**record.options))


@pytest.mark.parametrize("structure", ["weights", "rows", "heads"])
def test_an_exported_folder_opens_again_with_its_task(indexes: Path, tmp_path: Path, structure: str) -> None:
    record = one(indexes, pruner="magnitude", structure=structure)
    export(Store(indexes), record, tmp_path / "to", Silent())
    task, model = load(tmp_path / "to")
    with torch.no_grad():
        assert task.evaluate(model, "test").metrics == pytest.approx(record.metrics, abs=1e-6)
    sizes = sum(parameter.numel() for parameter in model.parameters()), record.parameters
    assert sizes[0] == sizes[1] if structure == "weights" else sizes[0] < sizes[1]


def test_a_folder_that_holds_something_is_left_alone_unless_forced(toys: Path, tmp_path: Path) -> None:
    record = one(toys, pruner="dense")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"is not empty\. Give another folder, or --force to write into it"):
        export(Store(toys), record, tmp_path, Silent())
    export(Store(toys), record, tmp_path, Silent(), force=True)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    export(Store(toys), one(toys, structure="rows"), tmp_path, Silent(), force=True)
    assert (tmp_path / "compact.safetensors").exists()
    export(Store(toys), record, tmp_path, Silent(), force=True)
    assert not (tmp_path / "compact.safetensors").exists()  # the other cell's
    with pytest.raises(UsageError, match="is a file"):
        export(Store(toys), record, tmp_path / "notes.txt", Silent(), force=True)


def test_a_model_that_is_not_the_records_is_not_written(toys: Path, tmp_path: Path) -> None:
    record = replace(one(toys, pruner="magnitude", structure="rows"), mask_digest="0" * 64)
    with pytest.raises(StoreError, match=r"the masks computed again .* are not the record's \(000000000000\)"):
        export(Store(toys), record, tmp_path / "to", Silent())
    assert not (tmp_path / "to").exists()


def test_a_record_of_another_version_is_one_clear_line(toys: Path, tmp_path: Path) -> None:
    record = one(toys, pruner="magnitude", structure="rows")
    with pytest.raises(StoreError, match="this version of prunebench or of the task would compute another cell"):
        export(Store(toys), replace(record, seed=7), tmp_path / "to", Silent())
    with pytest.raises(StoreError, match="has a step that this version does not know"):
        export(Store(toys), replace(record, path=[{"step": "Transmute"}]), tmp_path / "to", Silent())


def test_other_data_than_the_records_is_one_clear_line(toys: Path, tmp_path: Path) -> None:
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / "points.tsv").write_text("0\t1.0\t2.0\n1\t-1.0\t2.0\n")
    with pytest.raises(DataError, match=r"is not what the cell was computed on .* Give its folder with --data"):
        export(Store(toys), one(toys, pruner="dense"), tmp_path / "to", Silent(), data=str(tmp_path))


def test_the_command_line_prints_the_files_and_refuses_failed_cells(toys: Path, tmp_path: Path, capsys) -> None:
    key = one(toys, structure="rows").key
    assert cli.main(["export", key[:12], "--to", str(tmp_path / "to"), "--out", str(toys)]) == 0
    assert "compressed.safetensors" in capsys.readouterr().out
    assert json.loads((tmp_path / "to" / "record.json").read_text())["key"] == key
    assert cli.main(["export", key[:12], "--to", str(tmp_path / "to"), "--out", str(toys)]) == 2
    assert "is not empty" in capsys.readouterr().err
    bench.run("toy", "magnitude", [0.9], out=tmp_path / "failed", settings={"nan_from": 0.5})
    failed = one(tmp_path / "failed", status="failed").key
    assert cli.main(["export", failed, "--to", str(tmp_path / "no"), "--out", str(tmp_path / "failed")]) == 2
    assert "has no model: it failed" in capsys.readouterr().err
