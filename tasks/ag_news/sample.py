"""The embedded sample: synthetic news in the files and formats of AG News, the same bytes every time.

An article mixes common words, words of its own topic and, as real news does, words of another topic; the share of the
last differs from article to article, so that some are truly ambiguous and no model classifies all of them. Topics have
long tails of rare words, so that what the embeddings of frequent words learn has to carry over.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from itertools import accumulate
from random import Random

TRAIN_ROWS = 2_000
TEST_ROWS = 1_000
CLASSES = 4
COMMON_WORDS = 600
TOPIC_WORDS = 400
TOPICAL = 0.42
"""Share of an article's words that are topic words."""
STRAY = 0.45
"""Largest share of those that belong to another topic."""
SEED = 20040917

_ONSETS = (*"bcdfghjklmnprstvw", "st", "tr", "ch", "sh", "pl")
_VOWELS = (*"aeiou", "ai", "ea", "ou")
_CODAS = (*"nrstlm", "nd", "st", "ck", *[""] * 6)
_SOURCES = ("(Reuters)", "(AP)", "- Reuters", "AFP -")


def sample() -> Mapping[str, bytes]:
    """``train.csv`` (2,000 rows), ``test.csv`` (1,000 rows) and ``classes.txt``."""
    random = Random(SEED)
    words = _words(random, COMMON_WORDS + CLASSES * TOPIC_WORDS)
    common = _Words(words[:COMMON_WORDS])
    topics = [_Words(words[COMMON_WORDS + i * TOPIC_WORDS :][:TOPIC_WORDS]) for i in range(CLASSES)]
    return {
        "train.csv": _rows(random, TRAIN_ROWS, common, topics),
        "test.csv": _rows(random, TEST_ROWS, common, topics),
        "classes.txt": b"World\nSports\nBusiness\nSci/Tech\n",
    }


class _Words:
    """Words to draw from, the r-th with probability proportional to 1 / (r + 10)."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words
        self.weights = list(accumulate(1 / (rank + 10) for rank in range(len(words))))

    def draw(self, random: Random) -> str:
        return random.choices(self.words, cum_weights=self.weights)[0]


def _words(random: Random, count: int) -> list[str]:
    """Distinct pronounceable words."""
    found: dict[str, None] = {}
    while len(found) < count:
        parts = (random.choice(_ONSETS) + random.choice(_VOWELS) for _ in range(random.choice((1, 2, 2, 3))))
        found["".join(parts) + random.choice(_CODAS)] = None
    return list(found)


def _rows(random: Random, count: int, common: _Words, topics: Sequence[_Words]) -> bytes:
    """CSV rows of articles whose classes take turns."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    for row in range(count):
        topic = row % CLASSES
        writer.writerow([topic + 1, *_article(random, common, topics, topic)])
    return text.getvalue().encode()


def _article(random: Random, common: _Words, topics: Sequence[_Words], topic: int) -> tuple[str, str]:
    """Title and description."""
    other = topics[(topic + 1 + int(random.random() * (CLASSES - 1))) % CLASSES]
    strayed = random.random() * STRAY

    def word() -> str:
        if random.random() >= TOPICAL:
            return common.draw(random)
        return (other if random.random() < strayed else topics[topic]).draw(random)

    title = [word().capitalize() for _ in range(6)]
    sentences = []
    for _ in range(random.choice((1, 2, 2))):
        sentence = [word() for _ in range(random.choice((10, 13, 16)))]
        sentence[4] += random.choice((",", "'s", ";", ""))
        sentences.append(" ".join(sentence).capitalize() + random.choice((".", ".", ".", "?")))
    if random.random() < 0.2:
        sentences.append(f'"{word().capitalize()} {word()}!"')
    return " ".join(title), f"{word().upper()} {random.choice(_SOURCES)} {' '.join(sentences)}"
