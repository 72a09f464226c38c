"""What is read, what is drawn from it, and how pairs become matrices."""

from __future__ import annotations

import hashlib
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.data import Folder
from bench.errors import DataError, UsageError
from tasks.msmarco_rerank import MsMarcoRerank, Options, candidates, examples, text
from tasks.msmarco_rerank.presets import SMALL
from tasks.text import TokenRows
from tests.tasks.msmarco_rerank.opening import TOY, sampled, toy


def rows(*lists: list[int]) -> TokenRows:
    flat = [token for row in lists for token in row]
    return TokenRows(np.asarray(flat, dtype=np.int32), np.cumsum([0, *map(len, lists)]))


def test_no_train_query_is_or_reads_as_an_evaluation_query() -> None:
    corpus = toy()._corpus
    assert corpus.train_texts == ("red fox", "blue whale") and corpus.dropped == 1
    only_track = toy(evaluate="dl2019")._corpus  # dev's queries stay out even where dev is not evaluated
    assert only_track.train_texts == corpus.train_texts


def test_an_unjudged_track_query_is_not_evaluated_and_one_without_candidates_is() -> None:
    track, dev = toy()._corpus.judged
    assert track.numbers == (30, 31) and dev.numbers == (20,)
    assert dev.left_out == 1


def test_a_judged_passage_outside_the_collection_keeps_its_grade() -> None:
    corpus = toy()._corpus
    labels = [{corpus.documents[row]: grade for row, grade in grades.items()} for grades in corpus.judged[0].grades]
    assert labels == [{"13": 3, "12": 1, "999": 2}, {"15": 2}]


def test_negatives_are_bm25s_best_that_neither_are_relevant_nor_read_as_one() -> None:
    task = toy()
    found = candidates.negatives(task._searcher, 4)
    numbers = [[int(task._corpus.numbers[row]) if row >= 0 else -1 for row in row_] for row_ in found]
    # "red fox": 10 is relevant and 14 reads the same; 13 ("blue fox") is shorter than 11 ("red dog sleeps").
    assert numbers[0] == [13, 11, -1, -1]
    assert numbers[1] == [13, -1, -1, -1]


def test_without_a_run_file_candidates_are_bm25s() -> None:
    files = {name: content for name, content in TOY.items() if not name.startswith("run.")}
    task = toy(candidates="bm25")
    from bench.data import Memory

    bare = MsMarcoRerank(Memory("msmarco-rerank", files), task.options)
    for one in (task, bare):
        pool = one._candidates["dl2019"]
        assert [int(one._corpus.numbers[row]) for row in pool.passages[0] if row >= 0][:1] == [13]


def test_groups_hold_one_relevant_passage_and_distinct_negatives() -> None:
    task = sampled()
    corpus, pools = task._corpus, task._pools
    asked, passages = examples.draw(pools, seed=4, number=3, size=8, negatives=5)
    assert passages.shape == (8, 6)
    for query, group in zip(asked, passages.tolist(), strict=True):
        relevant = set(corpus.train_positives[query])
        assert group[0] in relevant and not relevant & set(group[1:]) and len(set(group)) == 6


def test_an_epoch_asks_every_query_once_and_another_in_another_order() -> None:
    pools = examples.Pools([[0], [1], [2], [3], [4]], np.full((5, 2), -1), 9)
    drawn = [examples.draw(pools, seed=1, number=number, size=2, negatives=2) for number in range(6)]
    assert [len(queries) for queries, _ in drawn] == [2, 2, 1, 2, 2, 1]
    epochs = [np.concatenate([queries for queries, _ in half]).tolist() for half in (drawn[:3], drawn[3:])]
    assert sorted(epochs[0]) == sorted(epochs[1]) == [0, 1, 2, 3, 4] and epochs[0] != epochs[1]
    for queries, passages in drawn:  # BM25 found nothing: any other passage
        assert all(group[0] == query and query not in group[1:] for query, group in zip(queries, passages, strict=True))


