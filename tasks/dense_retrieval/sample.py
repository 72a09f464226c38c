"""The embedded sample: a small synthetic set in the BEIR layout, the same bytes every time.

A document tells what one thing does to another, and mentions two more in passing; a claim names an agent and a target.
``A`` before ``B`` is another document than ``B`` before ``A``, and both are there: which words a text holds does not
tell them apart, what stands where does, and that takes the layers in between, which are what is pruned. Many things
are called one name in documents and another in claims, as a patient's word is not the physician's: word overlap (BM25)
misses those, and a model learns them from the train queries.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

SEED = 20_210_802
PAIRS = 400
"""Of things; each makes two documents, one in each order."""
THINGS = 60
SAME = 0.6
"""Share of things that documents and claims call by one name."""
TEST_QUERIES = 200
FILL = "with and in the of after during under by from levels cells mice patients group study results effect".split()  # noqa: SIM905
ASK = "reduces increases affects requires prevents".split()  # noqa: SIM905
ONSETS = (*"bdfgklmnprstvz", "br", "dr", "gr", "kl", "pl", "st", "tr")
NUCLEI = tuple("aeiou")
CODAS = ("lin", "ase", "tin", "rol", "mab", "dine", "sis", "oma")


def sample() -> Mapping[str, bytes]:
    """File name to content: corpus, queries, and judgments of both splits. A query's document is in one split only."""
    generator = np.random.default_rng(SEED)
    names = _names(generator, 2 * THINGS)
    inside, asked = names[:THINGS], names[THINGS:]
    asked[: round(SAME * THINGS)] = inside[: round(SAME * THINGS)]
    told = _told(generator)
    corpus = [
        {"_id": f"d{number}", "title": f"{inside[agent]} {_words(generator, ASK, 1)} {inside[target]}".capitalize(),
         "text": _text(generator, inside, (agent, target))}
        for number, (agent, target) in enumerate(told)
    ]  # fmt: skip
    queries = [
        {"_id": f"q{number}", "text": f"{asked[agent]} {_words(generator, ASK, 1)} {asked[target]}."}
        for number, (agent, target) in enumerate(told)
    ]
    order = generator.permutation(len(told)).tolist()
    return {
        "corpus.jsonl": _json_lines(corpus),
        "queries.jsonl": _json_lines(queries),
        "qrels/train.tsv": _qrels(sorted(order[TEST_QUERIES:])),
        "qrels/test.tsv": _qrels(sorted(order[:TEST_QUERIES])),
    }


def _names(generator: np.random.Generator, count: int) -> list[str]:
    """Pronounceable names, all different."""
    made: dict[str, None] = {}
    while len(made) < count:
        made["".join(str(generator.choice(kind)) for kind in (ONSETS, NUCLEI, ONSETS, NUCLEI, CODAS))] = None
    return list(made)


def _told(generator: np.random.Generator) -> list[tuple[int, int]]:
    """Agent and target of each document: drawn pairs, each in both orders."""
    pairs = [(one, other) for one in range(THINGS) for other in range(one)]
    chosen = [pairs[number] for number in generator.permutation(len(pairs))[:PAIRS].tolist()]
    both = [pair for one, other in chosen for pair in ((one, other), (other, one))]
    return [both[number] for number in generator.permutation(len(both)).tolist()]


def _text(generator: np.random.Generator, names: Sequence[str], told: Sequence[int]) -> str:
    """Two other things in passing, among words that tell nothing."""
    passing = generator.choice([thing for thing in range(THINGS) if thing not in told], size=2, replace=False)
    parts = [f"{_words(generator, FILL, int(generator.integers(1, 4)))} {names[thing]}" for thing in passing.tolist()]
    return f"{' '.join(parts)} {_words(generator, FILL, 2)}".capitalize() + "."


def _words(generator: np.random.Generator, among: Sequence[str], count: int) -> str:
    return " ".join(generator.choice(among, size=count).tolist())


def _json_lines(rows: Iterable[Mapping[str, str]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _qrels(chosen: Iterable[int]) -> bytes:
    """Query n's document is document n."""
    return ("query-id\tcorpus-id\tscore\n" + "".join(f"q{number}\td{number}\t1\n" for number in chosen)).encode()
