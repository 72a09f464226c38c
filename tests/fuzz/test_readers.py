"""Mutated data files of every format: each is read as an independent slow reading has it, or refused in one line.

``--fuzz 1000`` asks for a thousand inputs a format, as ``make test-fuzz`` does.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import pytest

from bench.data import Files, Folder, Memory
from bench.errors import BenchError
from tasks import beir, msmarco, trec
from tasks.ag_news.reader import read_articles
from tasks.cifar10.reader import read_batches
from tasks.mnist.reader import read_images
from tasks.multi30k.reader import SPLITS, names, read_pairs
from tests.fuzz import references
from tests.fuzz.judging import Tally
from tests.fuzz.mutations import BINARY, TEXT, dressed, mutated, packed, same

RUNS = (
    b"7 Q0 100 1 2.5 bm25\n7 Q0 101 2 2.25 bm25\n7 Q0 102 3 -1e-3 bm25\n"
    b"8 Q0 100 1 12 bm25\n8\tQ0\t103\t2\t11.75\tbm25\n",
    b"".join(b"%d Q0 %d %d %.4f run\n" % (q, 100 + 7 * d, d + 1, 30 - d / 3) for q in (1, 2, 33) for d in range(6)),
)
TREC_QRELS = (
    b"7 0 100 1\n7 0 101 0\n8 0 100 3\n8 0 103 2\n",
    b"".join(b"%d\t0\t%d\t%d\n" % (q, 100 + d, (q + d) % 4) for q in (1, 2, 33) for d in range(5)),
)
COLLECTIONS = (
    b"100\tthe first passage\n101\ta second one, with 12 numbers\n102\tcaf\xc3\xa9 au lait\n103\tlast\n",
    b"".join(b"%d\tpassage number %d of many\n" % (n, n) for n in range(30)),
)
QUERIES = (b"7\twhat is first\n8\twho was last?\n9\two ist das caf\xc3\xa9\n", b"1\tone\n2\ttwo two\n33\tthree\n")
BEIR_CORPUS = (
    b'{"_id": "d1", "title": "One", "text": "the first", "metadata": {}}\n{"_id": "d2", "text": "second \\u00e9"}\n'
    b'{"_id": "d3", "title": "", "text": "third", "metadata": {"year": 1999, "tags": ["a", "b"], "score": 0.5}}\n',
    b"".join(b'{"_id": "%d", "title": "t%d", "text": "body %d"}\n' % (n, n, n) for n in range(12)),
)
BEIR_QUERIES = (b'{"_id": "q1", "text": "which?"}\n{"_id": "q2", "text": "what \\"else\\"?", "metadata": {"n": 2}}\n',)
BEIR_QRELS = (b"query-id\tcorpus-id\tscore\nq1\td1\t1\nq1\td2\t0\nq2\td3\t2\n",)
ARTICLES = (
    b'"3","Stocks rise","Shares rose, and ""more"" will."\n"1","Peace","Talks of 12 nations\\nwent on"\n'
    b'"4","","Only this"\n',
    b'"2","A game","It ended 3-1\nafter a break"\n2,plain,without quotes\n"1","x","y"\n',
)
IDX_IMAGES = (
    b"\x00\x00\x08\x03" + b"".join(n.to_bytes(4, "big") for n in (3, 28, 28)) + random.Random(1).randbytes(2352)
)
IDX_LABELS = b"\x00\x00\x08\x01\x00\x00\x00\x03\x07\x00\x09"
ROWS = tuple(b"".join(bytes((row % 10,)) + random.Random(row).randbytes(3072) for row in range(n)) for n in (2, 3))
GERMAN = (b"ein Hund l\xc3\xa4uft\nzwei M\xc3\xa4nner\ndrei Frauen sitzen\n", b"a b c\n" * 5)
ENGLISH = (b"a dog runs\ntwo men\nthree women sit\n", b"x y\n" * 5)


def run_of(files: Files) -> object:
    found = trec.read_run(files, "run")
    return {query: [row.document for row in rows] for query, rows in found.items()}


def qrels_of(files: Files) -> object:
    return [(row.query, row.passage, row.relevance) for row in msmarco.judgments(files, "qrels")]


def collection_of(files: Files) -> object:
    return list(msmarco.passages(files))


def queries_of(files: Files) -> object:
    found = msmarco.queries(files, "queries.tsv")
    return list(zip(found.numbers, found.texts, strict=True))


def beir_corpus_of(files: Files) -> object:
    return {name: (document.title, document.text) for name, document in beir.documents(files).items()}


def beir_qrels_of(files: Files) -> object:
    found = beir.judgments(files, beir.TEST, {"q1", "q2"}, {"d1", "d2", "d3"})
    return sorted((query, document, grade) for query, graded in found.items() for document, grade in graded.items())


def beir_qrels_expected(content: bytes) -> object:
    found = references.beir_qrels(content, {"q1", "q2"}, {"d1", "d2", "d3"})
    return found if found is None else sorted(found)


def articles_of(files: Files) -> object:
    found = read_articles(files, "test.csv")
    return [(str(label + 1), text) for label, text in zip(found.labels, found.texts, strict=True)]


def rows_of(files: Files) -> object:
    found = read_batches(files, ["test_batch.bin"])
    whole = b"".join(found.pixels)
    return [(label, whole[row * 3072 : (row + 1) * 3072]) for row, label in enumerate(found.labels)]


FORMATS: Mapping[str, tuple[str, Sequence[bytes], Callable[[Files], object], Callable[[bytes], object]]] = {
    "TREC run files": ("run", RUNS, run_of, references.run),
    "TREC qrels": ("qrels", TREC_QRELS, qrels_of, references.trec_qrels),
    "MS MARCO collections": (msmarco.COLLECTION, COLLECTIONS, collection_of, references.numbered),
    "MS MARCO queries": ("queries.tsv", QUERIES, queries_of, references.numbered),
    "BEIR corpora": (beir.CORPUS, BEIR_CORPUS, beir_corpus_of, references.beir_documents),
    "BEIR queries": (beir.QUERIES, BEIR_QUERIES, beir.queries, references.beir_queries),
    "BEIR qrels": (beir.TEST, BEIR_QRELS, beir_qrels_of, beir_qrels_expected),
    "AG News CSV": ("test.csv", ARTICLES, articles_of, references.comma_separated),
    "CIFAR-10 bin": ("test_batch.bin", ROWS, rows_of, references.rows_of_pixels),
}
"""By format: name of the file, valid files, our reading, the independent one."""


@pytest.mark.parametrize("what", FORMATS)
def test_a_mutated_file_is_read_right_or_refused_in_one_line(what: str, fuzz: int) -> None:
    name, seeds, read, expected = FORMATS[what]
    tally = Tally(what)
    for number in range(fuzz):
        content = mutated(seeds, number, BINARY if what == "CIFAR-10 bin" else TEXT, what)
        files = Memory("fuzz", {name: content})
        tally.judge(number, partial(read, files), partial(expected, content), content)
    tally.close(fuzz)


def test_mutated_idx_files_are_read_right_or_refused_in_one_line(fuzz: int) -> None:
    tally = Tally("MNIST idx")

    def read(files: Files) -> object:
        found = read_images(files, "images", "labels")
        return found.labels, b"".join(found.pixels)

    for number in range(fuzz):
        contents = {"images": IDX_IMAGES, "labels": IDX_LABELS}
        changed = ("images", "labels", "labels")[number % 3]
        contents[changed] = mutated((contents[changed],), number, BINARY, "idx")
        if number % 2:  # or its numbers alone
            header = bytearray((IDX_IMAGES if changed == "images" else IDX_LABELS)[: 16 if changed == "images" else 8])
            at = random.Random(number).randrange(len(header))
            header[at] = random.Random(number + 1).choice((0, 1, 2, 3, 28, 127, 255))
            contents[changed] = bytes(header) + contents[changed][len(header) :]
        files = Memory("fuzz", contents)
        tally.judge(number, partial(read, files), partial(references.idx, **contents), contents[changed])
    tally.close(fuzz)


def test_mutated_sentence_pairs_are_read_right_or_refused_in_one_line(fuzz: int) -> None:
    tally = Tally("Multi30k lines")
    source, target = names("test")

    def read(files: Files) -> object:
        found = read_pairs(files, "test")
        return list(zip(found.source, found.target, strict=True))

    for number in range(fuzz):
        seed = number % 2
        left, right = GERMAN[seed], ENGLISH[seed]
        if number % 3:
            left = mutated((left,), number, salt="de")
        if number % 3 != 1:
            right = mutated((right,), number, salt="en")
        files = Memory("fuzz", {source: left, target: right})
        tally.judge(number, partial(read, files), partial(references.sentences, left, right), left + b"|" + right)
    tally.close(fuzz)
    assert SPLITS["test"] in source


@pytest.mark.parametrize("what", FORMATS)
def test_a_damaged_archive_gives_its_content_or_one_line(what: str, fuzz: int, tmp_path: Path) -> None:
    """Compressed, and in half of the cases damaged: a changed archive never gives changed content."""
    name, seeds, read, expected = FORMATS[what]
    tally = Tally(f"{what}, compressed")
    for number in range(fuzz):
        draw = random.Random(f"{what} {number}")
        content = draw.choice(list(seeds))
        suffix, archive = packed(content, draw)
        folder = tmp_path / str(number)
        (folder / name).parent.mkdir(parents=True)
        (folder / f"{name}{suffix}").write_bytes(archive)
        files = Folder(folder)
        doubled = expected(content * 2)  # an archive of two parts is the two, one after the other
        try:
            found = read(files)
        except BenchError as error:
            assert "\n" not in str(error)
            tally.counts["refused"] += 1
            continue
        assert found in (expected(content), doubled), f"{what}, input {number}, {suffix}"
        tally.counts["read"] += 1
    tally.close(fuzz)


@pytest.mark.parametrize("what", FORMATS)
def test_the_same_content_in_another_dress_reads_the_same(what: str, fuzz: int, tmp_path: Path) -> None:
    name, seeds, read, expected = FORMATS[what]
    for number in range(max(20, fuzz // 5)):
        draw = random.Random(f"{what} {number}")
        content = draw.choice(list(seeds))
        # A field in quotes may hold a line end, which is content: there only the packing changes.
        suffix, archive = dressed(content, draw) if what == "CIFAR-10 bin" else same(content, draw)
        folder = tmp_path / str(number)
        (folder / name).parent.mkdir(parents=True)
        (folder / f"{name}{suffix}").write_bytes(archive)
        right = expected(content)
        assert right is not None and read(Folder(folder)) == right, f"{what}, input {number}"


def test_blanks_between_the_columns_of_a_run_mean_nothing(fuzz: int) -> None:
    for number in range(max(20, fuzz // 5)):
        draw = random.Random(number)
        rows = [row.split() for row in draw.choice(RUNS).splitlines()]
        blanks = (b" ", b"\t", b"   ", b" \t ", b"\x0b")
        blank = partial(draw.choice, blanks)
        dressed_rows = [draw.choice((b"", b" ")) + blank().join(row) + draw.choice((b"", b"  ")) for row in rows]
        plain = b"".join(b" ".join(row) + b"\n" for row in rows)
        files = (Memory("fuzz", {"run": content}) for content in (plain, b"\n".join(dressed_rows)))
        assert len({str(run_of(one)) for one in files}) == 1


def test_the_order_of_a_runs_lines_and_its_ranks_mean_nothing(fuzz: int) -> None:
    """Scores rank, where no two of a query are equal."""
    for number in range(max(20, fuzz // 5)):
        draw = random.Random(number)
        rows = RUNS[1].splitlines()
        draw.shuffle(rows)
        renumbered = [b" ".join((*row.split()[:3], b"%d" % draw.randrange(99), *row.split()[4:])) for row in rows]
        one, other = (run_of(Memory("fuzz", {"run": content})) for content in (RUNS[1], b"\n".join(renumbered)))
        assert one == other
