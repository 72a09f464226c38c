"""The search index: its sample, its data, its batches."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch

from bench.data import Folder, Memory
from bench.errors import UsageError
from tasks.msmarco_dsi import MsMarcoDsi
from tasks.msmarco_dsi import corpus as corpus_module
from tests.tasks.msmarco_dsi.opening import TINY, sample


def test_the_sample_is_the_same_bytes_every_time() -> None:
    assert MsMarcoDsi.sample() == MsMarcoDsi.sample()
    assert sorted(MsMarcoDsi.sample()) == sorted(MsMarcoDsi.required)


def test_no_person_of_the_sample_is_in_two_passages_and_every_name_is_in_many() -> None:
    found = corpus_module.read(sample(), 0)
    names = [set(text.lower().rstrip(".").split()) for text in found.texts]
    for query, grades in zip(found.dev_texts, found.dev_grades, strict=True):
        _, first, second, _ = query.split()
        assert [row for row, text in enumerate(found.texts) if f"{first} {second}" in text.lower()] == list(grades)
        assert sum(first in one for one in names) > 10


def test_batch_i_is_a_function_of_seed_and_i_alone() -> None:
    task = MsMarcoDsi(sample(), TINY)
    straight = list(islice(task.batches("train", seed=5, size=32), 6))
    jumped = next(MsMarcoDsi(sample(), TINY).batches("train", seed=5, size=32, start=5))
    assert all(torch.equal(straight[5][key], jumped[key]) for key in jumped)
    other = next(task.batches("train", seed=6, size=32, start=5))
    assert not torch.equal(other["labels"], jumped["labels"])


def test_every_passage_is_drawn_once_before_any_is_drawn_twice() -> None:
    task = MsMarcoDsi(sample(), replace(TINY, query_share=0.0))
    labels = torch.cat([batch["labels"][:, 0] for batch in islice(task.batches("train", seed=0, size=80), 10)])
    assert len(set(labels[:400].tolist())) == 400 == len(set(labels[400:].tolist()))


def test_a_share_of_each_batch_is_train_queries_with_their_own_passage() -> None:
    task = MsMarcoDsi(sample(), replace(TINY, query_share=0.25))
    found = corpus_module.read(sample(), 0)
    train = {int(passage): found.train_texts[int(query)] for query, passage in found.train_pairs}
    words = {token: word for word, token in _tokens(task).items()}
    batches = list(islice(task.batches("train", seed=0, size=40), 24))
    drawn = [(batch["input_ids"][row], int(batch["labels"][row, 0]) - 2) for batch in batches for row in range(10)]
    assert len({passage for _, passage in drawn}) == len(train) == 240
    for ids, passage in drawn:
        text = [words[token] for token in ids.tolist() if token > 1]
        assert text == [word for word in train[passage].split() if word not in ("is", "of", "the")]


def _tokens(task: MsMarcoDsi) -> dict[str, int]:
    """Stem to token, worked out from the batches' own sources."""
    from tasks.msmarco_dsi import text

    split = text.splitter("stems")
    found = corpus_module.read(task.files, task.options.passages)
    lexicon = text.lexicon([split(one) for one in found.texts], [split(one) for one in found.train_texts], 500)
    return {word: number + 2 + len(found.texts) for word, number in lexicon.numbers.items()}


def test_a_crop_is_contiguous_and_a_bag_is_drawn_from_the_passage() -> None:
    found = corpus_module.read(sample(), 0)
    for share, contiguous in ((1.0, True), (0.0, False)):
        options = replace(TINY, query_share=0.0, crop_share=share, crop_min=3, crop_max=3, bag_min=3, bag_max=3)
        task = MsMarcoDsi(sample(), options)
        words = {token: word for word, token in _tokens(task).items()}
        batch = next(task.batches("train", seed=0, size=200))
        from tasks.bm25 import Analyser

        analyse, runs = Analyser(), 0
        for ids, label in zip(batch["input_ids"].tolist(), batch["labels"][:, 0].tolist(), strict=True):
            text = " ".join(analyse(found.texts[label - 2]))
            drawn = [words[token] for token in ids if token > 1]
            assert len(drawn) == 3 and set(drawn) <= set(text.split())
            runs += " ".join(drawn) in text
        assert runs == 200 if contiguous else runs < 100


def test_nothing_of_a_dev_query_reaches_training() -> None:
    contents = dict(MsMarcoDsi.sample())
    rows = contents["queries.dev.small.tsv"].decode().splitlines()
    contents["queries.dev.small.tsv"] = "".join(f"{row.split()[0]}\tquite unheard of\n" for row in rows).encode()
    for options in (TINY, replace(TINY, docids="naive", crop_share=1.0)):
        first = islice(MsMarcoDsi(sample(), options).batches("train", seed=1, size=64), 20)
        other = islice(MsMarcoDsi(Memory("other", contents), options).batches("train", seed=1, size=64), 20)
        assert all(torch.equal(one[key], two[key]) for one, two in zip(first, other, strict=True) for key in one)


def test_the_test_split_is_one_pass_over_the_dev_queries_in_order() -> None:
    task = MsMarcoDsi(sample(), TINY)
    whole = list(task.batches("test", seed=0, size=64))
    assert [len(batch["labels"]) for batch in whole] == [64, 64, 32]
    again = list(task.batches("test", seed=9, size=64, start=2))
    assert len(again) == 1 and torch.equal(again[0]["input_ids"], whole[2]["input_ids"])
    with pytest.raises(UsageError, match="no split"):
        next(task.batches("validation", seed=0, size=4))


@pytest.mark.data
def test_the_real_subset_indexes_what_dev_and_train_queries_need(real_data: Path) -> None:
    task = MsMarcoDsi(Folder(real_data / "msmarco-passage"), MsMarcoDsi.presets["small"].options)
    found = task.identity()
    assert found.kind == "subset"
    assert found.counts["passages"] >= 5_000 and found.counts["dev queries"] == 779
    assert found.counts["train queries"] == 3_126
    (bm25,) = task.references()
    assert bm25.metrics["AP"] > 0.6
    batch = next(task.batches("train", seed=0, size=256))
    assert batch["input_ids"].shape[1] <= task.options.input_length
