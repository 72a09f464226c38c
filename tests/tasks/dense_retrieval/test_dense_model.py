"""The dual encoder: vectors, loss, what is prunable, what evaluation leaves."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.checkpoints import resolve
from bench.data import Folder, Memory, read
from bench.errors import UsageError
from bench.measure.latency import measure
from tasks import ranking
from tasks.dense_retrieval import DenseRetrieval, Options, embed, evaluation, indexes
from tasks.dense_retrieval.corpus import Queries
from tasks.dense_retrieval.model import contrastive_loss, encoder
from tests.tasks.dense_retrieval.dense_opening import checkpoint, opened


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("pooling", ["mean", "cls"])
@pytest.mark.parametrize("normalised", [True, False])
def test_bucketed_vectors_are_those_of_texts_taken_one_by_one(pooling: str, normalised: bool) -> None:
    task, model = opened(pooling=pooling, normalised=normalised)
    side, found = encoder(model, "passage"), task.inputs
    some = found.passages.take(np.arange(40))
    together = embed.embedded(side, some, found.tokens)
    for row in range(40):
        # By hand: no padding at all, then the stated pooling.
        ids = [found.tokens.cls, *some.take(np.array([row])).tokens.tolist(), found.tokens.sep]
        with torch.no_grad():
            hidden = side.body(torch.tensor([ids])).last_hidden_state[0]
        vector = hidden.mean(0) if pooling == "mean" else hidden[0]
        alone = (vector / vector.norm() if normalised else vector).numpy()
        assert np.allclose(together[row], alone, atol=1e-5)


def test_the_loss_is_minus_log_softmax_over_the_allowed_passages() -> None:
    products = torch.tensor([[1.0, 2.0, 3.0], [0.5, 0.25, 4.0]])
    candidate = torch.tensor([[True, True, False], [True, True, True]])
    batch = {"candidate": candidate, "label": torch.tensor([0, 1])}
    # A temperature of 0.5 doubles every product; the third passage is no candidate of the first query.
    first = -np.log(np.exp(2.0) / (np.exp(2.0) + np.exp(4.0)))
    second = -np.log(np.exp(0.5) / (np.exp(1.0) + np.exp(0.5) + np.exp(8.0)))
    assert float(contrastive_loss(products, batch, 0.5)) == pytest.approx((first + second) / 2, rel=1e-6)


def test_tied_encoders_are_one_and_apart_they_are_offered_apart() -> None:
    tied_task, tied = opened()
    assert {name.split(".")[0] for name in tied_task.prunable(tied)} == {"query"}
    count = len(tied_task.prunable(tied))
    offers = {"query": {"query"}, "document": {"passage"}, "both": {"query", "passage"}}
    for prune, sides in offers.items():
        task, model = opened(tied=False, prune=prune)
        names = task.prunable(model)
        assert {name.split(".")[0] for name in names} == sides and len(names) == count * len(sides)
        assert {coupling.name.split(".")[0] for coupling in task.couplings(model)} == sides
        inputs = {name.split("_")[0] for name in task.example()}
        assert inputs == {"query": {"query"}, "document": {"passage"}, "both": {"query", "passage"}}[prune]
        assert len(task.forward(model, task.example())) == 1


def test_examples_have_the_stated_lengths() -> None:
    task, _ = opened(query_length=7, passage_length=19)
    shapes = {name: tuple(tensor.shape) for name, tensor in task.example().items()}
    assert shapes["query_ids"] == shapes["query_mask"] == (1, 7) and shapes["passage_ids"] == (1, 19)


def test_evaluation_is_exhaustive_search_by_hand_and_leaves_runs_and_bytes() -> None:
    task, model = opened()
    with torch.no_grad():
        found = task.evaluate(model, "test")
    passages = embed.embedded(encoder(model, "passage"), task.inputs.passages, task.inputs.tokens)
    queries = embed.embedded(encoder(model, "query"), task.inputs.test, task.inputs.tokens)
    best = np.argsort(-(queries @ passages.T), axis=1, kind="stable")
    by_hand = []
    for row, grades in zip(best, task._corpus.test.grades, strict=True):
        places = [place for place, number in enumerate(row[:10].tolist(), start=1) if number in grades]
        ideal = sum(1 / np.log2(place + 1) for place in range(1, min(10, len(grades)) + 1))
        by_hand.append(sum(1 / np.log2(place + 1) for place in places) / ideal)
    assert found.metrics["nDCG@10"] == pytest.approx(np.mean(by_hand), abs=1e-6)
    assert set(found.metrics) == {metric.name for metric in task.metrics}
    assert found.files["run"].count("\n") == 200 * 100
    sizes = found.notes["index"]
    assert list(sizes) == ["exhaustive", "HNSW", "IVF-PQ"]
    assert sizes["exhaustive"]["bytes"] >= 800 * 16 * 4
    assert sizes["HNSW"]["bytes"] > sizes["exhaustive"]["bytes"], "a graph is no compression"


def test_a_random_ranking_reaches_its_expected_ndcg() -> None:
    grades = ({0: 1, 1: 2}, {3: 1})
    queries = Queries(("a", "b"), ("", ""), grades)
    generator = np.random.default_rng(0)
    rows = generator.random((4_000, 30))
    every = ranking.joined([ranking.rank(rows[first : first + 2], 30) for first in range(0, len(rows), 2)])
    asked, ids = [str(number) for number in range(len(rows))], [str(number) for number in range(30)]
    drawn = ranking.measure(every, asked, ids, grades * (len(rows) // 2), ["nDCG@10"])["nDCG@10"]
    # A standard deviation of at most 0.5 over 4,000 draws: three standard errors are below 0.025.
    assert evaluation._random(queries, 30) == pytest.approx(np.mean(drawn), abs=0.025)


def test_equal_vectors_are_ranked_by_document_order_however_deep_the_run() -> None:
    vectors = np.zeros((400, 8), dtype=np.float32)
    vectors[:, 0] = 1
    vectors[300, 0] = 2
    found = indexes.search(indexes.flat(vectors), vectors[:2], 100)
    assert found.documents.tolist() == [[300, *range(99)]] * 2


@given(st.integers(1, 400), st.integers(0, 5))
def test_exhaustive_search_is_a_sort_of_all_inner_products(depth: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    # Whole numbers are summed without rounding, in whatever order, and give many ties.
    vectors, queries = generator.integers(-2, 3, (400, 8)), generator.integers(-2, 3, (3, 8))
    found = indexes.search(indexes.flat(vectors), queries, depth)
    assert found.documents.tolist() == ranking.rank(queries @ vectors.T, depth).documents.tolist()


def test_approximate_indexes_are_the_same_each_time_and_near_the_truth() -> None:
    generator = np.random.default_rng(1)
    vectors, queries = generator.standard_normal((600, 32)), generator.standard_normal((50, 32))
    truth = indexes.search(indexes.flat(vectors), queries, 10).documents
    made = {
        "hnsw": lambda: indexes.hnsw(vectors, 16, 64),
        "ivf-pq": lambda: indexes.ivf_pq(vectors, 8, 4, 16),
    }
    shares = {}
    for name, make in made.items():
        one, other = (indexes.search(make(), queries, 10) for _ in range(2))
        assert one.documents.tolist() == other.documents.tolist()
        assert one.scores.tolist() == other.scores.tolist()
        pairs = zip(one.documents.tolist(), truth.tolist(), strict=True)
        shares[name] = np.mean([len({*a} & {*b}) / 10 for a, b in pairs])
    assert shares["hnsw"] > 0.95 and 0.3 < shares["ivf-pq"] < 1


def test_more_lists_than_passages_are_refused_before_anything_is_trained() -> None:
    with pytest.raises(UsageError, match=r"ivf_lists=801: 801 lists for 800 passages\. Give 800 or fewer"):
        opened(ivf_lists=801)


def test_an_index_alone_has_no_other_to_be_smaller_than() -> None:
    vectors = np.random.default_rng(0).standard_normal((300, 8))
    one, other = indexes.flat(vectors), indexes.of_codes(indexes.quantised(vectors, 4, rotated=False))
    assert indexes.sizes({"JPQ": other}) == {"JPQ": {"bytes": indexes.size(other)}}
    both = indexes.sizes({"exhaustive": one, "JPQ": other})
    assert both["JPQ"]["times_smaller"] == round(indexes.size(one) / indexes.size(other), 2)


def test_an_untrained_checkpoints_passages_are_encoded_once_and_pruned_ones_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkpoint(tmp_path / "bert")
    calls: list[int] = []
    real = embed.embedded
    monkeypatch.setattr(embed, "embedded", lambda *given: (calls.append(len(given[1])), real(*given))[1])
    for _ in range(2):
        task, model = opened(model=str(folder), passage_length=24, query_length=8)
        with torch.no_grad():
            one = task.evaluate(model, "test")
            two = task.evaluate(model, "test")
        assert one.metrics == two.metrics
    assert calls.count(800) == 1
    with torch.no_grad():
        dict(model.named_parameters())[task.prunable(model)[0]].zero_()
        assert task.evaluate(model, "test").metrics != one.metrics
        task.evaluate(model, "test")
    assert calls.count(800) == 2, "once for the pruned encoder, whose vectors are not kept on disk"


def test_queries_are_pruned_over_fixed_vectors(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "bert")
    task, model = opened(model=str(folder), train="query")
    batch = next(task.batches("train", seed=0, size=4))
    assert "passage_ids" not in batch and batch["passage_vectors"].shape == (8, 32)
    task.loss(task.forward(model, batch), batch).backward()
    before = task._indexes(model)["exhaustive"].reconstruct_n(0, 800)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5)
    assert np.array_equal(before, task._indexes(model)["exhaustive"].reconstruct_n(0, 800))
    assert [reference.name for reference in task.references()][:2] == ["BM25", "flat, untrained"]


def test_the_search_is_timed_beside_the_forward_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.measure.latency.ROUNDS", 5)
    task, model = opened()
    batch = next(task.batches("test", seed=0, size=3))
    found = measure(task, model, {}, batch, torch.device("cpu"))
    assert found["batch_size"] == 3
    names = [entry["backend"] for entry in found["backends"]]
    assert names == ["dense", "search, exhaustive", "search, HNSW", "search, IVF-PQ"]


@pytest.mark.data
@pytest.mark.slow
def test_minilm_on_scifact_scores_as_sentence_transformers_would(real_data: Path) -> None:
    """On some hundred documents and the test queries about them: mean pooling, length 1, dot product, one text at a
    time, by transformers alone."""
    from transformers import AutoModel, AutoTokenizer

    files = Folder(real_data / "beir/scifact")
    rows = read(files, "qrels/test.tsv").decode().splitlines()
    asked = {row.split("\t")[0] for row in rows[1:31]}
    qrels = [row for row in rows[1:] if row.split("\t")[0] in asked]
    wanted = {row.split("\t")[1] for row in qrels}
    every = read(files, "corpus.jsonl").decode().splitlines()
    documents = [json.loads(line) for number, line in enumerate(every)
                 if number < 80 or json.loads(line)["_id"] in wanted]  # fmt: skip
    contents = {
        "corpus.jsonl": "".join(json.dumps(document) + "\n" for document in documents).encode(),
        "queries.jsonl": read(files, "queries.jsonl"),
        "qrels/test.tsv": "\n".join([rows[0], *qrels]).encode(),
    }
    task = DenseRetrieval(Memory("few", contents, "real"), Options(model="minilm", passage_length=128))
    model = task.build(0).eval()
    with torch.no_grad():
        found = ranking.measure(
            indexes.search(indexes.flat(task._vectors(model)), task._asked(model), 100),
            task._corpus.test.ids, task._corpus.ids, task._corpus.test.grades, ["nDCG@10"],
        )["nDCG@10"].mean()  # fmt: skip
    folder = resolve("minilm").folder
    tokenizer, plain = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()

    def vector(text: str, limit: int) -> np.ndarray:
        inputs = tokenizer(text, truncation=True, max_length=limit, return_tensors="pt")
        with torch.no_grad():
            mean = plain(**inputs).last_hidden_state[0].mean(0)
        return (mean / mean.norm()).numpy()

    left = np.stack([vector(f"{d['title']} {d['text']}".strip(), 128) for d in documents])
    right = np.stack([vector(text, 64) for text in task._corpus.test.texts])
    best = np.argsort(-(right @ left.T), axis=1, kind="stable")[:, :10]
    gains = []
    for row, grades in zip(best, task._corpus.test.grades, strict=True):
        ideal = sum(1 / np.log2(place + 2) for place in range(min(10, len(grades))))
        gains.append(sum(1 / np.log2(p + 2) for p, n in enumerate(row.tolist()) if n in grades) / ideal)
    assert float(found) == pytest.approx(np.mean(gains), abs=1e-3) and float(found) > 0.7
