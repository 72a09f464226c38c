"""A checkpoint with a part missing or broken is refused: nothing is drawn or invented in its place."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForSeq2SeqLM,
    BertConfig,
    BertModel,
    BertTokenizerFast,
    T5Config,
    T5ForConditionalGeneration,
)

from bench import pretrained
from bench.checkpoints import resolve
from bench.cli import main
from bench.errors import UsageError
from tasks.encoders import model as encoders

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdef"]
SHAPE = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 12}
Tensors = dict[str, torch.Tensor]


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    folder = tmp_path / "bert"
    BertModel(BertConfig(vocab_size=len(WORDS), **SHAPE)).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    return folder


def changed(folder: Path, change: Callable[[Tensors], Tensors]) -> None:
    found = load_file(folder / "model.safetensors")
    save_file(change(found), folder / "model.safetensors", metadata={"format": "pt"})


def refused(folder: Path) -> str:
    with pytest.raises(UsageError) as caught:
        encoders.pretrained(resolve(str(folder)), 8)
    assert str(caught.value).startswith(f"--model {folder.name}: not a whole checkpoint: ")
    return str(caught.value)


def test_missing_layers_are_named_and_counted(bert: Path) -> None:
    changed(bert, lambda found: {name: one for name, one in found.items() if "layer.1." not in name})
    # Four projections and two feed-forward matrices with their biases, two norms of two.
    assert "lack encoder.layer.1.attention.output.LayerNorm.bias, " in (said := refused(bert))
    assert f" and {2 * 6 + 2 * 2 - 3} more. " in said and "\n" not in said


def test_foreign_names_are_shown_beside_those_that_are_missing(bert: Path) -> None:
    changed(bert, lambda found: {f"x.{name}": one for name, one in found.items()})
    assert "it has x.embeddings.LayerNorm.bias" in refused(bert)


def test_a_pooler_that_nothing_reads_may_be_missing_or_broken(bert: Path) -> None:
    changed(bert, lambda found: {name: one for name, one in found.items() if not name.startswith("pooler.")})
    encoders.pretrained(resolve(str(bert)), 8)
    changed(bert, lambda found: {**found, "pooler.dense.bias": torch.full((8,), math.nan)})
    encoders.pretrained(resolve(str(bert)), 8)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_are_not_finite_are_named(bert: Path, value: float) -> None:
    name = "encoder.layer.0.output.dense.bias"
    changed(bert, lambda found: {**found, name: torch.full((8,), value)})
    assert f"NaN or infinite numbers in {name}. " in refused(bert)


def test_other_shapes_are_named_with_what_the_configuration_asks_for(bert: Path) -> None:
    config = json.loads((bert / "config.json").read_text())
    (bert / "config.json").write_text(json.dumps(config | {"intermediate_size": 16}))
    said = refused(bert)
    assert "encoder.layer.0.intermediate.dense.weight of shape (12, 8) where config.json asks for (16, 8)" in said
    assert "report above" not in said


def test_a_tokenizer_comes_from_any_of_its_own_files_and_from_nothing_else(bert: Path) -> None:
    size = len(pretrained.tokenizer(resolve(str(bert))))
    (bert / "tokenizer.json").unlink()
    assert len(pretrained.tokenizer(resolve(str(bert)))) == size == len(WORDS)
    (bert / "vocab.txt").unlink()
    with pytest.raises(UsageError, match=r"it has no tokenizer\.json, no vocab\.txt\. Copy or save it again"):
        pretrained.tokenizer(resolve(str(bert)))


def test_a_run_with_half_a_checkpoint_computes_nothing(bert: Path, tmp_path: Path, capsys) -> None:
    changed(bert, lambda found: {name: one for name, one in found.items() if "layer.1." not in name})
    asked = ["--task", "ag-news", "--model", str(bert), "--pruner", "random", "--grid", "0.5", "--data", "sample"]
    assert main(["run", *asked, "--out", str(tmp_path / "out"), "--threads", "1", "--set", "length=8"]) == 2
    assert "bench: --model bert: not a whole checkpoint" in capsys.readouterr().err
    assert not [*(tmp_path / "out").glob("records/*")]


def test_an_export_brings_tokenizer_and_configuration_of_the_encoder_inside(bert: Path, tmp_path: Path) -> None:
    import bench
    from bench.api import Silent
    from bench.export import export
    from bench.store import Store

    settings = {"length": 8, "train.steps": 2, "recover.steps": 0}
    out = tmp_path / "out"
    bench.run("ag-news", "magnitude", [0.5], model=str(bert), data="sample", settings=settings, out=out)
    record = next(record for record in Store(out).records() if record.pruner == "magnitude")
    sizes = export(Store(out), record, tmp_path / "to", Silent(), model=str(bert))
    assert {"tokenizer.json", "tokenizer_config.json", "vocab.txt", "encoder_config.json"} <= sizes.keys()
    assert "config.json" not in sizes, "no class of transformers has these tensors by these names"
    assert (tmp_path / "to" / "vocab.txt").read_bytes() == (bert / "vocab.txt").read_bytes()
    encoder = BertModel(BertConfig.from_json_file(tmp_path / "to" / "encoder_config.json"))
    tensors = load_file(tmp_path / "to" / "model.safetensors")
    inside = {name.removeprefix("encoder."): one for name, one in tensors.items() if name.startswith("encoder.")}
    told = encoder.load_state_dict(inside, strict=False)
    assert not told.unexpected_keys and all(name.startswith("pooler.") for name in told.missing_keys)


# Encoder-decoders


@pytest.fixture
def t5(tmp_path: Path) -> Path:
    folder = tmp_path / "t5"
    shape = {"d_model": 8, "d_kv": 4, "d_ff": 12, "num_layers": 2, "num_heads": 2}
    T5ForConditionalGeneration(T5Config(vocab_size=20, decoder_start_token_id=0, **shape)).save_pretrained(folder)
    return folder


def model_of(folder: Path) -> None:
    pretrained.weights(resolve(str(folder)), AutoModelForSeq2SeqLM.from_pretrained)


def test_a_tied_output_layer_is_not_missed(t5: Path) -> None:
    assert "lm_head.weight" not in load_file(t5 / "model.safetensors")
    model_of(t5)


def test_more_layers_in_the_configuration_than_in_the_file_are_missing(t5: Path) -> None:
    config = json.loads((t5 / "config.json").read_text())
    (t5 / "config.json").write_text(json.dumps(config | {"num_layers": 3}))
    with pytest.raises(UsageError, match=r"lack encoder\.block\.2\."):
        model_of(t5)


def test_no_vocabulary_is_made_up_for_a_t5_without_one(t5: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--model t5: "):
        pretrained.tokenizer(resolve(str(t5)))
    copy = Path(shutil.copytree(t5, tmp_path / "copy"))
    (copy / "tokenizer_config.json").write_text('{"tokenizer_class": "T5Tokenizer"}')
    with pytest.raises(UsageError, match=r"no tokenizer\.json, no spiece\.model"):
        pretrained.tokenizer(resolve(str(copy)))
