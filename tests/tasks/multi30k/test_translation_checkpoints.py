"""Encoder-decoders of transformers, from folders with drawn weights and a tokenizer of the test's own words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.errors import UsageError
from bench.measure.flops import dense_flops
from tasks.multi30k import Multi30k
from tests.tasks.multi30k.opening import LINES, SMOKE, TRANSLATIONS, given

WORDS = ("</s>", "<unk>", "<pad>", *sorted({word for line in (*LINES, *TRANSLATIONS) for word in line[:-1].split()}))
PAD, END = 2, 0


def tokenizer(folder: Path) -> None:
    """One token a word, without the full stop; the end's behind."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.CharDelimiterSplit(" ")
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", END)])
    PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="</s>", unk_token="<unk>", pad_token="<pad>"
    ).save_pretrained(folder)


def marian(folder: Path) -> None:
    from transformers import MarianConfig, MarianMTModel

    sizes = {"d_model": 8, "encoder_layers": 1, "decoder_layers": 1, "max_position_embeddings": 24}
    heads = {
        f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in (("attention_heads", 2), ("ffn_dim", 12))
    }
    marks = {"pad_token_id": PAD, "eos_token_id": END, "decoder_start_token_id": PAD, "forced_eos_token_id": END}
    MarianMTModel(MarianConfig(vocab_size=len(WORDS), **sizes, **heads, **marks)).save_pretrained(folder)


def bart(folder: Path) -> None:
    from transformers import BartConfig, BartForConditionalGeneration

    sizes = {"d_model": 8, "encoder_layers": 1, "decoder_layers": 1, "max_position_embeddings": 24}
    heads = {
        f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in (("attention_heads", 2), ("ffn_dim", 12))
    }
    marks = {"pad_token_id": PAD, "eos_token_id": END, "bos_token_id": END, "decoder_start_token_id": END}
    config = BartConfig(vocab_size=len(WORDS), **sizes, **heads, **marks)
    BartForConditionalGeneration(config).save_pretrained(folder)


def t5(folder: Path) -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=len(WORDS), d_model=8, d_kv=4, d_ff=12, num_layers=1, num_decoder_layers=1, num_heads=2
    )
    config.pad_token_id, config.eos_token_id, config.decoder_start_token_id = PAD, END, PAD
    T5ForConditionalGeneration(config).save_pretrained(folder)


ARCHITECTURES = {"marian": marian, "bart": bart, "t5": t5}


def opened(folder: Path, make: Callable[[Path], None] = marian, **options: Any) -> tuple[Multi30k, Any]:
    torch.manual_seed(0)
    make(folder)
    tokenizer(folder)
    lines = [[line.rstrip(".") for line in side] for side in (LINES, TRANSLATIONS)]
    usual = {"lower_case": False, "max_output": 6}
    task = given(*lines, replace(SMOKE.options, model=str(folder), **{**usual, **options}))
    return task, task.build(0)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_checkpoint_is_trained_evaluated_and_pruned_like_any_model(architecture: str, tmp_path: Path) -> None:
    task, model = opened(tmp_path, ARCHITECTURES[architecture])
    assert model.training
    batch = next(task.batches("train", seed=0, size=2))
    loss = task.loss(task.forward(model, batch), batch)
    weights = [model.get_parameter(name) for name in task.prunable(model)]
    first = torch.autograd.grad(loss, weights, create_graph=True)
    second = torch.autograd.grad(sum((slope * slope).sum() for slope in first), weights)
    assert all(torch.isfinite(slope).all() for slope in second)
    # Four projections an attention, one in the encoder and two in the decoder, and two feed-forward blocks.
    assert sum(weight.numel() for weight in weights) == 3 * 4 * 8 * 8 + 2 * 2 * 8 * 12
    with torch.no_grad():
        found = task.evaluate(model.eval(), "test")
    assert found.n == 3 and 0 <= found.metrics["BLEU"] < 0.3
    assert found.notes["truncated"]["test"] == {"source": 0, "target": 0}


def test_its_own_tokenizer_makes_the_ids_and_reads_the_outputs(tmp_path: Path) -> None:
    task, model = opened(tmp_path)
    batch = next(task.batches("test", seed=0, size=3))
    assert [WORDS[token] for token in batch["input_ids"][0].tolist()] == [
        "Ein",
        "Hund",
        "schläft",
        "</s>",
        *["<pad>"] * 3,
    ]
    assert batch["attention_mask"].sum(1).tolist() == [4, 6, 7]
    assert batch["labels"][0].tolist()[3:] == [END, -100, -100, -100, -100]
    with torch.no_grad():
        text = task._route.translate(model.eval(), "test", torch.arange(3).numpy())
    assert all("</s>" not in one and "<pad>" not in one for one in text)


def test_its_logits_are_those_that_it_computes_from_labels_itself(tmp_path: Path) -> None:
    task, model = opened(tmp_path)
    model.eval()
    batch = next(task.batches("test", seed=0, size=3))
    with torch.no_grad():
        own = model(**batch)
        torch.testing.assert_close(task.forward(model, batch), own.logits)
        torch.testing.assert_close(task.loss(own.logits, batch), own.loss)


def test_training_it_a_little_makes_it_say_what_it_was_taught(tmp_path: Path) -> None:
    task, model = opened(tmp_path, max_output=12)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    model.eval()  # without dropout
    for _, batch in zip(range(60), task.batches("train", seed=0, size=3), strict=False):
        optimizer.zero_grad()
        task.loss(task.forward(model, batch), batch).backward()
        optimizer.step()
    wanted = [line.rstrip(".") for line in TRANSLATIONS]
    with torch.no_grad():
        assert task._translations(model, "test") == wanted


def test_lines_beyond_its_positions_are_cut_before_their_end_token_and_counted(tmp_path: Path) -> None:
    task, _ = opened(tmp_path, max_length=5)
    assert task._route.truncated("train") == {"source": 2, "target": 2}
    batch = next(task.batches("test", seed=0, size=3))
    assert batch["input_ids"].shape == (3, 5)
    assert batch["input_ids"][:, -1].tolist() == [PAD, END, END]


def test_a_prefix_stands_before_every_source_sentence(tmp_path: Path) -> None:
    task, _ = opened(tmp_path, prefix="Hund Hund ")
    batch = next(task.batches("test", seed=0, size=3))
    assert {WORDS[token] for token in batch["input_ids"][:, :2].flatten().tolist()} == {"Hund"}
    assert WORDS[batch["labels"][0, 0]] == "A"


def test_the_example_has_flops_of_one_pair_of_fifteen_tokens(tmp_path: Path) -> None:
    task, model = opened(tmp_path)
    d, ff, length, vocabulary = 8, 12, 15, len(WORDS)
    attention = 4 * length * d * d + 2 * length * length * d
    by_hand = 2 * (3 * attention + 2 * length * 2 * d * ff + length * d * vocabulary)
    assert dense_flops(model, lambda: task.forward(model, task.example())).total == by_hand


def test_an_encoder_and_a_folder_without_weights_are_refused(tmp_path: Path) -> None:
    from transformers import BertConfig

    (tmp_path / "bert").mkdir()
    BertConfig(hidden_size=8).save_pretrained(tmp_path / "bert")
    with pytest.raises(UsageError, match="a bert is no encoder-decoder"):
        given(options=replace(SMOKE.options, model=str(tmp_path / "bert"))).build(0)
    task, _ = opened(tmp_path / "whole")
    (tmp_path / "whole" / "model.safetensors").unlink()
    with pytest.raises(UsageError, match="cannot be loaded"):
        given(options=task.options).build(0)
