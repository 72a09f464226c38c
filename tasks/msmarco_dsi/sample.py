"""The embedded sample: a small synthetic MS MARCO in the official file formats, the same bytes every time.

A passage is about a few subjects; each subject has words of its own, and no word belongs to one passage alone. A query
asks with a few of the passage's words, so that only their combination tells which passage is meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

SEED = 20_220_214
PASSAGES = 400
TRAIN_QUERIES = 240
DEV_QUERIES = 160
CONTENT_WORDS = 420
SUBJECTS = 30
COMMON = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "is",
    "for",
    "that",
    "was",
    "on",
    "with",
    "are",
    "by",
    "as",
    "it",
    "at",
    "from",
    "this",
    "be",
    "an",
    "or",
    "which",
    "can",
    "have",
    "has",
    "not",
    "more",
    "its",
    "other",
    "also",
    "most",
    "when",
    "used",
    "some",
    "between",
    "about",
    "than",
    "many",
]
ONSETS = [
    "b",
    "d",
    "f",
    "g",
    "k",
    "l",
    "m",
    "n",
    "p",
    "r",
    "s",
    "t",
    "v",
    "z",
    "br",
    "dr",
    "gr",
    "kl",
    "pl",
    "st",
    "tr",
]
NUCLEI = ["a", "e", "i", "o", "u"]
CODAS = ["l", "m", "n", "r", "k", "t"]


def _words(generator: np.random.Generator, count: int) -> list[str]:
    """Pronounceable words, all different, that the Porter stemmer leaves alone."""
    made: dict[str, None] = {}
    while len(made) < count:
        onset, nucleus, middle, vowel, coda = (
            generator.choice(kind) for kind in (ONSETS, NUCLEI, ONSETS[:14], NUCLEI, CODAS)
        )
        made[f"{onset}{nucleus}{middle}{vowel}{coda}"] = None
    return list(made)


def _passage(generator: np.random.Generator, words: Sequence[str]) -> str:
    """A text in which each content word comes once or twice among common words."""
    content = [word for word in words for _ in range(int(generator.integers(1, 3)))]
    fill = generator.choice(COMMON, size=int(generator.integers(14, 26))).tolist()
    text = generator.permutation([*content, *fill]).tolist()
    return " ".join(text).capitalize() + "."


def _question(generator: np.random.Generator, words: Sequence[str]) -> str:
    asked = generator.choice(words, size=int(generator.integers(3, 6)), replace=False).tolist()
    return " ".join(generator.permutation([*asked, *generator.choice(COMMON, size=2).tolist()]).tolist())


def _table(rows: Iterator[Sequence[object]]) -> bytes:
    return "".join("\t".join(str(cell) for cell in row) + "\n" for row in rows).encode()


def sample() -> Mapping[str, bytes]:
    """File name to content: collection, train and dev queries, and their judgments."""
    generator = np.random.default_rng(SEED)
    content = np.asarray(_words(generator, CONTENT_WORDS))
    subjects = [generator.choice(content, size=40, replace=False) for _ in range(SUBJECTS)]
    members = []
    for _ in range(PASSAGES):
        first, second = generator.choice(SUBJECTS, size=2, replace=False)
        both = [*generator.choice(subjects[first], size=5, replace=False), *generator.choice(subjects[second], size=4)]
        members.append(list(dict.fromkeys(str(word) for word in both)))
    numbers = np.sort(generator.choice(np.arange(100, 10_000), size=PASSAGES, replace=False)).tolist()
    about = generator.permutation(PASSAGES)[: TRAIN_QUERIES + DEV_QUERIES].tolist()
    asked = [(100_000 + 7 * row, passage, _question(generator, members[passage])) for row, passage in enumerate(about)]
    texts = [_passage(generator, words) for words in members]
    files = {"collection.tsv": _table(zip(numbers, texts, strict=True))}
    for split, part in (("train", asked[:TRAIN_QUERIES]), ("dev.small", asked[TRAIN_QUERIES:])):
        files[f"queries.{split}.tsv"] = _table((query, text) for query, _, text in part)
        files[f"qrels.{split}.tsv"] = _table((query, 0, numbers[passage], 1) for query, passage, _ in part)
    return files
