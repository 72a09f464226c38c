"""The task's own models: words as tokens, drawn weights, decoding with a cache."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from bench.masks.couplings import Coupling, Slice
from tasks.multi30k import batches
from tasks.multi30k.attention import Attention
from tasks.multi30k.corpus import Corpus, cut
from tasks.multi30k.decode import Search, translate
from tasks.multi30k.model import EncoderLayer, Seq2SeqTransformer, Shape
from tasks.multi30k.options import PRE_NORM, Multi30kOptions
from tasks.multi30k.tokens import BEGIN, END, PAD, SPECIALS, sentence
from tasks.text import TokenRows, Vocabulary

if TYPE_CHECKING:
    from tasks.base import Batch

MARKS = 2
"""Tokens that a sentence gains: ``<bos>`` and ``<eos>``."""


class Scratch:
    """Sentence pairs as words, and the models that read them."""

    def __init__(self, corpus: Corpus, options: Multi30kOptions) -> None:
        self.corpus = corpus
        self.options = options

    @cached_property
    def rows(self) -> Mapping[str, tuple[TokenRows, TokenRows]]:
        """Split to its source and target rows, none longer than the model's maximum."""
        most = self.options.max_length - MARKS
        return {split: (cut(left, most), cut(right, most)) for split, (left, right) in self.corpus.rows.items()}

    def truncated(self, split: str) -> dict[str, int]:
        """Lines of each side that are longer than the model's maximum."""
        most = self.options.max_length - MARKS
        sides = zip(("source", "target"), self.corpus.rows[split], strict=True)
        return {side: int((np.diff(rows.offsets) > most).sum()) for side, rows in sides}

    def batch(self, split: str, numbers: batches.Ids) -> Batch:
        """``source`` and ``target`` ids and the ``labels`` that follow each target id, all int64 of shape
        (sentences, longest)."""
        source, target = (self._padded(rows.take(numbers)) for rows in self.rows[split])
        labels = target[:, 1:]
        return {
            "source": source,
            "target": target[:, :-1],
            "labels": labels.masked_fill(labels == PAD, batches.IGNORED),
        }

    def example(self, length: int) -> Batch:
        """A pair of sentences of ``length`` tokens, marks included, of the vocabularies' first words."""

        def ids(vocabulary: Vocabulary) -> Tensor:
            words = np.resize(np.arange(min(len(SPECIALS), len(vocabulary) - 1), len(vocabulary)), length - MARKS)
            return self._padded([words.tolist()])

        target = ids(self.corpus.target)
        return {"source": ids(self.corpus.source), "target": target[:, :-1], "labels": target[:, 1:]}

    def _padded(self, rows: Sequence[Sequence[int]] | TokenRows) -> Tensor:
        return torch.from_numpy(batches.padded(rows, begin=BEGIN, end=END, pad=PAD))

    def build(self) -> nn.Module:
        chosen = self.options
        shape = Shape(
            source_vocabulary=len(self.corpus.source),
            target_vocabulary=len(self.corpus.target),
            positions=max(chosen.max_length, chosen.max_output),
            pad=PAD,
            d_model=chosen.d_model,
            layers=chosen.layers,
            decoder_layers=chosen.decoder_layers,
            heads=chosen.heads,
            d_ff=chosen.d_ff,
            dropout=chosen.dropout,
            pre_norm=chosen.model == PRE_NORM,
            tied=chosen.model == PRE_NORM,
        )
        return Seq2SeqTransformer(shape).train()

    def forward(self, model: nn.Module, batch: Batch) -> Tensor:
        logits: Tensor = model(batch["source"], batch["target"])
        return logits

    def translate(self, model: nn.Module, split: str, numbers: batches.Ids) -> list[str]:
        """Translations of these sentences."""
        assert isinstance(model, Seq2SeqTransformer)
        chosen = self.options
        search = Search(
            BEGIN,
            END,
            chosen.max_output,
            chosen.beams if chosen.decode == "beam" else 1,
            chosen.length_penalty,
        )
        source = self._padded(self.rows[split][0].take(numbers)).to(model.generator.weight.device)
        words = self.corpus.target.tokens
        return [sentence([words[token] for token in row]) for row in translate(model, source, search)]

    def prunable(self, model: nn.Module) -> tuple[str, ...]:
        """Weights of the linear layers of encoder and decoder; with ``prune_embeddings`` the embeddings and the
        generator too."""
        body = tuple(
            f"{name}.weight"
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear) and name.startswith(("encoder.", "decoder."))
        )
        if not self.options.prune_embeddings:
            return body
        ends = ("generator.weight", "src_tok_emb.embedding.weight", "tgt_tok_emb.embedding.weight")
        return tuple(name for name, _ in model.named_parameters() if name in (*body, *ends))

    def couplings(self, model: nn.Module) -> Iterator[Coupling]:
        """Feed-forward neurons (``rows``) and attention ``heads``."""
        for name, module in model.named_modules():
            if isinstance(module, EncoderLayer):
                yield Coupling(
                    f"{name}.linear1",
                    "rows",
                    module.linear1.out_features,
                    tuple(Slice(f"{name}.linear1.{part}") for part in ("weight", "bias")),
                    (Slice(f"{name}.linear2.weight", axis=1),),
                )
            elif isinstance(module, Attention):
                width = module.q_proj.out_features // module.heads
                yield Coupling(
                    name,
                    "heads",
                    module.heads,
                    tuple(
                        Slice(f"{name}.{projection}.{part}", width=width)
                        for projection in ("q_proj", "k_proj", "v_proj")
                        for part in ("weight", "bias")
                    ),
                    (Slice(f"{name}.out_proj.weight", axis=1, width=width),),
                )

    def narrowed(self, model: nn.Module, kept: Mapping[str, Tensor]) -> None:
        for name, module in model.named_modules():
            if isinstance(module, Attention) and name in kept:
                module.heads = int(kept[name].sum())
