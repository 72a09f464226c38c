"""The encoder-decoder: the source's ``Seq2SeqTransformer``, and the pre-norm model of the small presets.

Names are those of ``torch.nn.Transformer`` and of the source, but for the packed ``in_proj_weight``, which is apart as
``q_proj``, ``k_proj`` and ``v_proj``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from tasks.multi30k.attention import Attention, KeysValues, causal_bias, padding_bias
from tasks.multi30k.cache import Cache, Source


@dataclass(frozen=True)
class Shape:
    """Sizes of a model, and where it differs from the other."""

    source_vocabulary: int
    target_vocabulary: int
    positions: int
    """Longest sequence, both marks included."""
    pad: int
    d_model: int = 512
    layers: int = 3
    decoder_layers: int = 3
    heads: int = 8
    d_ff: int = 512
    dropout: float = 0.1
    pre_norm: bool = False
    """Norms before each block (Xiong et al. 2020) and not, as the source has it, behind it."""
    tied: bool = False
    """The generator's weights are the target embeddings (Press & Wolf 2017)."""


class EncoderLayer(nn.Module):
    """Self-attention and feed-forward."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.pre_norm = shape.pre_norm
        self.self_attn = Attention(shape.d_model, shape.heads, shape.dropout)
        self.linear1 = nn.Linear(shape.d_model, shape.d_ff)
        self.linear2 = nn.Linear(shape.d_ff, shape.d_model)
        self.norm1 = nn.LayerNorm(shape.d_model)
        self.norm2 = nn.LayerNorm(shape.d_model)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, states: Tensor, bias: Tensor) -> Tensor:
        states = self._residual(
            self.norm1, states, lambda inner: self.self_attn(inner, self.self_attn.keys_values(inner), bias)
        )
        return self._residual(self.norm2, states, self._feed_forward)

    def _feed_forward(self, states: Tensor) -> Tensor:
        output: Tensor = self.linear2(self.dropout(functional.relu(self.linear1(states))))
        return output

    def _residual(self, norm: nn.Module, states: Tensor, block: Callable[[Tensor], Tensor]) -> Tensor:
        if self.pre_norm:
            output: Tensor = states + self.dropout(block(norm(states)))
        else:
            output = norm(states + self.dropout(block(states)))
        return output


class DecoderLayer(EncoderLayer):
    """An encoder layer that also looks at the source sentence, between its two blocks."""

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape)
        self.multihead_attn = Attention(shape.d_model, shape.heads, shape.dropout)
        self.norm3 = nn.LayerNorm(shape.d_model)

    def decode(
        self,
        states: Tensor,
        seen: Callable[[KeysValues], KeysValues],
        bias: Tensor | None,
        source: KeysValues,
        source_bias: Tensor,
    ) -> Tensor:
        """``seen`` turns keys and values of ``states`` into those of all positions so far."""
        states = self._residual(
            self.norm1, states, lambda inner: self.self_attn(inner, seen(self.self_attn.keys_values(inner)), bias)
        )
        states = self._residual(self.norm2, states, lambda inner: self.multihead_attn(inner, source, source_bias))
        return self._residual(self.norm3, states, self._feed_forward)


class Stack(nn.Module):
    """Layers, and the norm behind the last."""

    def __init__(self, kind: type[EncoderLayer], count: int, shape: Shape) -> None:
        super().__init__()
        self.layers = nn.ModuleList(kind(shape) for _ in range(count))
        self.norm = nn.LayerNorm(shape.d_model)


class TokenEmbedding(nn.Module):
    """Embeddings times the square root of their width (Vaswani et al. 2017, section 3.4)."""

    def __init__(self, vocabulary: int, d_model: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, d_model)

    def forward(self, ids: Tensor) -> Tensor:
        embedded: Tensor = self.embedding(ids) * self.embedding.embedding_dim**0.5
        return embedded


class Seq2SeqTransformer(nn.Module):
    """Sentences in, logits of the target's next tokens out."""

    position_code: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.encoder = Stack(EncoderLayer, shape.layers, shape)
        self.decoder = Stack(DecoderLayer, shape.decoder_layers, shape)
        self.generator = nn.Linear(shape.d_model, shape.target_vocabulary)
        self.src_tok_emb = TokenEmbedding(shape.source_vocabulary, shape.d_model)
        self.tgt_tok_emb = TokenEmbedding(shape.target_vocabulary, shape.d_model)
        self.dropout = nn.Dropout(shape.dropout)
        self.register_buffer("position_code", sinusoids(shape.positions, shape.d_model), persistent=False)
        self._draw()
        if shape.tied:
            self.generator.weight = self.tgt_tok_emb.embedding.weight

    def _draw(self) -> None:
        """Glorot's uniform weights for every matrix, embeddings included, as the source draws them.

        The source's queries, keys and values are one matrix of 3d rows: each is drawn as a third of it.
        """
        for name, parameter in self.named_parameters():
            if parameter.dim() > 1:
                rows, columns = parameter.shape
                packed = name.endswith(("q_proj.weight", "k_proj.weight", "v_proj.weight"))
                limit = math.sqrt(6 / ((3 * rows if packed else rows) + columns))
                nn.init.uniform_(parameter, -limit, limit)
        for module in self.modules():
            if isinstance(module, Attention):
                for projection in (module.q_proj, module.k_proj, module.v_proj, module.out_proj):
                    nn.init.zeros_(projection.bias)
        if self.shape.tied:  # the width that makes embeddings, times their scale, of unit variance and logits small
            nn.init.normal_(self.tgt_tok_emb.embedding.weight, std=self.shape.d_model**-0.5)
            nn.init.normal_(self.src_tok_emb.embedding.weight, std=self.shape.d_model**-0.5)

    @property
    def decoder_layers(self) -> list[DecoderLayer]:
        """The decoder's layers, first to last."""
        return [cast(DecoderLayer, layer) for layer in self.decoder.layers]

    def embedded(self, embedding: nn.Module, ids: Tensor, start: int = 0) -> Tensor:
        """Embeddings of ``ids``, shape (rows, positions), the first of which is position ``start``."""
        codes = self.position_code[start : start + ids.shape[1]]
        output: Tensor = self.dropout(embedding(ids) + codes)
        return output

    def encode(self, source: Tensor) -> Tensor:
        """States of sentences, (sentences, positions, d), from ids of shape (sentences, positions)."""
        bias = padding_bias(source, self.shape.pad)
        states = self.embedded(self.src_tok_emb, source)
        for layer in self.encoder.layers:
            states = layer(states, bias)
        output: Tensor = self.encoder.norm(states)
        return output

    def looked_at(self, source: Tensor, memory: Tensor) -> Source:
        """Sentences of ids ``source`` and states ``memory`` as the decoder looks at them."""
        layers = tuple(layer.multihead_attn.keys_values(memory) for layer in self.decoder_layers)
        return Source(layers, padding_bias(source, self.shape.pad))

    def decode(self, target: Tensor, source: Source, cache: Cache | None = None) -> Tensor:
        """States behind the last norm, (rows, positions, d), of target ids of shape (rows, positions).

        With a ``cache`` the ids are one more position of each row.
        """
        bias = causal_bias(target.shape[1], target.device) if cache is None else None
        states = self.embedded(self.tgt_tok_emb, target, 0 if cache is None else cache.length)
        for index, layer in enumerate(self.decoder_layers):
            seen = _itself if cache is None else cache.appender(index)
            states = layer.decode(states, seen, bias, source.keys_values[index], source.bias)
        output: Tensor = self.decoder.norm(states)
        return output

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Logits, (sentences, target positions, target vocabulary), of the token behind each target position."""
        logits: Tensor = self.generator(self.decode(target, self.looked_at(source, self.encode(source))))
        return logits


def _itself(keys_values: KeysValues) -> KeysValues:
    return keys_values


def sinusoids(positions: int, width: int) -> Tensor:
    """Position codes (Vaswani et al. 2017, section 3.5), shape (positions, width): sines at even places, cosines at
    odd ones."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    angles = torch.arange(positions).unsqueeze(1) * rates
    return torch.stack([angles.sin(), angles.cos()], dim=2).flatten(1)[:, :width]
