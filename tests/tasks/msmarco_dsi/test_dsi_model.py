"""The search index: model, loss, what is prunable, and that the sample is learned."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
import torch

from tasks.msmarco_dsi import MsMarcoDsi
from tests.tasks.msmarco_dsi.opening import TINY, opened, sample


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


@pytest.mark.slow
def test_the_smoke_preset_learns_and_needs_its_body() -> None:
    """Dense beats BM25, which sees no word order; with 2 % of the weights of its body it no longer does clearly."""
    preset = MsMarcoDsi.presets["smoke"]
    task = MsMarcoDsi(sample(), preset.options)
    dense, sparse = (_trained(task, preset.train, sparsity) for sparsity in (0.0, 0.98))
    (bm25,) = task.references()
    assert dense > bm25.metrics["AP"] + 0.15
    assert dense > sparse + 0.15


@pytest.mark.slow
def test_semantic_docids_are_learned_on_the_smoke_preset() -> None:
    """Better than BM25 and far above chance, as the other kinds are."""
    preset = MsMarcoDsi.presets["smoke"]
    task = MsMarcoDsi(sample(), replace(preset.options, docids="semantic"))
    (bm25,) = task.references()
    assert _trained(task, preset.train, 0.0) > bm25.metrics["AP"] + 0.1


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
