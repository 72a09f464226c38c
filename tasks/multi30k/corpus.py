"""Sentence pairs as ids: vocabularies from the training split, rows of every split, kept in the cache."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench import derived
from tasks.multi30k.options import Multi30kOptions
from tasks.multi30k.reader import SPLITS, Pairs
from tasks.multi30k.tokens import SPECIALS, words
from tasks.text import TokenRows, Vocabulary, basic_english, build_vocabulary, encode

VERSION = 1
"""Raised when the same options would give other ids."""
SIDES = ("source", "target")


@dataclass(frozen=True)
class Corpus:
    """All pairs as ids without marks; rows keep the order of the files and are not cut yet."""

    source: Vocabulary
    target: Vocabulary
    rows: Mapping[str, tuple[TokenRows, TokenRows]]
    """Split to its source and target rows."""


def tokenizer(options: Multi30kOptions) -> Callable[[str], list[str]]:
    """Text to tokens under these options."""
    if options.tokens == "basic_english":  # which lower-cases by itself
        return basic_english
    return (lambda text: words(text.lower())) if options.lower_case else words


def corpus(pairs: Mapping[str, Pairs], digest: str, options: Multi30kOptions) -> Corpus:
    """The pairs of every split in ids; from the cache where these data were met before under these options."""
    asked = {
        "what": "multi30k",
        "version": VERSION,
        "data": digest,
        "tokens": options.tokens,
        "lower_case": options.lower_case,
        "min_frequency": options.min_frequency,
    }
    arrays = derived.arrays(asked, lambda: _arrays(pairs, options))
    rows = {
        split: tuple(TokenRows(*(arrays[f"{split}-{side}-{part}"] for part in ("tokens", "offsets"))) for side in SIDES)
        for split in SPLITS
    }
    source, target = (_vocabulary(arrays[f"{side}-vocabulary"]) for side in SIDES)
    return Corpus(source, target, {split: (left, right) for split, (left, right) in rows.items()})


def _arrays(pairs: Mapping[str, Pairs], options: Multi30kOptions) -> dict[str, np.ndarray]:
    tokens = tokenizer(options)
    found: dict[str, np.ndarray] = {}
    for side in SIDES:
        texts: dict[str, Sequence[list[str]]] = {
            split: [tokens(text) for text in getattr(pairs[split], side)] for split in SPLITS
        }
        vocabulary = build_vocabulary(texts["train"], min_frequency=options.min_frequency, specials=SPECIALS)
        found[f"{side}-vocabulary"] = np.frombuffer("\n".join(vocabulary.tokens).encode(), dtype=np.uint8)
        for split in SPLITS:
            rows = encode(texts[split], vocabulary)
            found[f"{split}-{side}-tokens"], found[f"{split}-{side}-offsets"] = rows.tokens, rows.offsets
    return found


def _vocabulary(array: np.ndarray) -> Vocabulary:
    return Vocabulary(tuple(array.tobytes().decode().split("\n")))


def cut(rows: TokenRows, most: int) -> TokenRows:
    """The rows, of each its first ``most`` tokens."""
    lengths = np.minimum(np.diff(rows.offsets), most)
    if lengths.sum() == len(rows.tokens):
        return rows
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    places = np.arange(offsets[-1]) + np.repeat(rows.offsets[:-1] - offsets[:-1], lengths)
    return TokenRows(rows.tokens[places], offsets)
