"""Sentence pairs as ids: a vocabulary for each language, rows of every split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from tasks.multi30k.options import Multi30kOptions
from tasks.multi30k.reader import SPLITS, Pairs
from tasks.multi30k.tokens import SPECIALS, words
from tasks.text import TokenRows, Vocabulary
from tasks.tokenized import Tokens, basic, tokenize


@dataclass(frozen=True)
class Corpus:
    """All pairs as ids without marks; rows keep the order of the files and are not cut yet."""

    source: Vocabulary
    target: Vocabulary
    rows: Mapping[str, tuple[TokenRows, TokenRows]]
    """Split to its source and target rows."""


def tokens(options: Multi30kOptions) -> Tokens:
    """How texts are split under these options."""
    if options.tokens == "basic_english":  # which lower-cases by itself
        return basic()
    if options.lower_case:
        return Tokens("multi30k words, lower case", lambda text: words(text.lower()))
    return Tokens("multi30k words", words)


def corpus(pairs: Mapping[str, Pairs], digest: str, options: Multi30kOptions) -> Corpus:
    """The pairs of every split in ids; from the cache where these data were met before under these options."""
    source, target = (
        tokenize(
            {split: getattr(pairs[split], side) for split in SPLITS},
            digest=f"{digest} {side}",
            min_frequency=options.min_frequency,
            specials=SPECIALS,
            tokens=tokens(options),
        )
        for side in ("source", "target")
    )
    rows = {split: (source.rows[split], target.rows[split]) for split in SPLITS}
    return Corpus(source.vocabulary, target.vocabulary, rows)


def cut(rows: TokenRows, most: int) -> TokenRows:
    """The rows, of each its first ``most`` tokens."""
    lengths = np.minimum(np.diff(rows.offsets), most)
    if lengths.sum() == len(rows.tokens):
        return rows
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    places = np.arange(offsets[-1]) + np.repeat(rows.offsets[:-1] - offsets[:-1], lengths)
    return TokenRows(rows.tokens[places], offsets)
