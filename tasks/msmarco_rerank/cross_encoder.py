"""``bert``: query and passage through one encoder (Nogueira & Cho 2019, "Passage re-ranking with BERT").

An encoder that was trained to embed sentences has nothing in [CLS] to start from, and its token vectors agree where
texts do. So a score may also start from the cosine between the mean vectors of the query's and the passage's tokens,
each having attended to both texts (``match``); a sentence encoder ranks with that before any training.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tasks.encoders.model import mean_pooled
from tasks.msmarco_rerank.kernels import unit

SCALE = 20.0
"""What cosines are multiplied by at the start, as sentence encoders are trained (a temperature of 0.05)."""


class CrossEncoder(nn.Module):
    """[CLS] query [SEP] passage [SEP] to one score: a linear layer on the encoder's output."""

    def __init__(self, encoder: nn.Module, width: int, outputs: int, pooling: str, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, outputs)
        nn.init.normal_(self.head.weight, std=0.02)
        nn.init.zeros_(self.head.bias)
        self.pooling = pooling
        self.scale = nn.Parameter(torch.tensor(SCALE)) if pooling == "match" else None
        config = encoder.config
        self.typed = getattr(config, "type_vocab_size", 0) > 1  # type: ignore[arg-type]

    def forward(self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor) -> Tensor:
        """Scores of pairs, (pairs, length) to (pairs,). Of two outputs it is the log-odds of the second."""
        types = {"token_type_ids": token_type_ids} if self.typed else {}
        hidden = self.encoder(input_ids=input_ids, attention_mask=attention_mask, **types).last_hidden_state
        pooled = mean_pooled(hidden, attention_mask) if self.pooling == "mean" else hidden[:, 0]
        full = self.head.weight.dtype
        # In float32 under mixed precision too: of a hundred candidates many would share one of bfloat16's few scores.
        with torch.autocast(pooled.device.type, enabled=False):
            logits = self.head(self.dropout(pooled.to(full)))
            scores: Tensor = logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]
            if self.scale is None:
                return scores
            parts = [mean_pooled(hidden.to(full), part) for part in (attention_mask - token_type_ids, token_type_ids)]
            return scores + self.scale * (unit(parts[0]) * unit(parts[1])).sum(-1)
