"""What is searched and asked, from both layouts, and the batches drawn from it."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.data import Folder, Memory
from bench.errors import BenchError, DataError, UsageError
from bench.grid import Request
from bench.plan import make
from tasks import ranking
from tasks.dense_retrieval import DenseRetrieval, corpus, examples
from tests.tasks.dense_retrieval.dense_opening import TINY, opened, sample


def test_the_sample_has_every_document_in_both_orders_and_no_test_query_in_training() -> None:
    found = corpus.read(sample())
    told = {tuple(text.lower().split()[:3:2]) for text in found.texts}
    assert len(told) == len(found.ids) == 800 and all(pair[::-1] in told for pair in told)
    assert len(found.train) == 600 and len(found.test) == 200
    assert not set(found.train.ids) & set(found.test.ids)


def test_word_overlap_alone_is_a_poor_guide_through_the_sample() -> None:
    (bm25,) = opened()[0].references()
    assert 0.05 < bm25.metrics["nDCG@10"] < 0.5


MSMARCO = {
    "collection.tsv": b"11\tone\n5\ttwo\n7\tthree\n",
    "queries.train.tsv": b"1\tone?\n2\tTWO \n",
    "qrels.train.tsv": b"1\t0\t11\t1\n2\t0\t5\t1\n",
    "queries.dev.small.tsv": b"9\ttwo\n",
    "qrels.dev.small.tsv": b"9\t0\t5\t1\n",
}


def test_the_msmarco_layout_is_read_as_well_and_repeated_queries_leave_training() -> None:
    found = corpus.read(Memory("test", MSMARCO))
    assert found.ids == ("11", "5", "7") and found.test.grades == ({1: 1},)
    assert found.train.ids == ("1",), "query 2 reads as dev query 9 does"
    said = corpus.identity(Memory("test", MSMARCO, "real"), found, "msmarco-passage")
    assert (said.name, said.kind, said.counts["passages"]) == ("msmarco-passage", "subset", 3)


def test_options_choose_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in {**DenseRetrieval.sample()}.items():
        (tmp_path / "beir/toys" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "beir/toys" / name).write_bytes(content)
    settings = {"dataset": "toys", "model": "scratch", "ivf_subvectors": "16"}
    request = Request(("dense-retrieval",), ("magnitude",), (0.5,), data=str(tmp_path), settings=settings)
    (root,) = make(request).roots
    assert root.task.data["name"] == "beir/toys" and root.task.data["kind"] == "whole"
    with pytest.raises(DataError, match=r"lacks beir/others/corpus.jsonl"):
        make(replace(request, settings={**settings, "dataset": "others"}))


def test_options_that_are_possible_only_together_may_be_set_in_any_order() -> None:
    for settings in ({"prune": "query", "tied": "false"}, {"tied": "false", "prune": "query"}):
        (root,) = make(Request(("dense-retrieval",), ("magnitude",), (0.5,), data="sample", settings=settings)).roots
        assert root.task.preset.options.prune == "query"


def test_batches_hold_each_querys_passage_first_and_hard_negatives_after() -> None:
    task, _ = opened(negatives=2)
    found = task._corpus
    pool = examples.pool(found, 30, "digest")
    for number in range(3):
        drawn = examples.draw(pool, seed=1, number=number, size=8, negatives=2, passages=len(found.ids))
        assert len(drawn.passages) == 8 * 3
        for row, query in enumerate(drawn.queries.tolist()):
            grades = found.train.grades[query]
            assert grades[int(drawn.passages[row])] == 1
            hard = drawn.passages[8 + 2 * row : 10 + 2 * row].tolist()
            assert not set(hard) & grades.keys()
            assert set(hard) <= set(pool.negatives[query].tolist())
    whole = np.concatenate(
        [examples.draw(pool, seed=1, number=n, size=8, negatives=0, passages=9).queries for n in range(75)]
    )
    assert sorted(whole.tolist()) == list(range(600)), "one epoch is every pair once"


def test_bm25s_negatives_are_its_best_passages_that_are_not_relevant() -> None:
    from tasks import bm25

    task, _ = opened()
    found = task._corpus
    pool = examples.pool(found, 5, "digest of this test")
    index = bm25.index(found.texts)
    for query in (0, 17, 99):
        scores = index.scores(found.train.texts[query])
        ranked = ranking.rank(scores[None], 10).documents[0].tolist()
        wanted = [number for number in ranked if scores[number] > 0 and number not in found.train.grades[query]]
        there = [number for number in pool.negatives[query].tolist() if number >= 0]
        assert there == wanted[:5]


def test_a_passage_that_is_relevant_to_another_query_of_the_batch_is_no_negative() -> None:
    queries = corpus.Queries(("a", "b"), ("", ""), ({4: 1, 5: 1, 6: 0}, {5: 2}))
    drawn = examples.Drawn(np.array([0, 1]), np.array([4, 5, 6, 4]))
    # Columns 4, 5, 6, 4: to the first query 5 is relevant too, and 4 again; 6 is judged irrelevant.
    assert examples.candidates(queries, drawn).tolist() == [[True, False, True, False], [True, True, True, True]]
    assert examples.relevant(queries, drawn.queries).tolist() == [[4, 5], [5, -1]]


def test_a_set_without_train_judgments_is_evaluated_but_not_trained_on() -> None:
    contents = {name: content for name, content in DenseRetrieval.sample().items() if name != "qrels/train.tsv"}
    task = DenseRetrieval(Memory("test", contents), TINY)
    assert task.examples() == 0
    model = task.build(0).eval()
    with torch.no_grad():
        assert task.evaluate(model, "test").n == 200
    with pytest.raises(DataError, match=r"no judged train queries.*train.steps=0"):
        next(task.batches("train", seed=0, size=4))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"prune": "query"}, "tied encoders are one"),
        ({"prune": "document", "index": "jpq"}, "no passage encoder is there"),
        ({"train": "query"}, "a drawn passage encoder has no vectors worth keeping"),
        ({"vectors": "ready"}, "ready vectors"),
        ({"vectors": "../x", "model": "minilm", "train": "query"}, "ready vectors"),
        ({"dataset": "/etc"}, "no folder's name"),
        ({"dataset": "a/../b"}, "no folder's name"),
        ({"temperature": 0.0}, "temperature"),
        ({"depth": 10}, "depth"),
        ({"pooling": "max"}, "unknown value 'max'"),
        ({"passage_length": 2}, "passage_length"),
    ],
)
def test_options_that_cannot_be_are_one_line(options: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        replace(TINY, **options)  # type: ignore[arg-type]
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_bad_data_is_named_when_the_task_is_opened() -> None:
    with pytest.raises(BenchError, match="is no JSON"):
        DenseRetrieval(sample(**{"corpus.jsonl": b"{"}), TINY).identity()


@pytest.mark.data
def test_scifact_is_whole_and_its_train_queries_are_not_its_test_queries(real_data: Path) -> None:
    task = DenseRetrieval(Folder(real_data / "beir/scifact"), TINY)
    said = task.identity()
    assert said.kind == "whole"
    # 809 train queries are judged, and two of them read like a test query.
    assert said.counts == {"passages": 5_183, "train queries": 807, "test queries": 300}


@pytest.mark.data
def test_bm25_on_scifact_is_the_published_one(real_data: Path) -> None:
    """Thakur et al. 2021, table 2, as later corrected on the leaderboard: 0.679."""
    (bm25,) = DenseRetrieval(Folder(real_data / "beir/scifact"), TINY).references()
    assert bm25.name == "BM25" and bm25.metrics["nDCG@10"] == pytest.approx(0.679, abs=0.01)


def test_batches_are_cut_to_the_lengths_with_both_special_tokens() -> None:
    task, _ = opened(query_length=4, passage_length=6)
    tokens = task.inputs.tokens
    batch = next(islice(task.batches("train", seed=0, size=5), 1))
    assert batch["query_ids"].shape[1] <= 4 and batch["passage_ids"].shape == (10, 6)
    for side in ("query", "passage"):
        ids, mask = batch[f"{side}_ids"], batch[f"{side}_mask"]
        assert (ids[:, 0] == tokens.cls).all() and ((ids == tokens.sep).sum(1) == 1).all()
        assert ((ids != tokens.pad).long() == mask).all()
    assert sorted(batch) == ["candidate", "label", "passage_ids", "passage_mask", "query_ids", "query_mask"]
