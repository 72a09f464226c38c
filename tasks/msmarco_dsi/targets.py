"""BM25's best passages of each *train* query as further training targets.

"A pruning-based deep learning approach for information retrieval" (Sapienza) trains its index on the K docids that
Pyserini ranks highest for a query. Here they come beside the judged ones and are for training alone: no judgment
changes, and no dev query is asked.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bench.data.derived import arrays
from tasks import bm25
from tasks.msmarco_dsi.corpus import Corpus

VERSION = 1
"""Raised when the same queries would get other passages: they lie in a cache."""


def extended(corpus: Corpus, k: int, provider: str, *, digest: str) -> Corpus:
    """The corpus with the best ``k`` passages of each train query among its train pairs, each pair once; the judged
    pairs come first. ``digest`` identifies the corpus. Raises ``UsageError`` where the provider does not work."""
    if not k or not corpus.train_texts:
        return corpus
    made_from = {
        "bm25 targets": VERSION, "corpus": digest, "k": k, "provider": provider, "k1": bm25.K1, "b": bm25.B,
    }  # fmt: skip
    kept = arrays(
        made_from, lambda: {"passages": bm25.index(corpus.texts, provider).best(corpus.train_texts, k).documents}
    )
    found = kept["passages"]
    query, place = np.nonzero(found >= 0)
    pairs = np.concatenate([corpus.train_pairs, np.stack([query, found[query, place]], axis=1)])
    _, first = np.unique(pairs, axis=0, return_index=True)
    return replace(corpus, train_pairs=pairs[np.sort(first)])
