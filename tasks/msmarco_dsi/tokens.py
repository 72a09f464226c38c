"""The texts of a corpus as tokens of the model, and the docids as tokens of its output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.errors import UsageError
from tasks.msmarco_dsi import examples, text
from tasks.msmarco_dsi.corpus import Corpus
from tasks.msmarco_dsi.options import Options
from tasks.msmarco_dsi.text import Ragged

DIGITS = "0123456789"
FILLER = -1
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
    """int32 (passages, longest docid): output tokens of each docid, shorter ones filled up with -1."""
    vocabulary: int
    """Tokens in all, the docids' new ones included."""
    targets: int
    """Output tokens: those of ``scratch`` are the first of the vocabulary, a pretrained model's are all of it."""
    pad: int
    end: int


def of_scratch(corpus: Corpus, options: Options, strings: np.ndarray | None) -> Tokens:
    """Tokens are the most frequent words of passages and train queries; words unknown to it are left out.

    ``strings``: digits of the docids (passages, longest), filled up with -1; None for atomic ones.
    """
    split = text.splitter(options.words)
    passages, train = _split(split, corpus.texts), _split(split, corpus.train_texts)
    lexicon = text.lexicon(passages, train, options.vocabulary)
    count = len(corpus.texts)
    targets = SPECIAL + (count if strings is None else len(DIGITS))
    size = len(lexicon.numbers)
    pieces = Ragged(np.arange(targets, targets + size, dtype=np.int32), np.arange(size + 1))
    dev = lexicon.encode(_split(split, corpus.dev_texts))
    return Tokens(
        pool=_pool(corpus, lexicon, passages, train, options),
        pieces=pieces,
        dev=text.expand(dev, pieces),
        docids=_docids(SPECIAL + np.arange(count if strings is None else len(DIGITS)), strings),
        vocabulary=targets + size,
        targets=targets,
        pad=PAD,
        end=END,
    )


def of_pretrained(
    corpus: Corpus, options: Options, strings: np.ndarray | None, tokenizer: Any, vocabulary: int
) -> Tokens:
    """Tokens are the checkpoint's, word by word; atomic docids come after its ``vocabulary`` tokens."""
    split = text.splitter("blanks")
    passages, train, dev = (_split(split, texts) for texts in (corpus.texts, corpus.train_texts, corpus.dev_texts))
    lexicon, dev_lexicon = text.lexicon(passages, train), text.lexicon(dev, [])
    if strings is None:
        size = vocabulary + len(corpus.texts)
        outputs = np.arange(vocabulary, size)
    else:
        size = vocabulary
        outputs = np.asarray(tokenizer.convert_tokens_to_ids(list(DIGITS)), dtype=np.int64)
        if len(set(outputs.tolist())) < len(outputs):
            raise UsageError(
                "its tokenizer has no token for each digit", where=f"--model {options.model}", mend="Use atomic docids."
            )
    return Tokens(
        pool=_pool(corpus, lexicon, passages, train, options),
        pieces=_pieces(tokenizer, lexicon.words),
        dev=text.expand(dev_lexicon.encode(dev), _pieces(tokenizer, dev_lexicon.words)),
        docids=_docids(outputs, strings),
        vocabulary=size,
        targets=size,
        pad=tokenizer.pad_token_id,
        end=tokenizer.eos_token_id,
    )


def _docids(outputs: np.ndarray, strings: np.ndarray | None) -> np.ndarray:
    """Tokens of all docids: of atomic ones each its own of ``outputs``, of others those of their digits."""
    if strings is None:
        return outputs.astype(np.int32)[:, None]
    tokens: np.ndarray = np.append(outputs, FILLER).astype(np.int32)  # the filler's place is -1, as in the strings
    found: np.ndarray = tokens[strings]
    return found


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
