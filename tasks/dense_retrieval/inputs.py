"""The texts of a corpus as token ids."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.checkpoints import Checkpoint
from tasks.dense_retrieval.corpus import Corpus
from tasks.dense_retrieval.options import Options
from tasks.encoders.tokens import Tokens, of_checkpoint, of_words
from tasks.text import TokenRows

SPECIAL = 2
"""[CLS] before the text and [SEP] after it."""


@dataclass(frozen=True)
class Inputs:
    """Ids without [CLS] and [SEP], cut to the lengths asked for."""

    tokens: Tokens
    passages: TokenRows
    train: TokenRows
    test: TokenRows
    limits: Mapping[str, int]
    """Ids of a ``query`` and a ``passage`` at most."""
    identity: Mapping[str, Any]
    """What the passages' ids depend upon, as plain data."""

    def rows(self, side: str, split: str) -> TokenRows:
        """The rows of ``passage``, or of the ``query`` texts of a split."""
        if side == "passage":
            return self.passages
        return self.train if split == "train" else self.test

    @property
    def at_full_length(self) -> dict[str, int]:
        """Passages and test queries as long as their limit allows: most of them were cut."""
        return {
            "passages": int((np.diff(self.passages.offsets) == self.limits["passage"]).sum()),
            "test queries": int((np.diff(self.test.offsets) == self.limits["query"]).sum()),
        }

    def filled(self, side: str, length: int) -> TokenRows:
        """One row of exactly ``length`` tokens with [CLS] and [SEP], made of the texts' own."""
        ids = np.resize(self.rows(side, "test").tokens, length - SPECIAL).astype(np.int32)
        return TokenRows(ids, np.asarray([0, len(ids)], dtype=np.int64))


def read(corpus: Corpus, options: Options, checkpoint: Checkpoint | None, digest: str) -> Inputs:
    """Ids by the checkpoint's tokenizer, else of the most frequent words of passages and train queries. ``digest``
    identifies the data."""
    tokens: Tokens
    if checkpoint is None:
        tokens = of_words((*corpus.texts, *corpus.train.texts), options.vocabulary, digest=digest)
        identity: dict[str, Any] = {"words": options.vocabulary}
    else:
        tokens = of_checkpoint(checkpoint)
        identity = {"tokenizer": checkpoint.digest}
    query, passage = options.query_length - SPECIAL, options.passage_length - SPECIAL
    return Inputs(
        tokens,
        tokens.rows(corpus.texts, passage, digest=f"{digest} passages"),
        tokens.rows(corpus.train.texts, query, digest=f"{digest} train queries"),
        tokens.rows(corpus.test.texts, query, digest=f"{digest} test queries"),
        {"query": query, "passage": passage},
        {**identity, "texts": digest, "length": options.passage_length},
    )
