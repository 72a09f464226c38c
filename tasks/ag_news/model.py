"""The model of the source: the mean of a text's embeddings, and one linear layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn

INITIAL_RANGE = 0.5


class EmbeddingBagClassifier(nn.Module):
    """Mean of token embeddings, then a linear layer to the classes; weights drawn from U(-0.5, 0.5), bias zero.

    The bag is a gather and a sum by segment, not ``nn.EmbeddingBag``: the same function, but the fused operator has no
    second derivative with respect to its table on the CPU, which GraSP needs where embeddings are pruned.
    """

    def __init__(self, vocabulary: int, size: int, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, size)
        self.fc = nn.Linear(size, classes)
        nn.init.uniform_(self.embedding.weight, -INITIAL_RANGE, INITIAL_RANGE)
        nn.init.uniform_(self.fc.weight, -INITIAL_RANGE, INITIAL_RANGE)
        nn.init.zeros_(self.fc.bias)

    def forward(self, tokens: Tensor, offsets: Tensor) -> Tensor:
        """Logits, shape (texts, classes).

        ``tokens`` are the ids of all texts in a row, ``offsets``, shape (texts,), the places where each text begins.
        """
        embedded = self.embedding(tokens)
        lengths = torch.diff(offsets, append=offsets.new_full((1,), len(tokens)))
        texts = torch.repeat_interleave(lengths, output_size=len(tokens))
        sums = embedded.new_zeros(len(offsets), embedded.shape[1]).index_add(0, texts, embedded)
        # An empty text has the mean zero, as nn.EmbeddingBag has it.
        logits: Tensor = self.fc(sums / lengths.clamp(min=1).unsqueeze(1))
        return logits
