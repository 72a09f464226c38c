"""The search index from a checkpoint in a folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bench.errors import UsageError
from tasks.msmarco_dsi import MsMarcoDsi
from tests.tasks.msmarco_dsi.opening import TINY, sample


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A T5 of a hundred words with its tokenizer, saved as a hub checkpoint is."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    folder = tmp_path_factory.mktemp("t5")
    letters = [
        *"0123456789",
        *"abcdefghijklmnopqrstuvwxyz",
        *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz."),
    ]
    vocabulary = {token: number for number, token in enumerate(["<pad>", "</s>", "<unk>", *letters])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    fast.save_pretrained(folder)
    config = T5Config(
        vocab_size=len(vocabulary), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0
    )
    torch.manual_seed(0)
    T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("docids", ["atomic", "naive"])
def test_a_checkpoint_brings_its_tokenizer_and_gets_docid_tokens(checkpoint: Path, docids: str) -> None:
    options = replace(TINY, model=str(checkpoint), docids=docids, input_length=24)
    task = MsMarcoDsi(sample(), options)
    model = task.build(0)
    known = 3 + 10 + 26 + 27
    assert model.shared.num_embeddings == known + (400 if docids == "atomic" else 0)
    batch = next(task.batches("train", seed=0, size=8))
    assert batch["input_ids"].max() < known
    if docids == "atomic":
        assert batch["labels"].min() >= known
    task.loss(task.forward(model, batch), batch).backward()
    with torch.no_grad():
        assert task.evaluate(model.eval(), "test").n == 160
    assert not {"shared.weight", "lm_head.weight"} & set(task.prunable(model))


def test_a_checkpoint_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        MsMarcoDsi(sample(), replace(TINY, model=str(tmp_path / "none"))).build(0)
    assert "\n" not in str(caught.value) and "none" in str(caught.value) and "own models" in str(caught.value)


def test_a_checkpoint_of_another_kind_is_refused(tmp_path: Path) -> None:
    from transformers import BertConfig

    BertConfig(hidden_size=16, num_attention_heads=2).save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="not a T5"):
        MsMarcoDsi(sample(), replace(TINY, model=str(tmp_path))).build(0)


@pytest.mark.parametrize("structure", ["weights", "heads"])
def test_a_pruned_checkpoint_is_exported_as_one(checkpoint: Path, tmp_path: Path, structure: str) -> None:
    """Its output layer is tied to the embeddings, as saved and as loaded, and its tokenizer is there."""
    from transformers import AutoTokenizer, T5ForConditionalGeneration

    import bench
    from bench.api import Silent
    from bench.export import export
    from bench.store import Store

    settings = {"model": str(checkpoint), "input_length": 24, "train.steps": 4}
    found = bench.run("msmarco-dsi", "magnitude", [0.5], structure=structure, settings=settings, out=tmp_path / "out")
    record = found.records[-1]
    export(Store(tmp_path / "out"), record, tmp_path / "to", Silent(), model=str(checkpoint))
    model = T5ForConditionalGeneration.from_pretrained(tmp_path / "to", attn_implementation="eager").eval()
    assert model.lm_head.weight is model.shared.weight
    given, there = (AutoTokenizer.from_pretrained(folder) for folder in (checkpoint, tmp_path / "to"))
    assert there("where 7 b.")["input_ids"] == given("where 7 b.")["input_ids"] != []
    assert record.model == record.options["model"] == checkpoint.name, "no folder of this machine"
    task = MsMarcoDsi(sample(), type(TINY)(**{**record.options, "model": str(checkpoint)}))
    with torch.no_grad():
        assert task.evaluate(model, "test").metrics == pytest.approx(record.metrics, abs=1e-6)


@pytest.mark.parametrize("docids", ["atomic", "semantic"])
def test_the_paper_preset_runs_from_end_to_end(checkpoint: Path, tmp_path: Path, docids: str) -> None:
    """Train, prune, recover of the source, with BM25's best five as targets, on a checkpoint of this machine's size."""
    import bench

    settings = {"model": str(checkpoint), "docids": docids, "bm25_targets": 5, "train.steps": 6, "recover.steps": 6}
    if docids == "semantic":
        settings |= {"decode": "beam", "beams": 20}
    found = bench.run(
        "msmarco-dsi", "magnitude", [0.2], preset="paper", when="trained", settings=settings, out=tmp_path / "out"
    )
    dense, pruned = sorted(found.records, key=lambda record: record.sparsity)
    for record in (dense, pruned):
        assert record.preset == "paper" and record.options["bm25_targets"] == 5
        assert record.notes["train_pairs"]["judged"] == 240 < record.notes["train_pairs"]["by BM25"]
        assert record.notes["ranked_at_most"] == (20 if docids == "semantic" else 400)
        assert str(tmp_path) not in repr(record) and record.model == checkpoint.name
    assert pruned.sparsity == pytest.approx(0.2, abs=1e-4) and dense.sparsity == 0
    assert [step["step"] for step in pruned.path] == ["Init", "Train", "Score", "Cut", "Train", "Evaluate"]
