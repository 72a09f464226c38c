"""Compares tokens, vocabularies and ids with those of torchtext 0.18 over whole data sets.

Run by ``make test-compat`` in an environment of its own (torch 2.3, torchtext 0.18), as it imports nowhere else:
``python tests/compat/torchtext_ids.py DATA``. Exit code 1 at the first difference, which it names.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import torchtext

torchtext.disable_torchtext_deprecation_warning()

from torchtext.data.utils import get_tokenizer  # noqa: E402
from torchtext.vocab import build_vocab_from_iterator  # noqa: E402

from bench.data import Folder, lines  # noqa: E402
from tasks import text, tokenized  # noqa: E402
from tasks.ag_news.reader import read_articles  # noqa: E402

SETTINGS = ((1, ("<unk>",)), (2, ("<unk>", "<pad>", "<bos>", "<eos>")))
"""Least frequency and special tokens: those of the AG News and of the translation code that use torchtext."""

Corpora = Iterator[tuple[str, Sequence[str], dict[str, Sequence[str]]]]


def corpora(data: Path) -> Corpora:
    """Name, training texts, and the files to encode, by name."""
    news = Folder(data / "ag_news_csv")
    read = {name: read_articles(news, name).texts for name in ("train.csv", "test.csv")}
    yield "AG News", read["train.csv"], dict(read)
    pairs = data / "multi30k"
    for language in ("de", "en"):
        names = sorted({path.name.removesuffix(".gz").removesuffix(".xz") for path in pairs.glob(f"*.{language}*")})
        files = {name: [line for _, line in lines(Folder(pairs), name)] for name in names}
        train = next(name for name in names if name.startswith("train"))
        yield f"Multi30k {language}", files[train], dict(files)


def compare(name: str, train: Sequence[str], files: dict[str, Sequence[str]]) -> None:
    """Raises ``SystemExit`` at the first difference."""
    theirs, ours = get_tokenizer("basic_english"), text.basic_english
    for file, rows in files.items():
        for number, row in enumerate(rows, start=1):
            if theirs(row) != ours(row):
                sys.exit(f"{name}, {file}, row {number}: tokens {ours(row)} where torchtext has {theirs(row)}")
    for least, specials in SETTINGS:
        built = build_vocab_from_iterator(map(theirs, train), min_freq=least, specials=list(specials))
        built.set_default_index(built["<unk>"])
        own = text.build_vocabulary(map(ours, train), min_frequency=least, specials=specials)
        if tuple(built.get_itos()) != own.tokens:
            sys.exit(f"{name}: another vocabulary for min_freq={least}, specials={specials}")
        total = 0
        for file, rows in files.items():
            for number, row in enumerate(rows, start=1):
                ids = own.encode(ours(row))
                total += len(ids)
                if built(theirs(row)) != ids:
                    sys.exit(f"{name}, {file}, row {number}: other ids for min_freq={least}, specials={specials}")
        counted = ", ".join(f"{file} {len(rows)}" for file, rows in files.items())
        print(f"{name}: {len(own)} words (min_freq={least}), {total} ids equal; rows: {counted}")


def main(data: Path) -> None:
    """All corpora; and here, where torchtext imports, it must be the one in use."""
    if tokenized.provider() != f"torchtext {torchtext.__version__}":
        sys.exit(f"{tokenized.provider()} is used where torchtext {torchtext.__version__} imports")
    for corpus in corpora(data):
        compare(*corpus)
    sample = ['Oil <br />up: "3%"; don\'t', "the oil"]
    made = tokenized.tokenize({"train": sample}, digest="sample")
    own = text.build_vocabulary(map(text.basic_english, sample))
    if (
        made.vocabulary != own
        or made.rows["train"].tokens.tolist() != text.encode(map(text.basic_english, sample), own).tokens.tolist()
    ):
        sys.exit("ids made by torchtext for the cache are others than our own")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
