"""Texts to token ids for an encoder: word pieces of a checkpoint, or words counted in the task's own texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from bench.checkpoints import Checkpoint
from bench.data.derived import arrays
from bench.errors import UsageError
from tasks.bm25 import words
from tasks.text import TokenRows, Vocabulary, build_vocabulary, encode

PAD, UNKNOWN, CLS, SEP = "[PAD]", "<unk>", "[CLS]", "[SEP]"
CHUNK = 4_096
"""Texts tokenized at a time."""
VERSION = 1
"""Raised when the same texts would give other ids: ids lie in a cache."""


class Tokens(Protocol):
    """What turns texts into ids."""

    @property
    def size(self) -> int:
        """Number of ids."""
        ...

    @property
    def pad(self) -> int: ...

    @property
    def cls(self) -> int:
        """Stands before the text (or the pair)."""
        ...

    @property
    def sep(self) -> int:
        """Stands after each text."""
        ...

    def rows(self, texts: Sequence[str], limit: int, *, digest: str) -> TokenRows:
        """The first ``limit`` ids of each text, no special ones among them. ``digest`` identifies the texts: the ids
        are kept in the cache under it."""
        ...


@dataclass(frozen=True)
class Words:
    """Lower-cased words, split as BM25 splits them; ids of a vocabulary with the special tokens at its head."""

    vocabulary: Vocabulary
    digest: str
    """Of what the vocabulary was built from."""

    @property
    def size(self) -> int:
        return len(self.vocabulary)

    @property
    def pad(self) -> int:
        return self.vocabulary.ids[PAD]

    @property
    def cls(self) -> int:
        return self.vocabulary.ids[CLS]

    @property
    def sep(self) -> int:
        return self.vocabulary.ids[SEP]

    def rows(self, texts: Sequence[str], limit: int, *, digest: str) -> TokenRows:
        made_from = {"tokens": "words", "vocabulary": self.digest, "size": self.size, "texts": digest, "limit": limit}
        return _kept(made_from, lambda: encode((words(text)[:limit] for text in texts), self.vocabulary))


def of_words(texts: Iterable[str], size: int, *, digest: str) -> Words:
    """The ``size`` most frequent words of the texts, special tokens included. ``digest`` identifies the texts."""
    counted = build_vocabulary((words(text) for text in texts), specials=(PAD, UNKNOWN, CLS, SEP))
    return Words(Vocabulary(counted.tokens[:size]), digest)


@dataclass(frozen=True)
class Pieces:
    """The tokenizer of a checkpoint."""

    tokenizer: Any
    digest: str

    @property
    def size(self) -> int:
        return len(self.tokenizer)

    @property
    def pad(self) -> int:
        return int(self.tokenizer.pad_token_id)

    @property
    def cls(self) -> int:
        return int(self.tokenizer.cls_token_id)

    @property
    def sep(self) -> int:
        return int(self.tokenizer.sep_token_id)

    def rows(self, texts: Sequence[str], limit: int, *, digest: str) -> TokenRows:
        made_from = {"tokens": "pieces", "tokenizer": self.digest, "texts": digest, "limit": limit}
        return _kept(made_from, lambda: self._encoded(texts, limit))

    def _encoded(self, texts: Sequence[str], limit: int) -> TokenRows:
        ids: list[list[int]] = []
        for first in range(0, len(texts), CHUNK):
            ids += self.tokenizer(
                list(texts[first : first + CHUNK]),
                add_special_tokens=False,
                truncation=True,
                max_length=limit,
                return_attention_mask=False,
                return_token_type_ids=False,
            )["input_ids"]
        offsets = np.cumsum([0, *map(len, ids)], dtype=np.int64)
        return TokenRows(np.fromiter((i for row in ids for i in row), np.int32, int(offsets[-1])), offsets)


def of_checkpoint(checkpoint: Checkpoint) -> Pieces:
    """The checkpoint's tokenizer. Raises ``UsageError`` where it has none, or one without the tokens of an encoder."""
    from bench import pretrained

    tokenizer = pretrained.tokenizer(checkpoint)
    if None in (tokenizer.pad_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id):
        raise UsageError(
            "its tokenizer has no padding, [CLS] or [SEP] token",
            where=f"--model {checkpoint.label}",
            mend="Give an encoder of the BERT family.",
        )
    return Pieces(tokenizer, checkpoint.digest)


def _kept(made_from: Mapping[str, Any], make: Any) -> TokenRows:
    def made() -> dict[str, np.ndarray]:
        rows: TokenRows = make()
        return {"tokens": rows.tokens, "offsets": rows.offsets}

    found = arrays({"version": VERSION, **made_from}, made)
    return TokenRows(found["tokens"], found["offsets"])
