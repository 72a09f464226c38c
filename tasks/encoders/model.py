"""The encoders themselves: drawn or pretrained, which of their weights are prunable, and their removable units."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, BertConfig, BertModel, PreTrainedModel
from transformers.models.bert.modeling_bert import BertLayer

from bench.checkpoints import Checkpoint, loaded
from bench.errors import UsageError
from bench.masks.couplings import Coupling, Slice
from bench.pretrained import weights

ATTENTION = "eager"
"""The fused kernels have no second derivative on the CPU, and GraSP needs one."""


@dataclass(frozen=True)
class Sizes:
    """The shape of an encoder that is drawn."""

    layers: int
    d_model: int
    heads: int
    d_ff: int
    positions: int
    """Longest input, special tokens included."""
    dropout: float = 0.1
    std: float = 0.02
    """Of the initial weights. BERT's own suits its width of 768; at 64 attention hardly tells tokens apart."""


def scratch(sizes: Sizes, vocabulary: int, pad: int) -> BertModel:
    """A BERT of this shape with drawn weights, normal of standard deviation ``sizes.std``; in train mode, no pooler."""
    config = BertConfig(
        vocab_size=vocabulary,
        hidden_size=sizes.d_model,
        num_hidden_layers=sizes.layers,
        num_attention_heads=sizes.heads,
        intermediate_size=sizes.d_ff,
        max_position_embeddings=sizes.positions,
        hidden_dropout_prob=sizes.dropout,
        attention_probs_dropout_prob=sizes.dropout,
        initializer_range=sizes.std,
        pad_token_id=pad,
        attn_implementation=ATTENTION,
    )
    return BertModel(config, add_pooling_layer=False).train()


def pretrained(checkpoint: Checkpoint, length: int) -> PreTrainedModel:
    """The checkpoint's encoder in float32 and train mode, for inputs of ``length`` tokens, without a pooler where its
    class knows one. Raises ``UsageError`` where it is no encoder, or its positions are fewer."""
    where = f"--model {checkpoint.label}"
    config = loaded(checkpoint, AutoConfig.from_pretrained)
    if config.is_encoder_decoder or getattr(config, "is_decoder", False):
        raise UsageError(f"a {config.model_type} is no encoder", where=where, mend="Give one of the BERT family.")
    positions = getattr(config, "max_position_embeddings", None)
    if positions is not None and positions < length:
        raise UsageError(f"has {positions} positions, fewer than {length}", where=where, mend="Give shorter lengths.")
    model: PreTrainedModel = weights(
        checkpoint,
        lambda folder, **asked: AutoModel.from_pretrained(
            folder, attn_implementation=ATTENTION, dtype=torch.float32, **asked
        ),
        unread=("pooler.",),
    )
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # no task reads it
    return model.train()


def prunable(model: nn.Module) -> tuple[str, ...]:
    """Full names of the weights offered for pruning: those of the linear layers inside the encoder's layers.

    Embeddings, norms, biases and heads on top are none of them.
    """
    inner = [name for name, module in model.named_modules() if isinstance(module, nn.ModuleList)]
    return tuple(
        f"{name}.weight"
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and any(name.startswith(f"{layers}.") for layers in inner)
    )


def couplings(model: nn.Module) -> Iterator[Coupling]:
    """The feed-forward neurons and the attention heads of each BERT layer; none of other architectures."""
    for name, module in model.named_modules():
        if not isinstance(module, BertLayer):
            continue
        yield Coupling(
            f"{name}.intermediate.dense",
            "rows",
            module.intermediate.dense.out_features,
            tuple(Slice(f"{name}.intermediate.dense.{part}") for part in ("weight", "bias")),
            (Slice(f"{name}.output.dense.weight", axis=1),),
        )
        attention = module.attention.self
        width = attention.attention_head_size
        yield Coupling(
            f"{name}.attention",
            "heads",
            attention.num_attention_heads,
            tuple(
                Slice(f"{name}.attention.self.{part}.{kind}", width=width)
                for part in ("query", "key", "value")
                for kind in ("weight", "bias")
            ),
            (Slice(f"{name}.attention.output.dense.weight", axis=1, width=width),),
        )


def mean_pooled(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """Mean of the hidden states of the tokens that are there: (examples, length, d) and (examples, length) to
    (examples, d)."""
    there = attention_mask.unsqueeze(-1).to(hidden.dtype)
    return (hidden * there).sum(1) / there.sum(1).clamp(min=1)
