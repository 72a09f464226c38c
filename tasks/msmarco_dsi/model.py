"""The T5 of the task: a small one from scratch, or a pretrained one with docid tokens added."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, T5Config, T5ForConditionalGeneration

from bench.checkpoints import Checkpoint, loaded
from bench.errors import UsageError
from bench.pretrained import tokenizer, weights
from tasks.msmarco_dsi.options import Options

ATTENTION = "eager"
"""The fused kernels have no second derivative on the CPU, and GraSP needs one."""


def scratch(options: Options, vocabulary: int, targets: int) -> T5ForConditionalGeneration:
    """A T5 with drawn weights. Its vocabulary begins with the ``targets`` tokens that a docid can be made of.

    The output layer is untied and has a row only for those: all that training and constrained decoding ever ask for.
    """
    config = T5Config(
        vocab_size=vocabulary,
        d_model=options.d_model,
        d_kv=options.d_model // options.heads,
        d_ff=options.d_ff,
        num_layers=options.layers,
        num_decoder_layers=options.decoder_layers,
        num_heads=options.heads,
        dropout_rate=options.dropout,
        tie_word_embeddings=False,
        decoder_start_token_id=0,
        attn_implementation=ATTENTION,
    )
    model = T5ForConditionalGeneration(config)
    model.lm_head = nn.Linear(options.d_model, targets, bias=False)
    nn.init.normal_(model.shared.weight, std=options.embedding_std)
    nn.init.normal_(model.lm_head.weight, std=options.head_std)
    nn.init.constant_(model.decoder.final_layer_norm.weight, options.head_gain)
    return model.train()


def pretrained(checkpoint: Checkpoint, vocabulary: int) -> T5ForConditionalGeneration:
    """A checkpoint with its vocabulary enlarged to ``vocabulary`` tokens."""
    model: T5ForConditionalGeneration = weights(
        checkpoint,
        lambda folder, **asked: T5ForConditionalGeneration.from_pretrained(
            folder, attn_implementation=ATTENTION, **asked
        ),
    )
    if vocabulary > model.config.vocab_size:
        model.resize_token_embeddings(vocabulary)
    if model.config.decoder_start_token_id is None:
        model.config.decoder_start_token_id = model.config.pad_token_id
    return model.float().train()


def tokenizer_and_config(checkpoint: Checkpoint) -> tuple[Any, T5Config]:
    """Tokenizer and configuration of a checkpoint. Raises ``UsageError`` where there is none, or it is no T5."""
    config = loaded(checkpoint, AutoConfig.from_pretrained)
    if config.model_type != "t5":
        raise UsageError(
            f"is a {config.model_type} model, not a T5", where=f"--model {checkpoint.label}", mend="Give a T5."
        )
    return tokenizer(checkpoint), config


def shifted(model: Any, labels: Tensor) -> Tensor:
    """Decoder inputs for these labels (examples, length): the start token, then all labels but the last."""
    start = torch.full_like(labels[:, :1], int(model.config.decoder_start_token_id))
    return torch.cat([start, labels[:, :-1].clamp(min=0)], dim=1)


def logits(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """Teacher-forced logits, (examples, target length, output tokens)."""
    labels = batch["labels"]
    found: Tensor = model(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        decoder_input_ids=shifted(model, labels),
        use_cache=False,
    ).logits
    return found
