"""Mutated data from end to end: ``bench plan`` opens a task's data as a run does, or says in one line what is wrong."""

from __future__ import annotations

import gzip
import random
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from bench.cli import main
from tests.fuzz.judging import in_time
from tests.fuzz.mutations import BINARY, TEXT, dressed, mutated
from tests.fuzz.test_readers import (
    ARTICLES,
    BEIR_CORPUS,
    BEIR_QRELS,
    BEIR_QUERIES,
    ENGLISH,
    GERMAN,
    IDX_IMAGES,
    IDX_LABELS,
    ROWS,
)

PASSAGES = b"".join(b"%d\tpassage number %d about things\n" % (n, n) for n in range(20))
MSMARCO = {
    "collection.tsv": PASSAGES,
    "queries.train.tsv": b"1\tone question\n2\ttwo questions\n",
    "qrels.train.tsv": b"1\t0\t3\t1\n2\t0\t4\t1\n",
    "queries.dev.small.tsv": b"7\twhat is seven\n8\twhat is eight\n",
    "qrels.dev.small.tsv": b"7\t0\t5\t1\n8\t0\t6\t1\n",
    "msmarco-test2019-queries.tsv": b"11\twhat is eleven\n12\twhat is twelve\n",
    "2019qrels-pass.txt": b"11 Q0 7 3\n11 Q0 8 0\n12 Q0 9 2\n",
    "run.msmarco-test2019.bm25.top100.trec": b"11 Q0 7 1 9.5 bm25\n11 Q0 8 2 8.5 bm25\n12 Q0 9 1 7.25 bm25\n",
}
TASKS: Mapping[str, tuple[str, Mapping[str, bytes]]] = {
    "ag-news": ("ag_news_csv", {"train.csv": ARTICLES[0], "test.csv": ARTICLES[1]}),
    "mnist": (
        "mnist",
        {f"{split}-{kind}": content for split in ("train", "t10k")
         for kind, content in (("images-idx3-ubyte", IDX_IMAGES), ("labels-idx1-ubyte", IDX_LABELS))},
    ),
    "cifar10": ("cifar-10-batches-bin", {"data_batch_1.bin": ROWS[0], "test_batch.bin": ROWS[1]}),
    "multi30k": (
        "multi30k",
        {f"{split}.{side}": content for split in ("train", "val", "test_2016_flickr")
         for side, content in (("de", GERMAN[0]), ("en", ENGLISH[0]))},
    ),
    "msmarco-rerank": ("msmarco-passage", MSMARCO),
    "msmarco-dsi": ("msmarco-passage", MSMARCO),
    "dense-retrieval": (
        "beir/scifact",
        {"corpus.jsonl": BEIR_CORPUS[0], "queries.jsonl": BEIR_QUERIES[0], "qrels/test.tsv": BEIR_QRELS[0]},
    ),
}  # fmt: skip


@pytest.mark.parametrize("task", TASKS)
def test_a_task_on_mutated_data_plans_or_says_why_not_in_one_line(
    task: str, fuzz: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, contents = TASKS[task]
    codes: Counter[int] = Counter()
    for number in range(-1, max(20, fuzz // 5)):
        draw = random.Random(f"{task} {number}")
        data = tmp_path / str(number)
        changed = draw.choice(sorted(contents))
        for name, content in contents.items():
            path = data / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if name == changed and number >= 0:  # the first is whole
                kinds = BINARY if task in ("mnist", "cifar10") else TEXT
                suffix, content = dressed(mutated((content,), number, kinds, task), draw)
                path = path.with_name(path.name + suffix)
            path.write_bytes(content)
        asked = ["--task", task, "--pruner", "random", "--grid", "0.5", "--preset", "smoke", "--data", str(data)]
        with in_time():
            code = main(["plan", *asked, "--out", str(tmp_path / "out"), "--json"])
        shown = capsys.readouterr()
        about = f"{task}, input {number}, {changed}: {shown.err[:400]}"
        assert code in (0, 2) and (code == 0 or number >= 0), about
        if code == 2:
            assert len(shown.err.splitlines()) == 1 and shown.err.startswith("bench: ") and not shown.out, about
            assert folder.split("/")[0] in shown.err or changed in shown.err, about
        codes[code] += 1
    assert codes[2] > codes[0] // 10


def test_an_archive_that_expands_without_end_is_refused_early(tmp_path: Path, capsys) -> None:
    """A hundred kilobytes that hold a hundred megabytes of rows: each is right, and together they are no data set."""
    folder = tmp_path / "ag_news_csv"
    folder.mkdir()
    (folder / "test.csv").write_bytes(ARTICLES[0])
    (folder / "train.csv.gz").write_bytes(gzip.compress(b'"1","a","b"\n' * 9_000_000))
    asked = ["--task", "ag-news", "--pruner", "random", "--preset", "smoke", "--data", str(tmp_path)]
    assert main(["plan", *asked]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "train.csv.gz: expands to more than 250 times its size" in line
