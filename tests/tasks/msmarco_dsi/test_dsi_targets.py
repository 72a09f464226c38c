"""The search index: BM25's passages as further training targets, and semantic docids of a task."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.data import Folder, Memory
from bench.errors import UsageError
from bench.grid import Request
from bench.plan import make
from tasks import bm25
from tasks.msmarco_dsi import MsMarcoDsi, embeddings
from tasks.msmarco_dsi import corpus as corpus_module
from tests.tasks.msmarco_dsi.opening import TINY, opened, sample

K = 3


def test_bm25_targets_are_the_best_passages_of_train_queries_beside_the_judged_ones() -> None:
    found = corpus_module.read(sample(), 0)
    task = MsMarcoDsi(sample(), replace(TINY, bm25_targets=K))
    pairs = task._trained.train_pairs
    judged = set(map(tuple, found.train_pairs.tolist()))
    index = bm25.index(found.texts)
    expected = set(judged)
    for row, text in enumerate(found.train_texts):
        scores = index.scores(text)
        best = sorted(range(len(scores)), key=lambda passage: (-scores[passage], passage))[:K]
        expected |= {(row, passage) for passage in best if scores[passage] > 0}
    assert set(map(tuple, pairs.tolist())) == expected and len(pairs) == len(expected) > len(judged)
    assert np.array_equal(pairs[: len(judged)], found.train_pairs)
    assert task.examples() == 400 + len(pairs)


def test_they_are_trained_on_and_nowhere_taken_for_relevant() -> None:
    plain, with_targets = opened(TINY), opened(replace(TINY, bm25_targets=K))
    queries = replace(TINY, query_share=1.0, bm25_targets=K)
    drawn = islice(MsMarcoDsi(sample(), queries).batches("train", seed=0, size=100), 10)
    labels = torch.cat([batch["labels"][:, 0] for batch in drawn])
    assert len(set(labels.tolist())) > 240, "more passages than the judged ones of 240 queries"
    with torch.no_grad():
        records = [task.evaluate(model, "test") for task, model in (plain, with_targets)]
    assert records[0].metrics == records[1].metrics and records[0].files == records[1].files
    assert records[1].notes["train_pairs"]["judged"] == 240 and "train_pairs" not in records[0].notes
    assert plain[0].references() == with_targets[0].references()
    assert plain[0].identity() == with_targets[0].identity()


def test_no_dev_query_is_asked_for_targets() -> None:
    contents = dict(MsMarcoDsi.sample())
    rows = contents["queries.dev.small.tsv"].decode().splitlines()
    contents["queries.dev.small.tsv"] = "".join(f"{row.split()[0]}\tquite unheard of\n" for row in rows).encode()
    options = replace(TINY, bm25_targets=K, query_share=0.5)
    tasks = [MsMarcoDsi(files, options) for files in (sample(), Memory("other", contents))]
    assert np.array_equal(tasks[0]._trained.train_pairs, tasks[1]._trained.train_pairs)
    first, other = (islice(task.batches("train", seed=1, size=64), 20) for task in tasks)
    assert all(torch.equal(one[key], two[key]) for one, two in zip(first, other, strict=True) for key in one)


def keys(**settings: str) -> list[str]:
    plan = make(Request(("msmarco-dsi",), ("magnitude",), (0.5,), data="sample", settings=settings))
    return [cell.key for root in plan.roots for cell in root.node.cells()]


def test_later_options_are_in_keys_and_records_only_where_they_are_not_as_before() -> None:
    """What was computed before they came is still what is asked for."""
    plain = make(Request(("msmarco-dsi",), ("magnitude",), (0.5,), data="sample"))
    assert not {"semantic_k", "semantic_model", "bm25_targets", "bm25"} & plain.roots[0].task.options.keys()
    assert keys() == keys(bm25_targets="0", semantic_k="10")
    others = [keys(bm25_targets="5"), keys(bm25_targets="6"), keys(docids="semantic")]
    others += [keys(docids="semantic", semantic_k="20"), keys(bm25="pyserini")]
    assert len({key for found in (keys(), *others) for key in found}) == 2 * 6


def test_an_encoder_for_semantic_docids_is_known_by_its_content(tmp_path: Path) -> None:
    for name in ("one", "two", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text('{"model_type": "bert"}' if name != "other" else "{}")
    found = [keys(docids="semantic", semantic_model=str(tmp_path / name)) for name in ("one", "two", "other")]
    assert found[0] == found[1] != found[2]
    assert keys(semantic_model=str(tmp_path / "one")) == keys(semantic_model=str(tmp_path / "two")), "no folder's name"
    with pytest.raises(UsageError) as caught:
        keys(docids="semantic", semantic_model=str(tmp_path / "none"))
    assert "semantic_model" in str(caught.value) and "\n" not in str(caught.value)


def test_semantic_docids_are_learned_and_decoded_as_others_are(monkeypatch: pytest.MonkeyPatch) -> None:
    task, model = opened(replace(TINY, docids="semantic", semantic_k=4))
    batch = next(task.batches("train", seed=0, size=64))
    labels = batch["labels"]
    assert labels.shape[1] > 4 and (labels == -100).any(), "docids of several lengths"
    assert set(labels.unique().tolist()) <= {-100, 2, 3, 4, 5}, "digits 0 to 3 after two special tokens"
    outputs = task.forward(model, batch)
    assert task.loss(outputs, batch).item() == pytest.approx(model(**batch).loss.item(), rel=1e-5)
    with torch.no_grad():
        found = task.evaluate(model, "test")
    assert len(found.files["run"].splitlines()) == 160 * 400
    assert found.notes["docid_digits"]["least"] < found.notes["docid_digits"]["most"] == labels.shape[1]
    (reference,) = task.references()
    assert reference == MsMarcoDsi(sample(), TINY).references()[0], "BM25 knows no docids"
    again = MsMarcoDsi(sample(), task.options)
    monkeypatch.setattr(embeddings, "lsa", lambda texts: pytest.fail("the docids are in the cache"))
    assert np.array_equal(again._tokens.docids, task._tokens.docids)


def test_latent_semantic_analysis_sets_passages_of_one_subject_together() -> None:
    subjects = (
        ("river", "bank", "water", "fish", "boat"),
        ("loan", "credit", "money", "interest", "debt"),
        ("stem", "leaf", "root", "seed", "flower"),
    )
    generator = np.random.default_rng(0)
    texts = [" ".join(generator.choice(subjects[row % 3], size=4)) for row in range(60)]
    vectors = embeddings.lsa(texts)
    assert vectors.dtype == np.float32 and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    near = vectors @ vectors.T
    subject = np.arange(60) % 3
    same = subject[:, None] == subject
    assert near[same].mean() > 0.3 > 0.05 > np.abs(near[~same]).max()
    assert np.array_equal(vectors, embeddings.lsa(texts))


def test_texts_without_a_common_term_have_embeddings_too() -> None:
    assert not embeddings.lsa(["red", "green", "the of"]).any()
    assert embeddings.lsa([""]).shape == (1, 1)


def test_minilm_embeds_by_meaning() -> None:
    from bench.checkpoints import resolve

    texts = [
        "a cat sleeps on the sofa",
        "the bank raised interest rates",
        "a kitten naps on a couch",
        "credit got costly",
    ]
    vectors = embeddings.embedded(texts, resolve("minilm"), digest="four texts")
    near = vectors @ vectors.T
    assert vectors.shape == (4, 384) and np.allclose(np.diag(near), 1, atol=1e-5)
    assert near[0, 2] > max(near[0, 1], near[0, 3]) and near[1, 3] > max(near[0, 1], near[2, 1])
    alone = embeddings.encoded(texts[1:2], resolve("minilm"), digest="one of four texts")
    assert np.allclose(alone[0], vectors[1], atol=1e-5), "padding changes nothing"


@pytest.mark.data
def test_real_passages_that_answer_one_query_are_often_of_one_cluster(real_data: Path) -> None:
    """Of BM25's two best for a train query the first digits agree several times as often as by chance."""
    options = replace(MsMarcoDsi.presets["small"].options, docids="semantic", bm25_targets=2)
    task = MsMarcoDsi(Folder(real_data / "msmarco-passage"), options)
    judged = len(task._corpus.train_pairs)
    assert 0.5 * judged < len(task._trained.train_pairs) - judged <= 2 * len(task._corpus.train_texts)
    first = task._strings[:, 0].astype(int)
    pairs: dict[int, list[int]] = {}
    for query, passage in task._trained.train_pairs.tolist():
        pairs.setdefault(query, []).append(passage)
    agree = [first[passages[0]] == first[passages[1]] for passages in pairs.values() if len(passages) > 1]
    chance = ((np.bincount(first) / len(first)) ** 2).sum()
    assert len(agree) > 1_000 and np.mean(agree) > 2.5 * chance
    assert len(np.unique(task._tokens.docids, axis=0)) == len(task._corpus.texts)
