"""Evaluation: candidates, metrics, runs, full retrieval."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from bench.data import Memory
from bench.errors import UsageError
from tasks.msmarco_rerank import MsMarcoRerank, scoring
from tasks.msmarco_rerank.presets import PRESETS
from tests.tasks.msmarco_rerank.opening import TINY, TOY, built, sampled, toy


class ByHand(torch.nn.Module):
    """Scores a pair by the number of the passage's first word."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, query: torch.Tensor, document: torch.Tensor) -> torch.Tensor:
        return document[:, 0].to(self.weight.dtype) * self.weight


def test_an_ideal_ranking_holds_judged_passages_that_cannot_be_found() -> None:
    task = toy(model="conv-knrm")
    found = task.evaluate(ByHand(), "test")
    # Query 30 has candidates 12 (grade 1, "blue whale ...") and 13 (grade 3, "blue fox"), which score alike: they stay
    # in document order, 12 first. 999 (grade 2) is judged alone. Query 31 has no candidate and counts as 0.
    ideal = 3 + 2 / math.log2(3) + 1 / 2
    ndcg = (1 + 3 / math.log2(3)) / ideal
    assert found.examples["nDCG@10"].tolist() == pytest.approx([ndcg, 0.0])
    assert found.metrics["nDCG@10"] == pytest.approx(ndcg / 2)
    assert found.metrics["RR(rel=2)@10"] == pytest.approx(0.5 / 2)
    assert found.notes["dl2019"]["recall_cap"] == pytest.approx(0.5 / 2)
    assert found.notes["dl2019"]["tie_rate"] == 1.0
    assert found.files["run"].splitlines()[0].startswith("30 Q0 12 1 ")


def test_each_set_has_metrics_and_a_run_of_its_own() -> None:
    task = sampled(dev_queries=5, dev_depth=10, depth=20)
    found = task.evaluate(built(task), "test")
    assert {metric.name for metric in task.metrics} == set(found.metrics)
    assert len(found.examples["nDCG@10"]) == 24 and len(found.examples["RR@10 (dev)"]) == 5 and found.n == 29
    assert (found.examples["RR@1000 (dev)"] >= found.examples["RR@10 (dev)"]).all()
    assert len(found.files["run"].splitlines()) == 24 * 20 and len(found.files["run-dev"].splitlines()) == 5 * 10
    alone = sampled(evaluate="dev")
    assert alone.metrics[0].name == "RR@10 (dev)"
    assert set(alone.evaluate(built(alone), "test").files) == {"run"}


def test_what_only_the_evaluation_depends_upon_changes_no_training_batch() -> None:
    one, other = sampled(), sampled(evaluate="dev", depth=7, candidates="bm25")
    batches = [next(task.batches("train", seed=5, size=4)) for task in (one, other)]
    assert all(torch.equal(batches[0][name], batches[1][name]) for name in batches[0])
    assert {"evaluate", "candidates", "depth"} <= set(one.evaluation_options())


@pytest.mark.parametrize("model", ["bert", "conv-knrm", "conformer-kernel"])
def test_scores_do_not_depend_on_what_shares_a_batch(model: str) -> None:
    task = sampled(model=model)
    network = built(task, 0.1)
    _, texts, form = task._read
    pairs = task._pairs(task._candidates["dl2019"])[:60]
    queries = texts.judged["dl2019"]

    def scored(chosen: np.ndarray) -> np.ndarray:
        cpu = torch.device("cpu")
        return scoring.scores(lambda batch: network(**batch), form, queries, texts.passages, chosen, 40, cpu)

    alone = np.concatenate([scored(pairs[place : place + 1]) for place in range(len(pairs))])
    np.testing.assert_allclose(scored(pairs), alone, atol=1e-4)


def test_buckets_hold_every_pair_once_and_no_more_tokens_than_allowed() -> None:
    lengths = np.asarray([5, 90, 7, 7, 40, 1, 0, 200])
    found = list(scoring.buckets(lengths, tokens=100))
    assert sorted(np.concatenate(found).tolist()) == list(range(8))
    assert all(len(chosen) == 1 or len(chosen) * lengths[chosen].max() <= 100 for chosen in found)
    assert found[0].tolist() == [7]


