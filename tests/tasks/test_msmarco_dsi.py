"""The differentiable search index: data, batches, model, decoding, evaluation."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.data import Folder, Memory
from bench.errors import UsageError
from tasks.msmarco_dsi import MsMarcoDsi, Options
from tasks.msmarco_dsi import corpus as corpus_module
from tasks.msmarco_dsi.docids import digits, trie

REAL = Path(os.environ.get("BENCH_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "msmarco-passage"
TINY = Options(passages=0, vocabulary=500, input_length=8, d_model=16, heads=2, d_ff=16, layers=1)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def sample() -> Memory:
    return Memory("msmarco-dsi", MsMarcoDsi.sample())


def opened(options: Options = TINY) -> tuple[MsMarcoDsi, Any]:
    task = MsMarcoDsi(sample(), options)
    torch.manual_seed(3)
    model = task.build(3)
    with torch.no_grad():
        for weight in model.parameters():  # far from the near-uniform scores of a fresh model
            weight.add_(torch.randn_like(weight) * 0.3)
    return task, model.eval()


# Data and batches


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


# Model and loss


@pytest.mark.parametrize("docids", ["atomic", "naive"])
def test_the_model_is_transformers_t5_and_its_own_loss_agrees(docids: str) -> None:
    from transformers import T5ForConditionalGeneration

    task, model = opened(replace(TINY, docids=docids))
    assert type(model) is T5ForConditionalGeneration
    batch = next(task.batches("train", seed=0, size=16))
    outputs = task.forward(model, batch)
    assert outputs.shape[:2] == batch["labels"].shape
    assert task.loss(outputs, batch).item() == pytest.approx(model(**batch).loss.item(), rel=1e-5)


def test_ignored_labels_do_not_count() -> None:
    task, model = opened(replace(TINY, docids="naive"))
    batch = dict(next(task.batches("train", seed=0, size=8)))
    outputs = task.forward(model, batch)
    expected = torch.nn.functional.cross_entropy(outputs[:, 0], batch["labels"][:, 0])
    batch["labels"] = batch["labels"].clone()
    batch["labels"][:, 1:] = -100
    assert task.loss(outputs, batch).item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_loss_can_be_differentiated_twice() -> None:
    task, model = opened()
    batch = next(task.batches("train", seed=0, size=8))
    weights = [weight for name, weight in model.named_parameters() if name in set(task.prunable(model))]
    first = torch.autograd.grad(task.loss(task.forward(model, batch), batch), weights, create_graph=True)
    second = torch.autograd.grad(sum((one * one.detach()).sum() for one in first), weights)
    assert all(torch.isfinite(one).all() for one in second) and any(one.abs().max() > 0 for one in second)


def test_only_attention_and_feed_forward_weights_are_offered_unless_asked() -> None:
    task, model = opened()
    names = task.prunable(model)
    kinds = {name.split(".")[-2] for name in names}
    assert kinds == {"q", "k", "v", "o", "wi", "wo"}
    assert len(names) == 6 + 10  # encoder: q k v o wi wo; decoder: cross attention's four more
    order = [name for name, _ in model.named_parameters()]
    assert [order.index(name) for name in names] == sorted(order.index(name) for name in names)
    everything = MsMarcoDsi(sample(), replace(TINY, prune_embeddings=True)).prunable(model)
    assert set(everything) - set(names) == {"shared.weight", "lm_head.weight"}


def test_equal_seeds_give_equal_models() -> None:
    task = MsMarcoDsi(sample(), TINY)
    models = []
    for _ in range(2):
        torch.manual_seed(11)
        models.append(task.build(11).state_dict())
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])


def test_the_example_has_the_stated_length() -> None:
    assert MsMarcoDsi(sample(), TINY).example()["input_ids"].shape == (1, 8)


# Decoding


def brute_force(task: MsMarcoDsi, model: Any, batch: Any, docids: np.ndarray) -> torch.Tensor:
    """Teacher forcing of each docid by itself."""
    scores = torch.empty(len(batch["input_ids"]), len(docids))
    for number, docid in enumerate(torch.from_numpy(docids)):
        labels = docid.expand(len(scores), -1)
        logp = task.forward(model, {**batch, "labels": labels}).log_softmax(-1)
        scores[:, number] = logp.gather(2, labels[:, :, None]).sum((1, 2))
    return scores


def decoding(kind: str, monkeypatch: pytest.MonkeyPatch) -> tuple[MsMarcoDsi, Any, Any, np.ndarray]:
    from tasks.msmarco_dsi import decode

    monkeypatch.setattr(decode, "ROWS", 7)  # many chunks, none of them even
    task, model = opened(replace(TINY, docids=kind, decoder_layers=2))
    batch = next(task.batches("test", seed=0, size=5))
    return task, model, batch, task._tokens.docids[::13]


@pytest.mark.parametrize("kind", ["atomic", "naive"])
def test_exact_scores_are_those_of_teacher_forcing_each_docid(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks.msmarco_dsi import decode

    task, model, batch, docids = decoding(kind, monkeypatch)
    with torch.no_grad():
        found = decode.exact(model, batch["input_ids"], batch["attention_mask"], trie(docids))
        expected = brute_force(task, model, batch, docids)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert expected.std(dim=1).min() > 0.05  # the docids' scores do differ


@pytest.mark.parametrize("kind", ["atomic", "naive"])
def test_beam_search_with_a_beam_for_each_docid_is_exact(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from tasks import ranking
    from tasks.msmarco_dsi import decode

    _, model, batch, docids = decoding(kind, monkeypatch)
    tree = trie(docids)
    with torch.no_grad():
        exact = decode.exact(model, batch["input_ids"], batch["attention_mask"], tree)
        numbers, scores = decode.beam(model, batch["input_ids"], batch["attention_mask"], tree, len(docids) + 3)
    expected = ranking.rank(exact.numpy(), len(docids))
    found = ranking.rank(scores.numpy(), len(docids), numbers.numpy())
    assert np.array_equal(found.documents, expected.documents)
    assert np.allclose(found.scores, expected.scores, atol=1e-4)


@pytest.mark.parametrize("beams", [1, 3, 10])
def test_beam_search_never_emits_a_filler_a_duplicate_or_an_unknown_docid(
    beams: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tasks.msmarco_dsi import decode

    _, model, batch, docids = decoding("naive", monkeypatch)
    with torch.no_grad():
        numbers, scores = decode.beam(model, batch["input_ids"], batch["attention_mask"], trie(docids), beams)
        exact = decode.exact(model, batch["input_ids"], batch["attention_mask"], trie(docids))
    for row, (found, values) in enumerate(zip(numbers.tolist(), scores, strict=True)):
        assert len(set(found)) == beams and min(found) >= 0 and max(found) < len(docids)
        torch.testing.assert_close(values, exact[row, found], rtol=1e-4, atol=1e-4)


def test_padding_changes_no_score() -> None:
    from tasks.msmarco_dsi import decode

    task, model = opened(replace(TINY, docids="naive"))
    batch = next(task.batches("test", seed=0, size=4))
    wide = [torch.nn.functional.pad(batch[key], (0, 5)) for key in ("input_ids", "attention_mask")]
    with torch.no_grad():
        narrow_scores = decode.exact(model, batch["input_ids"], batch["attention_mask"], task._trie)
        torch.testing.assert_close(decode.exact(model, *wide, task._trie), narrow_scores, rtol=1e-4, atol=1e-4)


def test_naive_docids_are_zero_padded_numbers_of_one_width() -> None:
    found = digits(101)
    assert found[[0, 7, 42, 100]].tolist() == [[0, 0, 0], [0, 0, 7], [0, 4, 2], [1, 0, 0]]
    assert digits(1).tolist() == [[0]]


def test_the_trie_holds_every_docid_once_and_shares_prefixes() -> None:
    docids = np.array([[1, 2], [0, 5], [1, 0], [0, 7]])
    tree = trie(docids)
    assert [one.tolist() for one in tree.tokens] == [[0, 1], [5, 7, 0, 2]]
    assert [one.tolist() for one in tree.children] == [[0, 2], [0, 2, 4]]
    assert tree.documents.tolist() == [1, 3, 2, 0]
    with pytest.raises(ValueError, match="same docid"):
        trie(np.array([[1, 2], [1, 2]]))


# Evaluation


def test_an_evaluation_leaves_metrics_per_query_values_and_a_run_file() -> None:
    task, model = opened()
    with torch.no_grad():
        found = task.evaluate(model, "test")
    assert list(found.metrics) == [metric.name for metric in task.metrics]
    assert found.n == 160 and all(values.shape == (160,) for values in found.examples.values())
    assert all(found.metrics[name] == pytest.approx(values.mean()) for name, values in found.examples.items())
    rows = [line.split() for line in found.files["run"].splitlines()]
    assert len(rows) == 160 * 400
    scores = np.array([float(row[4]) for row in rows], dtype=np.float32).reshape(160, 400)
    assert (np.diff(scores) < 0).all()
    assert found.notes["random_AP"] == pytest.approx(sum(1 / k for k in range(1, 401)) / 400)


def test_a_beam_caps_the_run_and_is_an_option_of_the_evaluation_only() -> None:
    task, model = opened(replace(TINY, docids="naive", decode="beam", beams=4))
    with torch.no_grad():
        found = task.evaluate(model, "test")
    assert len(found.files["run"].splitlines()) == 160 * 4
    assert found.notes["ranked_at_most"] == 4
    assert task.evaluation_options() == {"decode": "beam", "beams": 4, "depth": 1000}


def test_bm25_cannot_tell_names_in_either_order_apart_on_the_sample() -> None:
    (reference,) = MsMarcoDsi(sample(), TINY).references()
    assert set(reference.metrics) == {metric.name for metric in MsMarcoDsi.metrics}
    assert reference.metrics["Success@10"] == 1.0 and 0.3 < reference.metrics["AP"] < 0.7


def test_options_that_cannot_be_are_refused_in_one_line() -> None:
    for wrong in (
        {"docids": "atomc"},
        {"beams": 0},
        {"query_share": 1.5},
        {"crop_min": 9, "crop_max": 3},
        {"heads": 3},
    ):
        with pytest.raises(UsageError) as caught:
            replace(TINY, **wrong)
        assert "\n" not in str(caught.value)


# Learning


@pytest.mark.slow
def test_the_smoke_preset_learns_and_needs_its_body() -> None:
    """Dense beats BM25, which sees no word order; with 2 % of the weights of its body it no longer does clearly."""
    preset = MsMarcoDsi.presets["smoke"]
    task = MsMarcoDsi(sample(), preset.options)
    dense, sparse = (_trained(task, preset.train, sparsity) for sparsity in (0.0, 0.98))
    (bm25,) = task.references()
    assert dense > bm25.metrics["AP"] + 0.15
    assert dense > sparse + 0.15


def _trained(task: MsMarcoDsi, schedule: Any, sparsity: float) -> float:
    torch.manual_seed(0)
    model = task.build(0)
    body = [weight for name, weight in model.named_parameters() if name in set(task.prunable(model))]
    masks = [torch.rand_like(weight) >= sparsity for weight in body]
    optimizer = torch.optim.AdamW(model.parameters(), lr=schedule.lr, weight_decay=schedule.weight_decay)
    for step, batch in enumerate(islice(task.batches("train", seed=0, size=schedule.batch_size), schedule.length)):
        with torch.no_grad():
            for weight, mask in zip(body, masks, strict=True):
                weight.mul_(mask)
        optimizer.param_groups[0]["lr"] = schedule.rate(step)
        optimizer.zero_grad()
        task.loss(task.forward(model, batch), batch).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), schedule.clip)
        optimizer.step()
    with torch.no_grad():
        for weight, mask in zip(body, masks, strict=True):
            weight.mul_(mask)
        return task.evaluate(model.eval(), "test").metrics["AP"]


# A checkpoint from a folder


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A T5 of a hundred words with its tokenizer, saved as a hub checkpoint is."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

    folder = tmp_path_factory.mktemp("t5")
    letters = [
        *"0123456789",
        *"abcdefghijklmnopqrstuvwxyz",
        *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz."),
    ]
    vocabulary = {token: number for number, token in enumerate(["<pad>", "</s>", "<unk>", *letters])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>")
    fast.save_pretrained(folder)
    config = T5Config(
        vocab_size=len(vocabulary), d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0
    )
    torch.manual_seed(0)
    T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("docids", ["atomic", "naive"])
def test_a_checkpoint_brings_its_tokenizer_and_gets_docid_tokens(checkpoint: Path, docids: str) -> None:
    options = replace(TINY, model=str(checkpoint), docids=docids, input_length=24)
    task = MsMarcoDsi(sample(), options)
    model = task.build(0)
    known = 3 + 10 + 26 + 27
    assert model.shared.num_embeddings == known + (400 if docids == "atomic" else 0)
    batch = next(task.batches("train", seed=0, size=8))
    assert batch["input_ids"].max() < known
    if docids == "atomic":
        assert batch["labels"].min() >= known
    task.loss(task.forward(model, batch), batch).backward()
    with torch.no_grad():
        assert task.evaluate(model.eval(), "test").n == 160
    assert not {"shared.weight", "lm_head.weight"} & set(task.prunable(model))


@pytest.mark.parametrize("structure", ["weights", "heads"])
def test_a_pruned_checkpoint_is_exported_as_one(checkpoint: Path, tmp_path: Path, structure: str) -> None:
    """Its output layer is tied to the embeddings, in what is saved and in what is loaded."""
    from transformers import T5ForConditionalGeneration

    import bench
    from bench.api import Silent
    from bench.export import export
    from bench.store import Store

    settings = {"model": str(checkpoint), "input_length": 24, "train.steps": 4}
    found = bench.run("msmarco-dsi", "magnitude", [0.5], structure=structure, settings=settings, out=tmp_path / "out")
    record = found.records[-1]
    export(Store(tmp_path / "out"), record, tmp_path / "to", Silent())
    model = T5ForConditionalGeneration.from_pretrained(tmp_path / "to", attn_implementation="eager").eval()
    assert model.lm_head.weight is model.shared.weight
    task = MsMarcoDsi(sample(), type(TINY)(**record.options))
    with torch.no_grad():
        assert task.evaluate(model, "test").metrics == pytest.approx(record.metrics, abs=1e-6)


def test_a_checkpoint_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        MsMarcoDsi(sample(), replace(TINY, model=str(tmp_path / "none"))).build(0)
    assert "\n" not in str(caught.value) and "none" in str(caught.value) and "scratch" in str(caught.value)


def test_a_checkpoint_of_another_kind_is_refused(tmp_path: Path) -> None:
    from transformers import BertConfig

    BertConfig(hidden_size=16, num_attention_heads=2).save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="not a T5"):
        MsMarcoDsi(sample(), replace(TINY, model=str(tmp_path))).build(0)


# Real data


@pytest.mark.data
@pytest.mark.skipif(not REAL.is_dir(), reason="MS MARCO is not at hand")
def test_the_real_subset_indexes_what_dev_and_train_queries_need() -> None:
    task = MsMarcoDsi(Folder(REAL), MsMarcoDsi.presets["small"].options)
    found = task.identity()
    assert found.kind == "subset"
    assert found.counts["passages"] >= 5_000 and found.counts["dev queries"] == 779
    assert found.counts["train queries"] == 3_126
    (bm25,) = task.references()
    assert bm25.metrics["AP"] > 0.6
    batch = next(task.batches("train", seed=0, size=256))
    assert batch["input_ids"].shape[1] <= task.options.input_length
