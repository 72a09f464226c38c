"""Passage embeddings that semantic docids are clustered from: latent semantic analysis, or a pretrained encoder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy import sparse

from bench.checkpoints import Checkpoint
from bench.data.derived import arrays
from bench.errors import UsageError
from tasks.bm25 import Analyser

VERSION = 1
"""Raised when the same texts would give other embeddings: docids made from them lie in a cache."""
DIMENSIONS = 64
SEED = 20_220_214
LENGTH = 128
"""Word pieces that an encoder sees of a passage, special ones included."""
BATCH = 64


def embedded(texts: Sequence[str], checkpoint: Checkpoint | None, *, digest: str) -> np.ndarray:
    """Embeddings of the texts, which ``digest`` identifies, by the checkpoint's encoder or LSA; kept in the cache."""
    source = checkpoint.digest if checkpoint is not None else "lsa"

    def made() -> dict[str, np.ndarray]:
        return {"vectors": encoded(texts, checkpoint, digest=digest) if checkpoint is not None else lsa(texts)}

    vectors = arrays({"embeddings": VERSION, "by": source, "texts": digest}, made)["vectors"]
    if not np.isfinite(vectors).all():
        label = checkpoint.label if checkpoint is not None else source
        raise UsageError("embeddings are not all finite", where=f"semantic_model={label}", mend="Give another encoder.")
    return vectors


def lsa(texts: Sequence[str]) -> np.ndarray:
    """Latent semantic analysis (Deerwester et al. 1990): the left singular vectors of the largest singular values of
    the TF-IDF matrix, scaled by these, rows of length 1; float32 (texts, at most ``DIMENSIONS``).

    TF-IDF of BM25's index terms: (1 + log tf) log(N / df), rows of length 1; terms of one passage alone left out.
    """
    from scipy.sparse.linalg import svds

    weights = _tf_idf(texts)
    size = min(DIMENSIONS, min(weights.shape) - 1)
    if size < 1:
        return np.zeros((len(texts), 1), dtype=np.float32)
    start = np.random.default_rng(SEED).normal(size=min(weights.shape))
    left, values, _ = svds(weights, k=size, v0=start)
    return _of_length_one(left * values)


def _tf_idf(texts: Sequence[str]) -> sparse.csr_matrix:
    analyse = Analyser()
    columns: dict[str, int] = {}
    rows, terms, counts = [], [], []
    for row, text in enumerate(texts):
        for term, count in Counter(analyse(text)).items():
            rows.append(row)
            terms.append(columns.setdefault(term, len(columns)))
            counts.append(count)
    frequency = np.bincount(terms, minlength=len(columns)) if terms else np.zeros(0, dtype=np.int64)
    weights = (1 + np.log(counts)) * np.log(len(texts) / frequency[terms]) if terms else np.zeros(0)
    matrix = sparse.csr_matrix((weights, (rows, terms)), shape=(len(texts), len(columns)))[:, frequency > 1]
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1))).ravel()
    return sparse.csr_matrix(sparse.diags(1 / np.where(lengths > 0, lengths, 1)) @ matrix)


def encoded(texts: Sequence[str], checkpoint: Checkpoint, *, digest: str) -> np.ndarray:
    """Mean of the encoder's last hidden states, of length 1: float32 (texts, hidden size). ``digest`` identifies the
    texts. Raises ``UsageError`` where the checkpoint is no encoder."""
    import torch

    from tasks.encoders import model as encoders
    from tasks.encoders import tokens as tokenizers

    tokens = tokenizers.of_checkpoint(checkpoint)
    rows = tokens.rows(texts, LENGTH - 2, digest=digest)
    encoder = encoders.pretrained(checkpoint, LENGTH).eval()
    lengths = np.diff(rows.offsets)
    order = np.argsort(-lengths, kind="stable")
    found = np.empty((len(texts), encoder.config.hidden_size), dtype=np.float32)
    for first in range(0, len(texts), BATCH):
        chosen = order[first : first + BATCH]
        ids = np.full((len(chosen), int(lengths[chosen].max()) + 2), tokens.pad)
        for line, row in zip(ids, chosen, strict=True):
            line[0], line[lengths[row] + 1] = tokens.cls, tokens.sep
            line[1 : lengths[row] + 1] = rows.tokens[rows.offsets[row] : rows.offsets[row + 1]]
        mask = torch.from_numpy(np.arange(ids.shape[1]) < lengths[chosen, None] + 2).long()
        with torch.no_grad():
            hidden = encoder(input_ids=torch.from_numpy(ids), attention_mask=mask).last_hidden_state
        found[chosen] = encoders.mean_pooled(hidden, mask).numpy()
    return _of_length_one(found)


def _of_length_one(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1), dtype=np.float32)
