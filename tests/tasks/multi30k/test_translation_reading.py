"""Multi30k's files, words, vocabularies and batches."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.data import Files, Folder, Memory
from bench.errors import DataError, UsageError
from tasks.multi30k import Multi30k, Multi30kOptions, batches
from tasks.multi30k.reader import read_pairs
from tasks.multi30k.tokens import sentence, words
from tests.tasks.multi30k.opening import LINES, SMOKE, TRANSLATIONS, given

ROOT = Path(__file__).resolve().parents[3]


def files(source: bytes, target: bytes) -> Files:
    return Memory("multi30k", {"train.de": source, "train.en": target})


# Reading


def test_line_i_of_one_file_belongs_to_line_i_of_the_other() -> None:
    pairs = read_pairs(files("Ja .\nÄpfel\n".encode(), b"Yes .\r\nApples"), "train")
    assert (pairs.source, pairs.target) == (("Ja .", "Äpfel"), ("Yes .", "Apples"))


@pytest.mark.parametrize(
    ("source", "target", "complaint"),
    [
        (b"a\nb\n", b"a\nb\nc\n", r"train\.de: the file ends before line 3, which .*train\.en has\."),
        (b"a\nb\n", b"a\n", r"train\.en: the file ends before line 2, which .*train\.de has\."),
        (b"a\n  \nc\n", b"a\nb\nc\n", r"train\.de, line 2: the line is empty\."),
        (b"a\nb\nc\n", b"a\nb\n\n", r"train\.en, line 3: the line is empty\."),
        (b"a\nb\n", b"a\n\xe4\n", r"train\.en, line 2: invalid UTF-8 at byte 0"),
        (b"", b"", r"train\.de: the file has no lines\."),
    ],
)
def test_what_is_wrong_is_named_by_file_and_line(source: bytes, target: bytes, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint) as caught:
        read_pairs(files(source, target), "train")
    assert "\n" not in str(caught.value)


def test_a_file_that_was_cut_short_is_named(tmp_path: Path) -> None:
    for name, content in Multi30k.sample().items():
        packed = gzip.compress(content)
        (tmp_path / f"{name}.gz").write_bytes(packed[: len(packed) // 2] if name == "val.en" else packed)
    task = Multi30k(Folder(tmp_path), SMOKE.options)
    with pytest.raises(DataError, match=r"val\.en\.gz: the compressed file is damaged or cut short"):
        task.examples()


def test_identity_and_examples_import_neither_torch_nor_numpy() -> None:
    code = (
        "import sys; from bench.data import Memory; from tasks.multi30k import Multi30k, Multi30kOptions\n"
        "task = Multi30k(Memory('multi30k', Multi30k.sample()), Multi30kOptions())\n"
        "print(task.identity().kind, task.examples(), 'torch' in sys.modules, 'numpy' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == ["sample", "4000", "False", "False"]


# Words


def test_words_are_runs_of_letters_and_digits_endings_and_single_marks() -> None:
    assert words('A man\'s T-shirt, 2 (big) "dogs"!') == [
        *("A", "man", "'s", "T", "-", "shirt", ",", "2", "(", "big", ")", '"', "dogs", '"', "!"),
    ]


@pytest.mark.parametrize("text", ['A man\'s T-shirt, 2 (big) "dogs" here!', "He said: “no” – $5?", "black-and-white"])
def test_a_sentence_of_its_words_reads_as_before(text: str) -> None:
    assert sentence(words(text)) == text.replace(" – ", "–").replace("“no”", "“ no ”")


def test_specials_come_first_and_rare_words_are_unknown() -> None:
    task = given(options=replace(SMOKE.options, min_frequency=2))
    vocabulary = task._route.corpus.source
    assert vocabulary.tokens[:4] == ("<unk>", "<pad>", "<bos>", "<eos>")
    # Of the three lines only these words occur twice or more: most frequent first, then in code point order.
    assert vocabulary.tokens[4:] == (".", "hund", "ein", "katzen")
    (batch,) = task.batches("test", seed=0, size=3)
    assert batch["source"][0].tolist() == [2, 6, 5, 0, 4, 3, 1, 1, 1]


@pytest.mark.data
def test_the_real_vocabularies_have_nearly_the_source_s_sizes(real_data: Path) -> None:
    """The source has 19,214 German and 10,837 English words by spaCy's tokenizers, whose models are not at hand."""
    task = Multi30k(Folder(real_data / "multi30k"), Multi30kOptions())
    corpus = task._route.corpus
    assert (len(corpus.source), len(corpus.target)) == (18_489, 10_831)
    identity = task.identity()
    assert (identity.kind, dict(identity.counts)) == ("whole", {"train": 29_000, "val": 1_014, "test": 1_000})


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"tokens": "spacy"}, "tokens: unknown value 'spacy'"),
        ({"decode": "bema"}, "Did you mean 'beam'"),
        ({"heads": 3}, "3 heads do not divide 64"),
        ({"max_length": 2}, "max_length: 2 is too small"),
        ({"dropout": 1.0}, "dropout: 1.0 is no share"),
    ],
)
def test_options_that_cannot_be_are_refused(change: dict[str, object], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        replace(SMOKE.options, **change)  # type: ignore[arg-type]


# Batches


def test_a_batch_holds_marks_padding_and_the_token_behind_each_target_token() -> None:
    (batch,) = given().batches("test", seed=0, size=3)
    assert batch["source"].shape == (3, 9) and batch["target"].shape == batch["labels"].shape == (3, 9)
    assert batch["target"][0, 0] == 2 and batch["source"][0, 0] == 2
    for target, labels in zip(batch["target"].tolist(), batch["labels"].tolist(), strict=True):
        ends = labels.index(3)
        assert labels[:ends] == target[1 : ends + 1]
        assert set(labels[ends + 1 :]) <= {-100} and set(target[ends + 2 :]) <= {1}


def test_an_epoch_holds_every_row_once_and_another_has_another_order() -> None:
    random = np.random.default_rng(0)
    source, target = random.integers(3, 40, 1_000), random.integers(3, 40, 1_000)
    first, second = (batches.epoch(source, target, 64, [7, number]) for number in (0, 1))
    for made in (first, second):
        assert sorted(np.concatenate(made).tolist()) == list(range(1_000))
        assert Counter(map(len, made)) == {64: 15, 40: 1}
    assert [rows.tolist() for rows in first] != [rows.tolist() for rows in second]


def test_batches_of_similar_length_leave_little_padding() -> None:
    random = np.random.default_rng(0)
    target = random.poisson(12, 4_000) + 2
    source = target + random.integers(-2, 3, 4_000)
    spent = sum(target[rows].max() * len(rows) for rows in batches.epoch(source, target, 64, [0, 0]))
    shuffled = np.array_split(random.permutation(4_000), 63)
    unsorted = sum(target[rows].max() * len(rows) for rows in shuffled)
    assert spent < 1.05 * target.sum() < unsorted / 1.4


def test_lines_beyond_the_maximum_are_cut_and_counted() -> None:
    task = given(options=replace(SMOKE.options, max_length=7))
    # Of 4, 6 and 7 source words and 4, 6 and 8 target words, marks left out, five have room.
    assert task._route.truncated("test") == {"source": 2, "target": 2}
    (batch,) = task.batches("test", seed=0, size=3)
    assert batch["source"].shape == (3, 7)
    assert batch["source"][:, -1].tolist() == [1, 3, 3]


def test_tokens_come_from_the_cache_the_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks import tokenized

    options = replace(SMOKE.options, min_frequency=3)
    (first,) = given(options=options).batches("test", seed=0, size=3)
    monkeypatch.setattr(tokenized, "_made", None)
    (second,) = given(options=options).batches("test", seed=0, size=3)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_training_goes_on_from_any_batch_of_any_epoch() -> None:
    task = given(LINES * 3, TRANSLATIONS * 3)
    whole = list(islice(task.batches("train", seed=5, size=4), 9))
    for start in (1, 3, 5):
        later = list(islice(task.batches("train", seed=5, size=4, start=start), 3))
        for one, other in zip(whole[start:], later, strict=False):
            assert all(torch.equal(one[name], other[name]) for name in one)
