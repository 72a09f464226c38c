"""JPQ: a query encoder trained together with the centroids of a product-quantised index (Zhan et al. 2021).

A passage is M codes of one byte; its vector is their centroids, side by side, in a rotated space:

    s(q, d) = sum over m of <(R E(q))_m, C[m, code_m(d)]>

Codes, rotation R and first centroids come from faiss (OPQ, then PQ) on the passages' vectors. Training changes the
query encoder and the centroids, on negatives that the present index ranks highest; codes and rotation stay.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

from tasks.dense_retrieval.indexes import Codes
from tasks.dense_retrieval.model import Encoder


class Quantised(nn.Module):
    """The query encoder with the index as parameters and buffers."""

    codes: Tensor
    """uint8 (passages, M)."""
    rotation: Tensor
    """float32 (d, d): R."""

    def __init__(self, query: Encoder, codes: np.ndarray, rotation: np.ndarray, centroids: np.ndarray, rate: float):
        """``centroids``: float32 (M, 256, d / M). ``rate``: how much faster they learn than the encoder, in their own
        root mean square, under an optimiser whose steps do not depend on the gradient's scale (Adam): the parameter is
        the centroids divided by both."""
        super().__init__()
        self.query = query
        self.unit = rate * float(np.sqrt(np.mean(np.square(centroids, dtype=np.float64))))
        self.scaled = nn.Parameter(torch.tensor(centroids) / self.unit)
        self.register_buffer("codes", torch.tensor(codes))
        self.register_buffer("rotation", torch.tensor(rotation))

    @property
    def centroids(self) -> Tensor:
        """C, float32 (M, 256, d / M)."""
        return self.scaled * self.unit

    def as_codes(self) -> Codes:
        """The index as faiss takes it, with the centroids as they are now."""
        parts = (self.codes, self.rotation, self.centroids)
        return Codes(*(part.detach().cpu().numpy() for part in parts))

    def rotated(self, ids: Tensor, mask: Tensor) -> Tensor:
        """R E(q), (queries, d)."""
        found: Tensor = self.query(ids, mask) @ self.rotation.T
        return found

    def passages(self) -> Tensor:
        """The passages' vectors as their codes tell them, in the rotated space: (passages, d)."""
        parts, width, size = self.scaled.shape
        first = torch.arange(parts, device=self.codes.device) * width
        return self.centroids.reshape(parts * width, size)[self.codes.long() + first].flatten(1)


def scores(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
    """s(q, d) of every passage, (queries, passages); of a batch that no passage is asked of, R E(q), (queries, d)."""
    assert isinstance(model, Quantised)
    rotated = model.rotated(batch["query_ids"], batch["query_mask"])
    return rotated @ model.passages().T if "relevant" in batch else rotated


def ranking_loss(products: Tensor, batch: Mapping[str, Tensor], temperature: float, depth: int) -> Tensor:
    """Rank-weighted pairwise loss on the index's own top ``depth`` (Zhan et al. 2021, section 4.2 and 4.4).

    For a relevant passage p and a negative n among the highest-ranked ``depth`` passages,

        |1 / rank_n - 1 / rank_p| * log(1 + exp((s_n - s_p) / temperature)),

    summed over n, mean over p, mean over queries. Ranks are those of ``products`` (queries, passages), from 1.
    ``relevant``: int64 (queries, most), numbers of the query's relevant passages, filled up with -1.
    """
    relevant = batch["relevant"]
    there = relevant >= 0
    known = torch.zeros_like(products, dtype=torch.bool).scatter(1, relevant.clamp(min=0), there)
    with torch.no_grad():
        numbers = products.topk(min(depth, products.shape[1]), dim=1).indices
        ranks = torch.arange(1, numbers.shape[1] + 1, device=products.device)
        positive = products.gather(1, relevant.clamp(min=0))
        rank = 1 + (products.unsqueeze(1) > positive.unsqueeze(2)).sum(2)
        weights = (1 / ranks[None, None] - 1 / rank.unsqueeze(2)).abs()
        weights = weights * there.unsqueeze(2) * ~known.gather(1, numbers).unsqueeze(1)
    positive = products.gather(1, relevant.clamp(min=0))
    negative = products.gather(1, numbers)
    pairs = softplus((negative.unsqueeze(1) - positive.unsqueeze(2)) / temperature)
    losses = (weights * pairs).sum(2).sum(1) / there.sum(1)
    return losses.mean()
