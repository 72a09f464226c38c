"""Encoders of the BERT family, from scratch or pretrained, and what they are fed: padded batches of similar length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.checkpoints import Checkpoint
from tasks.ag_news.options import CheckpointOptions, EncoderOptions, TransformerOptions
from tasks.encoders import model as encoders
from tasks.encoders import tokens as special
from tasks.text import TokenRows
from tasks.tokenized import OWN, provider, tokenize

if TYPE_CHECKING:
    from tasks.ag_news.task import Numbers
    from tasks.base import Batch

EVALUATION_BATCH = 128
POOL = 64
"""Batches among which texts of similar length are put together."""
ADDED = 2
"""[CLS] before a text and [SEP] after it."""
HEAD_SPREAD = 0.02
"""Standard deviation of the classifier's weights, as BERT draws its own (Devlin et al. 2019, arXiv:1810.04805)."""


class EncoderClassifier(nn.Module):
    """An encoder's last hidden states, pooled, then a linear layer to the classes."""

    def __init__(self, encoder: nn.Module, classes: int, *, pooling: str, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(encoder.config.hidden_size, classes)  # type: ignore[union-attr, arg-type]
        nn.init.normal_(self.fc.weight, std=HEAD_SPREAD)
        nn.init.zeros_(self.fc.bias)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits, shape (texts, classes), from ids and the marks of what is no padding, shape (texts, length)."""
        hidden: Tensor = self.encoder(input_ids, attention_mask=attention_mask).last_hidden_state
        pooled = encoders.mean_pooled(hidden, attention_mask) if self.pooling == "mean" else hidden[:, 0]
        logits: Tensor = self.fc(self.dropout(pooled))
        return logits


@dataclass(frozen=True)
class Encoder:
    """An encoder with a linear layer on top, as a ``tasks.ag_news.task.Classifier``."""

    options: EncoderOptions
    checkpoint: Checkpoint | None
    rows: Mapping[str, TokenRows]
    """By split; ids without [CLS] and [SEP], of too long texts more than are used."""
    words: int
    """Ids that there are."""
    pad: int
    cls: int
    sep: int
    classes: int
    tokenizer: str
    """Whose tokens these are."""

    def build(self) -> nn.Module:
        chosen = self.options
        if isinstance(chosen, TransformerOptions):
            sizes = encoders.Sizes(
                chosen.layers, chosen.d_model, chosen.heads, chosen.d_ff, chosen.length, chosen.dropout
            )
            inner: nn.Module = encoders.scratch(sizes, self.words, self.pad)
        else:
            assert self.checkpoint is not None
            inner = encoders.pretrained(self.checkpoint, chosen.length)
        return EncoderClassifier(inner, self.classes, pooling=chosen.pooling, dropout=chosen.dropout)

    def prunable(self, model: nn.Module) -> Sequence[str]:
        table = model.encoder.get_input_embeddings().weight  # type: ignore[union-attr, operator]
        offered = set(encoders.prunable(model))
        return tuple(
            name
            for name, weight in model.named_parameters()
            if name in offered or (self.options.prune_embeddings and weight is table)
        )

    def inputs(self, split: str, texts: Numbers) -> Batch:
        """Ids, [CLS] first and [SEP] last, padded to the longest text at hand, and which of them are no padding: int64
        of shape (texts, longest)."""
        taken = self.rows[split].take(texts, self.options.length - ADDED)
        lengths = taken.lengths
        ids = np.full((len(texts), int(lengths.max(initial=0)) + ADDED), self.pad, dtype=np.int64)
        places = np.arange(ids.shape[1])
        ids[:, 0] = self.cls
        ids[(places >= 1) & (places <= lengths[:, None])] = taken.tokens
        ids[np.arange(len(texts)), lengths + 1] = self.sep
        there = (places < lengths[:, None] + ADDED).astype(np.int64)
        return {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(there)}

    def grouped(self, shuffled: Numbers, size: int, generator: np.random.Generator) -> Sequence[Numbers]:
        """Among each ``POOL`` batches texts of similar length go together; then the batches are shuffled."""
        lengths = self._lengths("train")
        batches: list[Numbers] = []
        for first in range(0, len(shuffled), POOL * size):
            pool = shuffled[first : first + POOL * size]
            pool = pool[np.argsort(lengths[pool], kind="stable")]
            batches += [pool[place : place + size] for place in range(0, len(pool), size)]
        return [batches[place] for place in generator.permutation(len(batches))]

    def evaluated(self, split: str) -> Sequence[Numbers]:
        texts = np.argsort(self._lengths(split), kind="stable")
        return [texts[place : place + EVALUATION_BATCH] for place in range(0, len(texts), EVALUATION_BATCH)]

    def _lengths(self, split: str) -> Numbers:
        return np.minimum(self.rows[split].lengths, self.options.length - ADDED)

    def forward(self, model: nn.Module, batch: Batch) -> Tensor:
        logits: Tensor = model(batch["input_ids"], batch["attention_mask"])
        return logits

    def example(self) -> Batch:
        """A text of the greatest length: the vocabulary's first ids, as cost does not depend on which."""
        ids = (torch.arange(self.options.length) % self.words).unsqueeze(0)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def facts(self) -> Mapping[str, Any]:
        most = self.options.length - ADDED
        cut = {split: int((rows.lengths > most).sum()) for split, rows in self.rows.items()}
        return {"truncated_texts": cut, **({} if self.tokenizer == OWN else {"tokenizer": self.tokenizer})}


def from_scratch(
    options: TransformerOptions, texts: Mapping[str, Sequence[str]], *, digest: str, classes: int
) -> Encoder:
    """An encoder of the task's own words. ``digest`` identifies the texts of the splits."""
    specials = (special.PAD, special.UNKNOWN, special.CLS, special.SEP)
    corpus = tokenize(texts, digest=digest, min_frequency=options.min_frequency, specials=specials)
    ids = corpus.vocabulary.ids
    pad, cls, sep = (ids[name] for name in (special.PAD, special.CLS, special.SEP))
    return Encoder(options, None, corpus.rows, len(ids), pad, cls, sep, classes, provider())


def pretrained(
    options: CheckpointOptions,
    checkpoint: Checkpoint,
    texts: Mapping[str, Sequence[str]],
    *,
    digest: str,
    classes: int,
) -> Encoder:
    """A checkpoint's encoder with its own tokenizer. Raises ``UsageError`` where it has none that fits."""
    found = special.of_checkpoint(checkpoint)
    # One id more than is used tells which texts were cut.
    limit = options.length - ADDED + 1
    rows = {split: found.rows(of_split, limit, digest=f"{digest} {split}") for split, of_split in texts.items()}
    return Encoder(options, checkpoint, rows, found.size, found.pad, found.cls, found.sep, classes, OWN)
