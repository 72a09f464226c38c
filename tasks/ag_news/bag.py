"""The embedding bag and what it is fed: the ids of a batch's texts, all in a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.ranks import bounds
from tasks.ag_news.model import EmbeddingBagClassifier
from tasks.ag_news.options import AgNewsOptions
from tasks.tokenized import OWN, Tokenized, provider

if TYPE_CHECKING:
    from tasks.ag_news.task import Numbers
    from tasks.base import Batch

EVALUATION_BATCH = 512
EXAMPLE_TOKENS = 43
"""Length of ``example()``: the mean over the official test split is 43.04 tokens, title included."""


@dataclass(frozen=True)
class Bag:
    """The source's model, as a ``tasks.ag_news.task.Classifier``."""

    options: AgNewsOptions
    corpus: Tokenized
    classes: int

    def build(self) -> nn.Module:
        return EmbeddingBagClassifier(len(self.corpus.vocabulary), self.options.embedding_size, self.classes)

    def prunable(self, model: nn.Module) -> Sequence[str]:
        return ("embedding.weight", "fc.weight") if self.options.prune_embeddings else ("fc.weight",)

    def inputs(self, split: str, texts: Numbers) -> Batch:
        taken = self.corpus.rows[split].take(texts)
        return {
            "tokens": torch.from_numpy(taken.tokens.astype(np.int64)),
            "offsets": torch.from_numpy(taken.offsets[:-1]),
        }

    def part(self, batch: Batch, number: int, of: int) -> tuple[Batch, float]:
        """By texts, whose ids all stand in one row."""
        offsets, tokens = batch["offsets"], batch["tokens"]
        own = bounds(len(offsets), number, of)
        ends = [*offsets.tolist(), len(tokens)]
        first = ends[own.start]
        part = {
            "tokens": tokens[first : ends[own.stop]],
            "offsets": offsets[own] - first,
            "labels": batch["labels"][own],
        }
        return part, (own.stop - own.start) / len(offsets)

    def grouped(self, shuffled: Numbers, size: int, generator: np.random.Generator) -> Sequence[Numbers]:
        return [shuffled[place : place + size] for place in range(0, len(shuffled), size)]

    def evaluated(self, split: str) -> Sequence[Numbers]:
        texts = np.arange(len(self.corpus.rows[split]))
        return [texts[place : place + EVALUATION_BATCH] for place in range(0, len(texts), EVALUATION_BATCH)]

    def forward(self, model: nn.Module, batch: Batch) -> Tensor:
        logits: Tensor = model(batch["tokens"], batch["offsets"])
        return logits

    def example(self) -> Batch:
        """``EXAMPLE_TOKENS`` tokens: the vocabulary's first ids, as cost does not depend on which."""
        tokens = torch.arange(EXAMPLE_TOKENS) % len(self.corpus.vocabulary)
        return {"tokens": tokens, "offsets": torch.zeros(1, dtype=torch.int64)}

    def facts(self) -> Mapping[str, Any]:
        return {} if provider() == OWN else {"tokenizer": provider()}