def test_full_retrieval_ranks_the_whole_collection_by_the_scores_of_pairs() -> None:
    task = sampled(model="conformer-kernel", retrieval="full", depth=900, evaluate="dl2019")
    network = built(task, 0.1)
    found = task.evaluate(network, "test")
    assert len(found.files["run"].splitlines()) == 24 * 900
    reranked = sampled(model="conformer-kernel", evaluate="dl2019").evaluate(network, "test")
    scores = [
        {(row.split()[0], row.split()[2]): float(row.split()[4]) for row in one.files["run"].splitlines()}
        for one in (found, reranked)
    ]
    assert all(scores[0][pair] == pytest.approx(score, abs=1e-4) for pair, score in scores[1].items())
    assert "recall_cap" not in found.notes["dl2019"]


def test_bm25_is_imperfect_on_the_sample_and_random_is_worse() -> None:
    task = sampled(evaluate="dl2019,dev")
    (bm25,) = task.references()
    assert 0.4 < bm25.metrics["nDCG@10"] < 0.6
    from tasks import ranking
    from tasks.msmarco_rerank import evaluation

    pool = task._candidates["dl2019"]
    shuffled = np.where(pool.there, np.random.default_rng(0).random(pool.passages.shape), -np.inf)
    values = evaluation.measured(task._corpus, task._corpus.judged[0], ranking.rank(shuffled, 50, pool.passages))
    assert ranking.means(values)["nDCG@10"] < bm25.metrics["nDCG@10"] - 0.1


def test_the_row_of_the_candidates_is_called_by_what_ranked_them() -> None:
    dev, track = "run.dev.small.bm25.top20.trec", "run.msmarco-test2019.bm25.top100.trec"
    (given,) = toy(evaluate="dl2019,dev").references()
    assert (given.name, given.note) == ("BM25", "the run file's own order, tagged bm25")
    own = "BM25, k1 = 0.9, b = 0.4, Lucene's English analyser"
    (none,) = toy(evaluate="dl2019,dev", candidates="bm25").references()
    assert (none.name, none.note) == ("BM25", own)
    without = {name: content for name, content in TOY.items() if name != track}
    mixed = MsMarcoRerank(Memory("msmarco-rerank", without), replace(TINY, evaluate="dl2019,dev"))
    (half,) = mixed.references()
    assert (half.name, half.note) == ("BM25", f"dl2019: {own}; dev: the run file's own order, tagged bm25")
    (other,) = toy({dev: TOY[dev].replace(b"bm25", b"my-splade")}, evaluate="dl2019,dev").references()
    assert other.name == "first stage" and "dev: the run file's own order, tagged my-splade" in other.note


@pytest.mark.parametrize("model", ["conv-knrm", "conformer-kernel"])
def test_a_passage_that_is_read_by_itself_needs_no_room_for_the_query(model: str) -> None:
    task = sampled(model=model, length=4, train_length=2, query_length=6, evaluate="dl2019")
    assert task.evaluate(built(task, 0.1), "test").n == 24
    with pytest.raises(UsageError, match=r"length: 9 is too small\. Give 10 or more"):
        sampled(model="bert", length=9, query_length=6)
    with pytest.raises(UsageError, match=r"length: 0 is too small"):
        sampled(model=model, length=0)


def test_each_model_has_settings_of_its_own() -> None:
    for model in ("conv-knrm", "conformer-kernel"):
        for preset in MsMarcoRerank.presets_of(model).values():
            assert preset.options.model == model and preset.train.stream != preset.recover.stream
    assert MsMarcoRerank.presets_of("conv-knrm")["small"].options.loss == "margin"
    assert MsMarcoRerank.presets_of("minilm") == PRESETS
    of_others = MsMarcoRerank.presets_of("some/encoder")["small"]
    assert (of_others.options.loss, of_others.options.pooling) == ("listwise", "cls")


@pytest.mark.slow
@pytest.mark.parametrize(("model", "steps"), [("conv-knrm", 200), ("conformer-kernel", 100)])
def test_the_sample_is_learnable(model: str, steps: int) -> None:
    preset = MsMarcoRerank.presets_of(model)["smoke"]
    task = MsMarcoRerank(Memory("msmarco-rerank", MsMarcoRerank.sample()), replace(preset.options, evaluate="dl2019"))
    torch.manual_seed(0)
    network = task.build(0)
    optimizer = torch.optim.AdamW(network.parameters(), lr=preset.train.lr)
    for _, batch in zip(range(steps), task.batches("train", seed=0, size=16), strict=False):
        optimizer.zero_grad()
        task.loss(task.forward(network, batch), batch).backward()
        optimizer.step()
    (bm25,) = task.references()
    assert task.evaluate(network.eval(), "test").metrics["nDCG@10"] > bm25.metrics["nDCG@10"] + 0.05
