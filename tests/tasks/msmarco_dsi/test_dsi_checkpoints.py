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
    assert "\n" not in str(caught.value) and "none" in str(caught.value) and "scratch" in str(caught.value)


def test_a_checkpoint_of_another_kind_is_refused(tmp_path: Path) -> None:
    from transformers import BertConfig

    BertConfig(hidden_size=16, num_attention_heads=2).save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="not a T5"):
        MsMarcoDsi(sample(), replace(TINY, model=str(tmp_path))).build(0)
