"""The embedded sample: a small synthetic pair of languages in the files of Multi30k, the same bytes every time.

What makes translating more than looking up words is what makes German and English differ: the source has its verb at
the end and its adverb in front, adjectives behind their nouns, articles that agree with gender and case; the target
has the verb second, the adverb last, adjectives in front, and verbs that agree with their subject's number. Some source
nouns mean one thing or another, as the verb decides. Words have long tails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from random import Random

TRAIN, VALIDATION, TEST = 4_000, 200, 400
NOUNS, VERBS, ADJECTIVES, ADVERBS, PREPOSITIONS = 60, 24, 30, 12, 6
AMBIGUOUS = 12
"""Nouns that share their source word with the one before them in the list."""
GENDERS = 3
SEED = 20160909

_ONSETS = {"source": ("sch", "z", "w", "k", "pf", "gr", "bl", "tr", "h"), "target": ("th", "wh", "b", "c", "f", "st")}
_VOWELS = {"source": ("a", "ei", "o", "ü", "ie", "ä"), "target": ("a", "ea", "oo", "i", "ou", "e")}
_CODAS = {"source": ("ng", "cht", "rt", "l", "tz"), "target": ("ll", "p", "sh", "ck", "nd", "y")}


@dataclass(frozen=True)
class Word:
    """A word of both languages."""

    source: str
    target: str
    gender: int = 0
    """Of a noun's source word."""
    sense: int = 0
    """Verbs of sense 1 give an ambiguous object its second meaning."""


@dataclass(frozen=True)
class Lexicon:
    """All words but articles, the most frequent of each class first."""

    nouns: Sequence[Word]
    second: Mapping[str, str]
    """Source word of an ambiguous noun to its second meaning."""
    verbs: Sequence[Word]
    adjectives: Sequence[Word]
    adverbs: Sequence[Word]
    prepositions: Sequence[Word]


def sample() -> Mapping[str, bytes]:
    """``train``, ``val`` and ``test_2016_flickr``, 4,000, 200 and 400 lines, ``.de`` and ``.en``."""
    random = Random(SEED)
    lexicon = _lexicon(random)
    seen: set[str] = set()
    files: dict[str, bytes] = {}
    for name, count in (("train", TRAIN), ("val", VALIDATION), ("test_2016_flickr", TEST)):
        pairs: list[tuple[str, str]] = []
        while len(pairs) < count:
            pair = _sentence(random, lexicon)
            if pair[0] not in seen:
                seen.add(pair[0])
                pairs.append(pair)
        files[f"{name}.de"] = "".join(f"{source}\n" for source, _ in pairs).encode()
        files[f"{name}.en"] = "".join(f"{target}\n" for _, target in pairs).encode()
    return files


def _lexicon(random: Random) -> Lexicon:
    count = NOUNS + VERBS + ADJECTIVES + ADVERBS + PREPOSITIONS + AMBIGUOUS
    words = list(zip(_words(random, "source", count), _words(random, "target", count), strict=True))
    ends = list(accumulate((0, NOUNS, VERBS, ADJECTIVES, ADVERBS, PREPOSITIONS, AMBIGUOUS)))
    nouns, verbs, adjectives, adverbs, prepositions, second = (words[start:end] for start, end in pairwise(ends))
    return Lexicon(
        nouns=[Word(*pair, gender=random.randrange(GENDERS)) for pair in nouns],
        second={nouns[i][0]: second[i][1] for i in range(AMBIGUOUS)},
        verbs=[Word(*pair, sense=i % 2) for i, pair in enumerate(verbs)],
        adjectives=[Word(*pair) for pair in adjectives],
        adverbs=[Word(*pair) for pair in adverbs],
        prepositions=[Word(*pair) for pair in prepositions],
    )


def _words(random: Random, language: str, count: int) -> list[str]:
    """Distinct pronounceable words of one or two syllables."""
    found: dict[str, None] = {}
    while len(found) < count:
        parts = [
            random.choice(_ONSETS[language]) + random.choice(_VOWELS[language]) for _ in range(random.choice((1, 2)))
        ]
        found["".join(parts) + random.choice(_CODAS[language])] = None
    return list(found)


def _drawn(random: Random, words: Sequence[Word]) -> Word:
    """The r-th word with probability proportional to 1 / (r + 4)."""
    return random.choices(words, [1 / (rank + 4) for rank in range(len(words))])[0]


def _sentence(random: Random, lexicon: Lexicon) -> tuple[str, str]:
    """A source sentence and its translation."""
    verb = _drawn(random, lexicon.verbs)
    plural = random.random() < 0.35
    subject = _phrase(random, lexicon, case=0, plural=plural)
    thing = _phrase(random, lexicon, case=1, plural=random.random() < 0.35, second=verb.sense == 1)
    source, target = [*subject[0]], [*subject[1], verb.target + ("" if plural else "s"), *thing[1]]
    if random.random() < 0.5:
        place = _phrase(random, lexicon, case=2, plural=False)
        preposition = _drawn(random, lexicon.prepositions)
        source += [preposition.source, *place[0]]
        target += [preposition.target, *place[1]]
    source += [*thing[0], verb.source + ("en" if plural else "t")]
    if random.random() < 0.4:
        adverb = _drawn(random, lexicon.adverbs)
        source, target = [adverb.source, *source], [*target, adverb.target]
    return _written(source), _written(target)


def _phrase(
    random: Random, lexicon: Lexicon, *, case: int, plural: bool, second: bool = False
) -> tuple[list[str], list[str]]:
    """Article, noun and up to two adjectives, in the order of each language."""
    noun = _drawn(random, lexicon.nouns)
    adjectives = [_drawn(random, lexicon.adjectives) for _ in range(random.choice((0, 0, 1, 1, 2)))]
    article = "d" + ("ie", "er", "as", "en")[GENDERS if plural else noun.gender] + ("", "n", "m")[case]
    meaning = lexicon.second.get(noun.source, noun.target) if second else noun.target
    ending = ("", "e", "s")[noun.gender]
    source = [article, noun.source + ("en" if plural else ""), *(one.source + ending for one in adjectives)]
    target = ["some" if plural else "a", *(one.target for one in adjectives), meaning + ("s" if plural else "")]
    return source, target


def _written(words: Sequence[str]) -> str:
    text = " ".join(words)
    return f"{text[0].upper()}{text[1:]}."
