"""A corpus as token ids, computed once and shared: the vocabulary of its training texts, and the rows of each split.

Tokens and ids are those of ``tasks.text``, or of torchtext where that imports (beside torch 2.3 alone): the same ids by
contract, which ``make test-compat`` compares over whole data sets, so that which of the two it was enters no key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from bench.data.derived import Arrays, arrays
from tasks.text import UNKNOWN, TokenRows, Vocabulary, basic_english, build_vocabulary, encode

OWN = "prunebench"
VERSION = 1
"""Raised when the same texts would give other ids: ids lie in a cache."""


@dataclass(frozen=True)
class Tokens:
    """A way to split texts."""

    name: str
    """By which the cache knows it: another way, another name."""
    of: Callable[[str], list[str]]


@dataclass(frozen=True)
class Tokenized:
    """What of a corpus a model sees."""

    vocabulary: Vocabulary
    rows: Mapping[str, TokenRows]
    """By split, memory-mapped from the cache; ids of whole texts, no special ones among them."""


def tokenize(
    texts: Mapping[str, Sequence[str]],
    *,
    digest: str,
    counted: str = "train",
    min_frequency: int = 1,
    specials: Sequence[str] = (UNKNOWN,),
    tokens: Tokens | None = None,
) -> Tokenized:
    """The texts of each split as ids of their ``tokens`` (``basic_english``). The vocabulary is that of ``counted``.

    ``digest`` identifies the texts (a data digest, and the language where there are several): vocabulary and ids are
    kept in the cache under it.
    """
    tokens = tokens or basic()
    made_from = {
        "tokens": tokens.name,
        "version": VERSION,
        "texts": digest,
        "splits": list(texts),
        "counted": counted,
        "min_frequency": min_frequency,
        "specials": list(specials),
    }
    found = arrays(made_from, lambda: _made(texts, tokens.of, counted, min_frequency, specials))
    words = found["vocabulary"].tobytes().decode().split("\n")
    rows = {split: TokenRows(*(np.asarray(found[f"{split}.{part}"]) for part in _PARTS)) for split in texts}
    return Tokenized(Vocabulary(tuple(words)), rows)


_PARTS = ("tokens", "offsets")


def _made(
    texts: Mapping[str, Sequence[str]],
    split_up: Callable[[str], list[str]],
    counted: str,
    min_frequency: int,
    specials: Sequence[str],
) -> Arrays:
    vocabulary = vocabulary_of(map(split_up, texts[counted]), min_frequency=min_frequency, specials=specials)
    made = {"vocabulary": np.frombuffer("\n".join(vocabulary.tokens).encode(), dtype=np.uint8)}
    for split, rows in texts.items():
        encoded = encode(map(split_up, rows), vocabulary)
        made |= {f"{split}.{part}": getattr(encoded, part) for part in _PARTS}
    return made


def basic() -> Tokens:
    """``basic_english``: torchtext's where it imports."""
    library = _torchtext()
    return Tokens(
        "basic_english", basic_english if library is None else library.data.utils.get_tokenizer("basic_english")
    )


def vocabulary_of(
    texts: Iterable[Sequence[str]], *, min_frequency: int = 1, specials: Sequence[str] = (UNKNOWN,)
) -> Vocabulary:
    """The vocabulary by frequency, as ``tasks.text.build_vocabulary`` has it: torchtext's where it imports."""
    library = _torchtext()
    if library is None:
        return build_vocabulary(texts, min_frequency=min_frequency, specials=specials)
    built = library.vocab.build_vocab_from_iterator(texts, min_freq=min_frequency, specials=list(specials))
    return Vocabulary(tuple(built.get_itos()))


def provider() -> str:
    """Whose tokens and vocabulary are used here: ``prunebench``, or torchtext with its version."""
    library = _torchtext()
    return OWN if library is None else f"torchtext {library.__version__}"


@cache
def _torchtext() -> Any:
    """The package, or None where it is absent or does not import: its compiled part fits torch 2.3 alone."""
    if find_spec("torchtext") is None:
        return None
    try:
        import torchtext
        import torchtext.data.utils
        import torchtext.vocab
    except (ImportError, OSError, RuntimeError, AttributeError):
        return None
    return torchtext
