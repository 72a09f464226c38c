"""Query term independence put to use: the score of every (term, passage) once, and each query a sum of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse
import torch
from torch import Tensor, nn

from bench.ranks import spread
from tasks.msmarco_rerank.conformer_kernel import ConformerKernel
from tasks.msmarco_rerank.scoring import buckets
from tasks.msmarco_rerank.text import UNKNOWN_ID, padded
from tasks.text import TokenRows

CELLS = 1 << 21
"""Of (passages, terms, length) at a time, each with its kernels: some 100 MB in float32."""


@dataclass(frozen=True)
class Terms:
    """The distinct terms of a set of queries."""

    ids: np.ndarray
    """int64 (terms,), ascending; neither padding nor unknown."""
    counts: scipy.sparse.csr_matrix
    """float32 (queries, terms): how often each query has each term."""


def terms(queries: TokenRows) -> Terms:
    """The terms of the queries."""
    owners = np.repeat(np.arange(len(queries)), np.diff(queries.offsets))
    known = queries.tokens > UNKNOWN_ID
    ids, columns = np.unique(queries.tokens[known].astype(np.int64), return_inverse=True)
    ones = np.ones(len(columns), dtype=np.float32)
    shape = (len(queries), len(ids))
    return Terms(ids, scipy.sparse.csr_matrix((ones, (owners[known], columns)), shape=shape))


@torch.no_grad()
def postings(model: ConformerKernel, asked: np.ndarray, passages: TokenRows, limit: int) -> np.ndarray:
    """Scores of terms for some passages, float32 (terms, n): their part of the posting list of each term.

    ``limit``: terms of a passage at most.
    """
    device = next(model.parameters()).device
    chosen = torch.from_numpy(asked)[None].to(device)
    encoded = model.encode(torch.from_numpy(padded(passages, limit)).to(device))
    at_once = max(1, CELLS // encoded.ids.numel())
    parts = [
        model.term_scores(part, encoded).expand(len(passages), part.shape[1])
        for part in torch.split(chosen, at_once, 1)
    ]
    scores: np.ndarray = torch.cat(parts, dim=1).T.float().cpu().numpy()
    return scores


def retrieve(model: nn.Module, queries: TokenRows, passages: TokenRows, first: int | None, limit: int) -> np.ndarray:
    """float32 (queries, passages): scores of the whole collection for the ``first`` queries (None: all)."""
    assert isinstance(model, ConformerKernel)
    wanted = queries if first is None else queries.take(np.arange(min(first, len(queries))))
    held = terms(wanted)
    found = np.zeros((len(wanted), len(passages)), dtype=np.float32)
    batches = list(buckets(np.minimum(np.diff(passages.offsets), limit))) if len(held.ids) else []

    def of(rows: np.ndarray) -> tuple[Tensor]:
        return (torch.from_numpy(held.counts @ postings(model, held.ids, passages.take(rows), limit)),)

    for rows, (scores,) in zip(batches, spread(batches, of), strict=True):
        found[:, rows] = scores.numpy()
    return found
