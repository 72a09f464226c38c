"""The dual encoder: a query encoder and a passage encoder, tied or apart, and its loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from bench.ranks import divided
from tasks.encoders.model import mean_pooled

SIDES = ("query", "passage")


class Encoder(nn.Module):
    """Token ids to one vector: an encoder of the BERT family and how its hidden states are pooled."""

    def __init__(self, body: nn.Module, pooling: str, normalised: bool) -> None:
        super().__init__()
        self.body = body
        self.pooling, self.normalised = pooling, normalised

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Vectors (texts, d) of ids and attention mask, int64 (texts, length)."""
        hidden: Tensor = self.body(input_ids=ids, attention_mask=mask).last_hidden_state
        pooled = mean_pooled(hidden, mask) if self.pooling == "mean" else hidden[:, 0]
        return normalize(pooled, dim=-1) if self.normalised else pooled


class DualEncoder(nn.Module):
    """Both encoders; where they are tied, ``query`` is the passage encoder as well."""

    def __init__(self, query: Encoder, passage: Encoder | None) -> None:
        super().__init__()
        self.query = query
        if passage is not None:
            self.passage = passage


def encoder(model: nn.Module, side: str) -> Encoder:
    """The encoder of ``query`` or ``passage``."""
    found: Any = getattr(model, side, None) or model.query
    assert isinstance(found, Encoder)
    return found


def vectors(model: nn.Module, batch: Mapping[str, Tensor], side: str) -> Tensor:
    """Vectors of the batch's queries or passages, (texts, d). Processes that train together have the batch's queries
    each for itself and the passages in common."""
    ids, mask = batch[f"{side}_ids"], batch[f"{side}_mask"]

    def of(rows: slice) -> Tensor:
        found: Tensor = encoder(model, side)(ids[rows], mask[rows])
        return found

    return divided(of, len(ids)) if side == "passage" and "query_ids" in batch else of(slice(None))


def scores(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """Inner products (queries, passages) of a batch with both sides, passages as ids or as ``passage_vectors``; of a
    batch with one side alone its vectors (texts, d)."""
    sides = [vectors(model, batch, side) for side in SIDES if f"{side}_ids" in batch]
    if "passage_vectors" in batch:
        sides.append(batch["passage_vectors"])
    return sides[0] @ sides[1].T if len(sides) == 2 else sides[0]


def contrastive_loss(products: Tensor, batch: Mapping[str, Tensor], temperature: float) -> Tensor:
    """-log softmax of each query's own passage among the batch's (Karpukhin et al. 2020, equation 2), query mean.

    ``products``: (queries, passages). ``label``: column of a query's own passage, int64 (queries,). ``candidate``:
    boolean (queries, passages), False for passages that are relevant to the query besides its own.
    """
    allowed = (products / temperature).masked_fill(~batch["candidate"], -torch.inf)
    return cross_entropy(allowed, batch["label"])
