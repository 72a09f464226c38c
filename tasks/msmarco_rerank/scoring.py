"""Scores of many pairs: sorted by length, so that a batch pads little, and as many pairs a batch as tokens allow."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from bench.ranks import spread
from tasks.msmarco_rerank.text import Form
from tasks.text import TokenRows

TOKENS = 4_096
"""Of a batch, padding included: what a pair costs does not grow with the number beside it."""


def scores(
    forward: Callable[[dict[str, Tensor]], Tensor],
    form: Form,
    queries: TokenRows,
    passages: TokenRows,
    pairs: np.ndarray,
    limit: int,
    device: torch.device,
) -> np.ndarray:
    """float32 (pairs,): scores of ``pairs``, int64 (pairs, 2) of query and passage rows, in that order.

    ``forward`` gives (n,) scores for a batch of n pairs. ``limit``: tokens of a pair at most.
    """
    found = np.zeros(len(pairs), dtype=np.float32)
    asked, answers = queries.take(pairs[:, 0]), passages.take(pairs[:, 1])
    lengths = form.lengths(asked, answers, limit)
    batches = list(buckets(lengths))

    def of(chosen: np.ndarray) -> tuple[Tensor]:
        made = form.matrices(asked.take(chosen), answers.take(chosen), limit)
        return (forward({name: torch.from_numpy(matrix).to(device) for name, matrix in made.items()}).float(),)

    with torch.no_grad():
        for chosen, (scored,) in zip(batches, spread(batches, of), strict=True):
            found[chosen] = scored.cpu().numpy()
    return found


def buckets(lengths: np.ndarray, tokens: int = TOKENS) -> Iterator[np.ndarray]:
    """Numbers of pairs of similar length, longest first, at most ``tokens`` a batch once padded."""
    order = np.argsort(-lengths, kind="stable")
    place = 0
    while place < len(order):
        count = max(1, tokens // max(1, int(lengths[order[place]])))
        yield order[place : place + count]
        place += count
