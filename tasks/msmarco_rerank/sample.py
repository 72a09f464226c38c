"""The embedded sample: a small synthetic MS MARCO with a TREC DL track, in the official file formats, the same bytes
every time.

A passage is on a subject and speaks of three themes. Each theme has a name and a by-name; queries use the
name, passages one of the two. A query gives a subject and two themes: passages of both are relevant. BM25 sees the
names alone; whoever learns from the train queries which by-name goes with which name ranks better.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

SEED = 20_191_115
SUBJECTS = 6
THEMES = 9
IN_A_PASSAGE = 3
PASSAGES = 900
TRAIN_SHARE, DEV_SHARE = 0.8, 0.1
"""Of all pairs of themes, for each subject; the rest are the track's."""
BY_NAME = 0.7
"""Share of mentions by the by-name."""
DEPTH = 50
FILL = "the of and to in for that was with are by as at this an or it on be their such then there they will".split()  # noqa: SIM905
ASK = ("is", "of", "the", "in")
ONSETS = (*"bdfgklmnprstvz", "br", "dr", "gr", "kl", "pl", "st", "tr")
NUCLEI = tuple("aeiou")
CODAS = tuple("lmnrkt")
K1, B = 0.9, 0.4


@dataclass(frozen=True)
class _World:
    subjects: list[str]
    names: list[str]
    """By theme."""
    by_names: list[str]


@dataclass(frozen=True)
class _Passage:
    subject: int
    mentions: Mapping[int, int]
    """Theme to how often it is mentioned."""
    text: str


@dataclass(frozen=True)
class _Query:
    number: int
    subject: int
    themes: tuple[int, int]
    text: str


def _words(generator: np.random.Generator, count: int) -> list[str]:
    """Pronounceable words, all different."""
    made: dict[str, None] = {}
    while len(made) < count:
        kinds = (ONSETS, NUCLEI, ONSETS[:14], NUCLEI, CODAS)
        made["".join(generator.choice(kind) for kind in kinds)] = None
    return list(made)


def _world(generator: np.random.Generator) -> _World:
    words = _words(generator, SUBJECTS + 2 * THEMES)
    return _World(words[:SUBJECTS], words[SUBJECTS:-THEMES], words[-THEMES:])


def _passage(generator: np.random.Generator, world: _World, subject: int) -> _Passage:
    themes = generator.permutation(THEMES)[:IN_A_PASSAGE].tolist()
    mentions = {theme: int(generator.integers(1, 3)) for theme in themes}
    content = [world.subjects[subject]]
    for theme, times in mentions.items():
        kinds = generator.random(times) < BY_NAME
        content += [(world.by_names if by_name else world.names)[theme] for by_name in kinds]
    parts: list[str] = []
    for word in generator.permutation(content):
        parts += [str(word), *generator.choice(FILL, size=int(generator.integers(0, 3))).tolist()]
    return _Passage(subject, mentions, " ".join(parts).capitalize() + ".")


def _grade(query: _Query, passage: _Passage) -> int:
    """3: both themes, one of them more than once; 2: both; 1: one of them; 0: none."""
    if query.subject != passage.subject:
        return 0
    found = [passage.mentions.get(theme, 0) for theme in query.themes]
    if min(found) == 0:
        return int(max(found) > 0)
    return 3 if max(found) > 1 else 2


def _queries(generator: np.random.Generator, world: _World) -> tuple[list[_Query], list[_Query], list[_Query]]:
    """Train, dev and track queries: of different pairs of themes."""
    split: tuple[list[_Query], list[_Query], list[_Query]] = ([], [], [])
    number = 100_000
    for subject in range(SUBJECTS):
        pairs = list(combinations(range(THEMES), 2))
        shuffled = [pairs[place] for place in generator.permutation(len(pairs)).tolist()]
        borders = (round(TRAIN_SHARE * len(pairs)), round((TRAIN_SHARE + DEV_SHARE) * len(pairs)))
        for place, pair in enumerate(shuffled):
            part = (place >= borders[0]) + (place >= borders[1])
            words = [world.subjects[subject], *(world.names[theme] for theme in pair)]
            text = " ".join([str(generator.choice(ASK)), *map(str, generator.permutation(words))])
            split[part].append(_Query(number, subject, pair, text))
            number += 7
    return split


def _run(queries: Iterable[_Query], passages: Sequence[_Passage], numbers: Sequence[int], depth: int) -> bytes:
    """A BM25 run (Lucene's formula, no stemming) of all passages that share a word with the query."""
    bags = [passage.text.lower().rstrip(".").split() for passage in passages]
    mean = sum(map(len, bags)) / len(bags)
    rows = []
    for query in queries:
        scores = np.zeros(len(bags))
        for word in set(query.text.split()) - set(ASK):
            counts = [bag.count(word) for bag in bags]
            holding = sum(count > 0 for count in counts)
            idf = math.log(1 + (len(bags) - holding + 0.5) / (holding + 0.5))
            scores += [
                idf * tf / (tf + K1 * (1 - B + B * len(bag) / mean)) for tf, bag in zip(counts, bags, strict=True)
            ]
        order = [row for row in np.argsort(-scores, kind="stable").tolist() if scores[row] > 0][:depth]
        rows += [
            f"{query.number} Q0 {numbers[row]} {place} {scores[row]:.6f} bm25\n" for place, row in enumerate(order, 1)
        ]
    return "".join(rows).encode()


def _table(rows: Iterable[Sequence[object]], separator: str = "\t") -> bytes:
    return "".join(separator.join(str(cell) for cell in row) + "\n" for row in rows).encode()


def sample() -> Mapping[str, bytes]:
    """File name to content: collection, queries, judgments, and BM25 runs of dev and the track."""
    generator = np.random.default_rng(SEED)
    world = _world(generator)
    passages = [_passage(generator, world, row % SUBJECTS) for row in range(PASSAGES)]
    numbers = np.sort(generator.choice(np.arange(100, 10_000), size=PASSAGES, replace=False)).tolist()
    train, dev, track = _queries(generator, world)
    files = {"collection.tsv": _table((number, one.text) for number, one in zip(numbers, passages, strict=True))}
    for name, queries in (("train", train), ("dev.small", dev)):
        files[f"queries.{name}.tsv"] = _table((query.number, query.text) for query in queries)
        files[f"qrels.{name}.tsv"] = _table(
            (query.number, 0, number, 1)
            for query in queries
            for number, passage in zip(numbers, passages, strict=True)
            if _grade(query, passage) >= 2
        )
    files["msmarco-test2019-queries.tsv"] = _table((query.number, query.text) for query in track)
    files["2019qrels-pass.txt"] = _table(
        (
            (query.number, "Q0", number, _grade(query, passage))
            for query in track
            for number, passage in zip(numbers, passages, strict=True)
            if passage.subject == query.subject
        ),
        " ",
    )
    files["run.dev.small.bm25.top20.trec"] = _run(dev, passages, numbers, DEPTH)
    files["run.msmarco-test2019.bm25.top100.trec"] = _run(track, passages, numbers, DEPTH)
    return files
