"""Builds the model that the options name, and says which of its weights are prunable."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from bench.checkpoints import Checkpoint
from tasks import bm25
from tasks.encoders import model as encoders
from tasks.encoders.tokens import Tokens
from tasks.msmarco_rerank import conformer_kernel, conv_knrm
from tasks.msmarco_rerank.conformer_kernel import ConformerKernel, Explicit, Latent, Shape
from tasks.msmarco_rerank.conv_knrm import ConvKnrm
from tasks.msmarco_rerank.cross_encoder import CrossEncoder
from tasks.msmarco_rerank.options import Options
from tasks.text import TokenRows


def model(options: Options, checkpoint: Checkpoint | None, tokens: Tokens, passages: TokenRows) -> nn.Module:
    """The model in train mode. ``passages``: the collection, for what is counted in it."""
    if options.model == "conv-knrm":
        return ConvKnrm(tokens.size, options.d_model, options.filters, options.ngrams)
    if options.model == "conformer-kernel":
        return _conformer_kernel(options, tokens.size, passages)
    if checkpoint is None:
        sizes = encoders.Sizes(
            options.layers, options.d_model, options.heads, options.d_ff, options.length, options.dropout, options.std
        )
        encoder: nn.Module = encoders.scratch(sizes, tokens.size, tokens.pad)
        width = options.d_model
    else:
        encoder = encoders.pretrained(checkpoint, options.length)
        width = int(encoder.config.hidden_size)  # type: ignore[union-attr,arg-type]
    return CrossEncoder(encoder, width, options.outputs, options.pooling, options.dropout)


def _conformer_kernel(options: Options, vocabulary: int, passages: TokenRows) -> ConformerKernel:
    shape = Shape(
        width=options.d_model,
        layers=options.layers,
        heads=options.heads,
        d_ff=options.d_ff,
        kernel=options.kernel,
        groups=options.groups,
        window=options.window,
        stride=options.stride,
        dropout=options.dropout,
    )
    latent = Latent(vocabulary, shape) if options.variant != "ndrm2" else None
    explicit = None
    if options.variant != "ndrm1":
        mean_length = float(np.mean(np.diff(passages.offsets)))
        explicit = Explicit(inverse_frequency(vocabulary, passages), mean_length, bm25.K1, bm25.B)
    return ConformerKernel(latent, explicit)


def inverse_frequency(vocabulary: int, passages: TokenRows) -> Tensor:
    """float32 (vocabulary,): log(1 + (N - n + 0.5) / (n + 0.5)) for a term in n of N passages, as BM25 has it."""
    owners = np.repeat(np.arange(len(passages)), np.diff(passages.offsets))
    pairs = np.unique(owners * np.int64(vocabulary) + passages.tokens)
    holding = np.bincount(pairs % vocabulary, minlength=vocabulary)
    return torch.from_numpy(np.log1p((len(passages) - holding + 0.5) / (holding + 0.5)).astype(np.float32))


def prunable(model: nn.Module) -> tuple[str, ...]:
    """Full names of the weights offered for pruning."""
    if isinstance(model, ConvKnrm):
        return conv_knrm.prunable(model)
    if isinstance(model, ConformerKernel):
        return conformer_kernel.prunable(model)
    return encoders.prunable(model)