def test_pairs_are_joined_with_their_marks_and_types_and_the_passage_is_cut() -> None:
    joined = text.Joined(pad=0, cls=2, sep=3)
    made = joined.matrices(rows([7, 8], [9]), rows([5, 5, 5, 5, 5, 5], [4]), 8)
    assert made["input_ids"].tolist() == [[2, 7, 8, 3, 5, 5, 5, 3], [2, 9, 3, 4, 3, 0, 0, 0]]
    assert made["attention_mask"].tolist() == [[1] * 8, [1] * 5 + [0] * 3]
    assert made["token_type_ids"].tolist() == [[0, 0, 0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 1, 0, 0, 0]]
    assert joined.lengths(rows([7, 8], [9]), rows([5] * 6, [4]), 8).tolist() == [8, 5]


def test_pairs_apart_are_padded_each_for_itself() -> None:
    made = text.Apart().matrices(rows([7, 8], []), rows([5, 6, 7], [4]), 2)
    assert made["query"].tolist() == [[7, 8], [0, 0]] and made["document"].tolist() == [[5, 6], [4, 0]]


def test_test_batches_are_the_candidates_in_order() -> None:
    task = sampled()
    batches = list(islice(task.batches("test", seed=0, size=64, start=1), 2))
    assert batches[0]["input_ids"].shape[:2] == (64, 1)
    whole = next(task.batches("test", seed=0, size=128))
    width = batches[0]["input_ids"].shape[2]
    assert torch.equal(batches[0]["input_ids"], whole["input_ids"][64:128, :, :width])


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("2019qrels-pass.txt", b"30 Q0 13 3\n77 Q0 13 3\n", "2019qrels-pass.txt, line 2: names query 77"),
        ("qrels.dev.small.tsv", b"20\t0\t99\t1\n", "qrels.dev.small.tsv, line 1: names passage 99"),
        ("qrels.train.tsv", b"1\t0\t10\t1\n5\t0\t10\t1\n", "qrels.train.tsv, line 2: names query 5"),
        ("run.dev.small.bm25.top20.trec", b"20 Q0 99 1 3 bm25\n", "trec, line 1: names passage 99"),
        ("run.dev.small.bm25.top20.trec", b"22 Q0 10 1 3 bm25\n", "trec, line 1: names query 22"),
        ("run.msmarco-test2019.bm25.top100.trec", b"30 Q0 10 1 x bm25\n", "trec, line 1: 'x' is no score"),
    ],
)
def test_bad_input_is_one_clear_line(name: str, content: bytes, complaint: str) -> None:
    with pytest.raises(DataError) as caught:
        toy({name: content}).identity()
    assert complaint in str(caught.value) and "\n" not in str(caught.value)


def test_a_set_whose_files_are_not_there_says_which_file() -> None:
    with pytest.raises(DataError, match=r"msmarco-test2020-queries\.tsv"):
        toy(evaluate="dl2019,dl2020").identity()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"evaluate": "dl2018"}, "unknown evaluation set 'dl2018'"),
        ({"evaluate": "dev,dev"}, "one twice"),
        ({"retrieval": "full"}, "bert scores no term by itself"),
        ({"model": "conformer-kernel", "groups": 5}, "5 groups do not divide 16"),
        ({"length": 5}, "length: 5 is too small"),
        ({"kernel": 4}, "a kernel of 4"),
        ({"variant": "ndrm4"}, "unknown value 'ndrm4'"),
    ],
)
def test_options_that_cannot_be_are_refused(changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        toy(**changes)
    assert complaint in str(caught.value)


def test_the_sample_is_the_same_bytes_every_time() -> None:
    sample = MsMarcoRerank.sample()
    whole = hashlib.sha256(b"".join(sample[name] for name in sorted(sample))).hexdigest()
    assert whole[:16] == "7a07cb657b80436a"
    assert set(sample) == set(TOY)


@pytest.mark.data
def test_the_given_dl_2019_run_has_the_reference_s_ndcg(real_data: Path) -> None:
    task = MsMarcoRerank(Folder(real_data / "msmarco-passage"), SMALL["minilm"].options)
    counts = task.identity().counts
    assert counts["TREC DL 2019 queries"] == 43 and counts["passages"] == 34_796
    (bm25,) = task.references()
    assert round(bm25.metrics["nDCG@10"], 4) == 0.5058
    assert bm25.metrics["Judged@10"] == 1.0
    corpus = task._corpus
    evaluated = {text_.lower().strip() for judged in corpus.judged for text_ in judged.texts}
    assert not evaluated & {text_.lower().strip() for text_ in corpus.train_texts}
    assert isinstance(task.options, Options)
