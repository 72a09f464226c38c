"""The embedded sample: a small synthetic MS MARCO in the official file formats, the same bytes every time.

A passage is about two people of two names each. The names are few, so that every single one is shared by dozens of
passages, and ``Bo Lin`` is another person than ``Lin Bo``: only the ordered pair tells which passage is meant. A model
that adds up words, BM25 or embeddings under an output layer, ranks the passage high but not first; putting neighbours
together takes the layers in between, which are what is pruned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

SEED = 20_220_214
PASSAGES = 400
NAMES = 30
PEOPLE = 2
"""In a passage, each of them named twice."""
TRAIN_QUERIES = 240
DEV_QUERIES = 160
FILL = "the of and to in for that was with are by as at this an or it on be their such then there they will".split()  # noqa: SIM905
"""Some of Lucene's stop words: what stands between names in a passage, and tells no passage from another."""
ASK = ["of", "is", "the"]
ONSETS = (*"bdfgklmnprstvz", "br", "dr", "gr", "kl", "pl", "st", "tr")
NUCLEI = tuple("aeiou")
CODAS = tuple("lmnrkt")


def _names(generator: np.random.Generator) -> list[str]:
    """Pronounceable names, all different."""
    made: dict[str, None] = {}
    while len(made) < NAMES:
        kinds = (ONSETS, NUCLEI, ONSETS[:14], NUCLEI, CODAS)
        made["".join(generator.choice(kind) for kind in kinds)] = None
    return list(made)


def _passage(generator: np.random.Generator, people: Sequence[str]) -> str:
    """A text that names each person twice, in any order, with stop words between."""
    parts: list[str] = []
    for person in [*generator.permutation(people), *generator.permutation(people)]:
        parts += [str(person), *generator.choice(FILL, size=int(generator.integers(2, 6))).tolist()]
    return " ".join(parts).capitalize() + "."


def _table(rows: Iterable[Sequence[object]]) -> bytes:
    return "".join("\t".join(str(cell) for cell in row) + "\n" for row in rows).encode()


def sample() -> Mapping[str, bytes]:
    """File name to content: collection, train and dev queries, and their judgments."""
    generator = np.random.default_rng(SEED)
    names = _names(generator)
    people = np.asarray([f"{first} {second}" for first in names for second in names if first != second])
    members = generator.permutation(people)[: PASSAGES * PEOPLE].reshape(PASSAGES, PEOPLE)
    texts = [_passage(generator, row.tolist()) for row in members]
    numbers = np.sort(generator.choice(np.arange(100, 10_000), size=PASSAGES, replace=False)).tolist()
    asked = []
    for row, passage in enumerate(generator.permutation(PASSAGES)[: TRAIN_QUERIES + DEV_QUERIES].tolist()):
        question = f"is {generator.choice(members[passage])} {generator.choice(ASK)}"
        asked.append((100_000 + 7 * row, passage, question))
    files = {"collection.tsv": _table(zip(numbers, texts, strict=True))}
    for split, part in (("train", asked[:TRAIN_QUERIES]), ("dev.small", asked[TRAIN_QUERIES:])):
        files[f"queries.{split}.tsv"] = _table((query, text) for query, _, text in part)
        files[f"qrels.{split}.tsv"] = _table((query, 0, numbers[passage], 1) for query, passage, _ in part)
    return files
