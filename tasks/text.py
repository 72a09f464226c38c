"""Text to token ids: the ``basic_english`` tokenizer, a vocabulary by frequency, and rows of ids as flat arrays.

Tokens and ids are those of torchtext 0.18's ``get_tokenizer("basic_english")`` and ``build_vocab_from_iterator``,
which much published code uses, without torchtext (archived, and bound to torch 2.3).
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
import numpy.typing as npt

UNKNOWN = "<unk>"

_SPACED = {ord(mark): f" {mark} " for mark in "'.,()!?"} | dict.fromkeys(map(ord, ";:"), " ")


def basic_english(text: str) -> list[str]:
    """Lower-cased tokens of ``text``, split at white space after these substitutions.

    ``' . , ( ) ! ?`` become tokens of their own, ``"`` vanishes without splitting, and ``;``, ``:`` and ``<br />`` are
    spaces.
    """
    # Quotes go before <br /> is looked for: a quote inside the tag does not hide it.
    return text.lower().replace('"', "").replace("<br />", " ").translate(_SPACED).split()


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by id. A token that is not there has the id of ``<unk>``."""

    tokens: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def ids(self) -> dict[str, int]:
        """Id of each token."""
        return {token: number for number, token in enumerate(self.tokens)}

    @property
    def unknown(self) -> int:
        """Id of ``<unk>``. Raises ``KeyError`` for a vocabulary without it."""
        return self.ids[UNKNOWN]

    def encode(self, tokens: Iterable[str]) -> list[int]:
        """Ids of a text's tokens."""
        get, unknown = self.ids.get, self.unknown
        return [get(token, unknown) for token in tokens]


def build_vocabulary(
    texts: Iterable[Sequence[str]], *, min_frequency: int = 1, specials: Sequence[str] = (UNKNOWN,)
) -> Vocabulary:
    """The special tokens, then every token seen at least ``min_frequency`` times in ``texts`` (token lists).

    Most frequent first, equal frequencies in code point order. A special token that occurs in the texts keeps its
    place among the specials.
    """
    counts = Counter(chain.from_iterable(texts))
    for special in specials:
        counts.pop(special, None)
    frequent = ((token, count) for token, count in counts.items() if count >= min_frequency)
    ordered = sorted(frequent, key=lambda item: (-item[1], item[0]))
    return Vocabulary((*specials, *(token for token, _ in ordered)))


@dataclass(frozen=True)
class TokenRows:
    """Texts as ids, row after row in one array: row i is ``tokens[offsets[i]:offsets[i + 1]]``."""

    tokens: npt.NDArray[np.int32]
    """Shape (tokens of all rows,)."""
    offsets: npt.NDArray[np.int64]
    """Shape (rows + 1,), from 0."""

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Ids of each row, shape (rows,)."""
        return np.diff(self.offsets)

    def take(self, rows: npt.NDArray[np.integer], limit: int | None = None) -> TokenRows:
        """The rows of these numbers, in this order; of each the first ``limit`` ids, where one is given."""
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        if limit is not None:
            lengths = np.minimum(lengths, limit)
        offsets = np.zeros(len(rows) + 1, dtype=np.int64)
        np.cumsum(lengths, out=offsets[1:])
        places = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)
        return TokenRows(self.tokens[places], offsets)


def encode(texts: Iterable[Sequence[str]], vocabulary: Vocabulary) -> TokenRows:
    """All token lists as ids."""
    tokens, lengths = array("i"), array("q", [0])
    for text in texts:
        tokens.extend(vocabulary.encode(text))
        lengths.append(len(text))
    return TokenRows(np.array(tokens, dtype=np.int32), np.cumsum(np.array(lengths, dtype=np.int64)))
