"""The texts of a corpus as tokens of the model, and the docids as tokens of its output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.errors import UsageError
from tasks.msmarco_dsi import docids, examples, text
from tasks.msmarco_dsi.corpus import Corpus
from tasks.msmarco_dsi.options import Options
from tasks.msmarco_dsi.text import Ragged

PAD, END, SPECIAL = 0, 1, 2
"""Tokens of a model from scratch: padding (and decoder start), end of input, then docid tokens, then words."""


@dataclass(frozen=True)
class Tokens:
    """All that batches are made of."""

    pool: examples.Pool
    pieces: Ragged
    """Tokens of each word of the pool."""
    dev: Ragged
    """Tokens of each dev query."""
    docids: np.ndarray
    """int64 (passages, length): output tokens of each docid."""
    vocabulary: int
    """Tokens in all, the docids' new ones included."""
    targets: int
    """Output tokens: those of ``scratch`` are the first of the vocabulary, a pretrained model's are all of it."""
    pad: int
    end: int


def of_scratch(corpus: Corpus, options: Options) -> Tokens:
    """Tokens are the most frequent words of passages and train queries; words unknown to it are left out."""
    split = text.splitter(options.words)
    passages, train = _split(split, corpus.texts), _split(split, corpus.train_texts)
    lexicon = text.lexicon(passages, train, options.vocabulary)
    count = len(corpus.texts)
    targets = SPECIAL + (count if options.docids == "atomic" else 10)
    size = len(lexicon.numbers)
    pieces = Ragged(np.arange(targets, targets + size, dtype=np.int32), np.arange(size + 1))
    numbers = np.arange(count)[:, None] if options.docids == "atomic" else docids.digits(count)
    dev = lexicon.encode(_split(split, corpus.dev_texts))
    return Tokens(
        pool=_pool(corpus, lexicon, passages, train, options),
        pieces=pieces,
        dev=text.expand(dev, pieces),
        docids=numbers + SPECIAL,
        vocabulary=targets + size,
        targets=targets,
        pad=PAD,
        end=END,
    )


def of_pretrained(corpus: Corpus, options: Options, tokenizer: Any, vocabulary: int) -> Tokens:
    """Tokens are the checkpoint's, word by word; atomic docids come after its ``vocabulary`` tokens."""
    split = text.splitter("blanks")
    passages, train, dev = (_split(split, texts) for texts in (corpus.texts, corpus.train_texts, corpus.dev_texts))
    lexicon, dev_lexicon = text.lexicon(passages, train), text.lexicon(dev, [])
    count = len(corpus.texts)
    if options.docids == "atomic":
        numbers = vocabulary + np.arange(count)[:, None]
    else:
        digit = np.asarray(tokenizer.convert_tokens_to_ids([str(value) for value in range(10)]), dtype=np.int64)
        if len(set(digit.tolist())) < len(digit):
            raise UsageError(
                "its tokenizer has no token for each digit", where=f"--model {options.model}", mend="Use atomic docids."
            )
        numbers = digit[docids.digits(count)]
    size = vocabulary + (count if options.docids == "atomic" else 0)
    return Tokens(
        pool=_pool(corpus, lexicon, passages, train, options),
        pieces=_pieces(tokenizer, lexicon.words),
        dev=text.expand(dev_lexicon.encode(dev), _pieces(tokenizer, dev_lexicon.words)),
        docids=numbers,
        vocabulary=size,
        targets=size,
        pad=tokenizer.pad_token_id,
        end=tokenizer.eos_token_id,
    )


def _split(split: Any, texts: Sequence[str]) -> list[list[str]]:
    return [split(one) for one in texts]


def _pieces(tokenizer: Any, words: list[str]) -> Ragged:
    return text.ragged(tokenizer(words, add_special_tokens=False)["input_ids"] if words else [])


def _pool(
    corpus: Corpus,
    lexicon: text.Lexicon,
    passages: list[list[str]],
    train: list[list[str]],
    options: Options,
) -> examples.Pool:
    return examples.pool(
        lexicon.encode(passages), lexicon.encode(train), corpus.train_pairs, lexicon.rarity, options.bag_rarity
    )
