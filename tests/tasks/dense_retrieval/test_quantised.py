"""JPQ: the score is what faiss computes, the loss is the paper's, training improves on plain quantisation."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import pytest
import torch

from bench.errors import UsageError
from bench.steps import Schedule
from bench.train import Environment, train
from tasks.dense_retrieval import embed, indexes
from tasks.dense_retrieval.quantised import Quantised, ranking_loss
from tests.tasks.dense_retrieval.dense_opening import checkpoint, opened, rephrased


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_the_score_is_a_sum_over_the_centroids_of_the_codes() -> None:
    task, model = opened(index="jpq", subvectors=4)
    assert isinstance(model, Quantised)
    batch = next(task.batches("train", seed=0, size=3))
    with torch.no_grad():
        scores = task.forward(model, batch)
        rotated = model.rotated(batch["query_ids"], batch["query_mask"]).reshape(3, 4, 4)
        centroids = model.centroids
    for query, passage in ((0, 0), (1, 17), (2, 799)):
        codes = model.codes[passage].tolist()
        by_hand = sum(float(rotated[query, m] @ centroids[m, code]) for m, code in enumerate(codes))
        assert float(scores[query, passage]) == pytest.approx(by_hand, abs=1e-5)


def test_the_index_written_back_to_faiss_scores_as_the_model_does() -> None:
    task, model = opened(index="jpq", subvectors=4)
    assert isinstance(model, Quantised)
    with torch.no_grad():
        model.scaled.add_(torch.randn_like(model.scaled) * 0.01)  # as training would
        asked = task._asked(model)
        wanted = (torch.from_numpy(asked) @ model.rotation.T @ model.passages().T).numpy()
    index = indexes.of_codes(model.as_codes())
    scores, numbers = index.search(asked, 800)
    assert np.allclose(scores, np.take_along_axis(wanted, numbers, 1), atol=1e-5)
    loaded = faiss.deserialize_index(faiss.serialize_index(index))
    assert np.array_equal(loaded.search(asked, 10)[1], numbers[:, :10])


def test_the_first_codes_are_those_that_faiss_gives_the_rotated_vectors() -> None:
    vectors = np.random.default_rng(0).standard_normal((300, 16)).astype(np.float32)
    for rotated in (False, True):
        found = indexes.quantised(vectors, 4, rotated=rotated)
        assert np.allclose(found.rotation @ found.rotation.T, np.eye(16), atol=1e-4)
        turned = (vectors @ found.rotation.T).reshape(300, 4, 1, 4)
        nearest = ((turned - found.centroids[None]) ** 2).sum(-1).argmin(-1)
        assert (nearest == found.codes).mean() > 0.999, "ties of float arithmetic aside"
    again = indexes.quantised(vectors, 4, rotated=True)
    assert np.array_equal(again.codes, found.codes) and np.array_equal(again.rotation, found.rotation)


def test_an_index_has_a_byte_a_part_and_its_file_codebooks_and_rotation_besides() -> None:
    vectors = np.random.default_rng(0).standard_normal((300, 32)).astype(np.float32)
    for parts in (4, 8):
        found = indexes.quantised(vectors, parts, rotated=True)
        assert found.codes.nbytes == 300 * parts and vectors.nbytes // found.codes.nbytes == 4 * 32 // parts
        whole = indexes.size(indexes.of_codes(found))
        least = 300 * parts + 256 * 32 * 4 + 32 * 32 * 4
        assert least < whole < least + 1_000
        plain = indexes.size(indexes.of_codes(indexes.quantised(vectors, parts, rotated=False)))
        assert 32 * 32 * 4 <= whole - plain < 32 * 32 * 4 + 200, "plain PQ has no rotation to store"


def test_the_loss_weighs_pairs_by_the_difference_of_their_reciprocal_ranks() -> None:
    products = torch.tensor([[3.0, 2.0, 1.0, 0.0], [0.0, 5.0, 4.0, 1.0]])
    batch = {"relevant": torch.tensor([[2, -1], [1, 3]])}

    def pair(positive: float, rank_p: int, negative: float, rank_n: int) -> float:
        return abs(1 / rank_n - 1 / rank_p) * float(np.log1p(np.exp((negative - positive) / 2)))

    # Top 3 of query one: documents 0 and 1 are negatives, document 2 is relevant at rank 3.
    first = pair(1, 3, 3, 1) + pair(1, 3, 2, 2)
    # Of query two: 1 (relevant, rank 1), 2 (negative, rank 2), 3 (relevant, rank 3); document 0 is beyond.
    second = (pair(5, 1, 4, 2) + pair(1, 3, 4, 2)) / 2
    loss = ranking_loss(products, batch, temperature=2.0, depth=3)
    assert float(loss) == pytest.approx((first + second) / 2, rel=1e-5)


def test_a_relevant_passage_below_the_top_still_draws_a_gradient() -> None:
    products = torch.tensor([[3.0, 2.0, 1.0, 0.0]], requires_grad=True)
    ranking_loss(products, {"relevant": torch.tensor([[3]])}, 1.0, 2).backward()
    gradient = products.grad
    assert gradient is not None and gradient[0, 3] < 0 < gradient[0, 0]
    assert float(gradient[0, 2]) == 0, "what the index does not retrieve is no negative"


def trained(folder: Path) -> Path:
    """The checkpoint after training as a flat dual encoder, its tokenizer beside it."""
    task, model = opened(files=rephrased(), model=str(checkpoint(folder)))
    schedule = Schedule(lr=3e-3, batch_size=64, steps=200, warmup=15)
    train(task, model, {}, schedule, None, 200, Environment(0, torch.device("cpu")))
    task.portable(model).save_pretrained(folder)  # type: ignore[operator]
    return folder


def test_joint_training_gains_on_plain_quantisation_and_leaves_codes_alone(tmp_path: Path) -> None:
    task, model = opened(files=rephrased(), index="jpq", subvectors=4, model=str(trained(tmp_path / "bert")))
    assert isinstance(model, Quantised)
    codes, rotation = model.codes.clone(), model.rotation.clone()
    centroids, first = model.centroids.detach().clone(), next(model.query.parameters()).detach().clone()
    untrained = {reference.name: reference.metrics["nDCG@10"] for reference in task.references()}
    schedule = Schedule(lr=5e-4, batch_size=32, steps=40, optimizer="adamw")
    train(task, model, {}, schedule, None, 40, Environment(0, torch.device("cpu")))
    with torch.no_grad():
        found = task.evaluate(model.eval(), "test")
    assert torch.equal(model.codes, codes) and torch.equal(model.rotation, rotation)
    assert not torch.equal(model.centroids, centroids) and not torch.equal(next(model.query.parameters()), first)
    assert found.metrics["nDCG@10"] > max(untrained["OPQ 4, untrained"], untrained["PQ 4, untrained"]) + 0.02
    assert found.notes["index"]["JPQ"]["bytes"] > found.notes["quantised"]["code_bytes"] == 800 * 4


def test_only_the_query_encoder_is_offered_and_its_example_is_a_query() -> None:
    task, model = opened(index="jpq", subvectors=4)
    assert all(name.startswith("query.body.encoder.layer.") for name in task.prunable(model))
    assert sorted(task.example()) == ["query_ids", "query_mask"]
    assert task.forward(model, task.example()).shape == (1, 16)
    assert [metric.name for metric in task.metrics] == ["nDCG@10", "R@100", "RR@10", "Judged@10"]


def test_a_checkpoint_starts_from_its_own_vectors_and_stands_beside_plain_quantisation(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path / "bert")
    task, model = opened(index="jpq", subvectors=8, model=str(folder))
    assert isinstance(model, Quantised)
    vectors = embed.kept(model.query, task.inputs)
    assert np.array_equal(model.codes.numpy(), indexes.quantised(vectors, 8, rotated=True).codes)
    names = [reference.name for reference in task.references()]
    assert names == ["BM25", "flat, untrained", "OPQ 8, untrained", "PQ 8, untrained"]
    with torch.no_grad():
        found = task.evaluate(model, "test").metrics
    assert found == pytest.approx(dict(task.references()[2].metrics)), "before training JPQ is OPQ"


def test_vectors_that_cannot_be_quantised_are_one_line() -> None:
    vectors = np.zeros((300, 16), dtype=np.float32)
    with pytest.raises(UsageError, match="5 parts do not divide vectors of 16 numbers"):
        indexes.quantised(vectors, 5, rotated=True)
    with pytest.raises(UsageError, match="255 passages are too few to learn 256 centroids"):
        indexes.quantised(vectors[:255], 4, rotated=True)
