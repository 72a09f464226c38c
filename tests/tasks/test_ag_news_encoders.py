"""AG News with encoders: a small transformer from scratch, and pretrained ones."""

from __future__ import annotations

from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from bench.api import Execution, Silent, execute
from bench.checks.task import check_task
from bench.data import Folder, Memory
from bench.errors import UsageError
from bench.grid import Request
from bench.measure.flops import dense_flops
from bench.plan import make, presets_of
from bench.rebuild import plan_of
from bench.store import Store
from tasks.ag_news import AgNews, AgNewsOptions, CheckpointOptions, TransformerOptions
from tests.tasks.ag_news_transformer import Transformer

LENGTHS = [1, 3, 7, 2, 12, 5, 1, 9, 4, 4, 6]
"""Words of each text of ``small``; text i is "w<i>" and so many "and" less one."""


def small(options: TransformerOptions | CheckpointOptions) -> AgNews:
    rows = [f'"{i % 4 + 1}","","{" ".join([f"w{i}", *["and"] * (n - 1)])}"\n' for i, n in enumerate(LENGTHS)]
    content = "".join(rows).encode()
    return AgNews(Memory("ag-news", {"train.csv": content, "test.csv": content}), options)


def tiny(**changed: object) -> TransformerOptions:
    given = {"length": 8, "layers": 1, "d_model": 8, "heads": 2, "d_ff": 12, "min_frequency": 1, **changed}
    return TransformerOptions(**given)  # type: ignore[arg-type]


def built(task: AgNews, seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return task.build(seed)


# Presets


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (None, AgNewsOptions),
        ("embedding-bag", AgNewsOptions),
        ("transformer", TransformerOptions),
        ("minilm", CheckpointOptions),
        ("some/encoder", CheckpointOptions),
    ],
)
def test_each_model_has_the_options_and_schedules_of_its_own(model: str | None, options: type) -> None:
    presets = presets_of(AgNews, model)
    assert {type(preset.options) for preset in presets.values()} == {options}
    assert {"smoke", "small"} <= presets.keys()


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"length": 2}, "length is 2"),
        ({"heads": 3}, "3 heads do not divide a d_model of 8"),
        ({"layers": 0}, "layers is 0"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"pooling": "max"}, "no pooling 'max'. There is: mean, cls"),
    ],
)
def test_options_that_cannot_be_are_refused(changed: dict[str, object], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        tiny(**changed)


# Batches


def test_texts_stand_between_cls_and_sep_and_the_mask_marks_what_is_no_padding() -> None:
    task = small(tiny())
    batch = next(iter(task.batches("test", seed=0, size=3)))
    ids, there = batch["input_ids"], batch["attention_mask"]
    # Specials are 0 to 3 ([PAD], <unk>, [CLS], [SEP]); 4 is "and", the most frequent word; 5 and on are the "w<i>" in
    # code point order: w0, w1, w10, w2. The third text has 7 words, of which 6 fit between [CLS] and [SEP].
    assert ids.tolist() == [[2, 5, 3, 0, 0, 0, 0, 0], [2, 6, 4, 4, 3, 0, 0, 0], [2, 8, 4, 4, 4, 4, 4, 3]]
    assert there.sum(1).tolist() == [3, 5, 8]
    assert torch.equal(there.bool(), ids != 0)
    assert batch["labels"].tolist() == [0, 1, 2]


def test_an_epoch_holds_every_text_once_in_as_many_batches_as_its_size_asks_for() -> None:
    task = small(tiny(length=20))
    batches = list(islice(task.batches("train", seed=1, size=4), 6))
    for epoch in (batches[:3], batches[3:]):
        assert sorted(len(batch["labels"]) for batch in epoch) == [3, 4, 4]
        assert sorted(int(row[1]) for batch in epoch for row in batch["input_ids"]) == list(range(5, 16))


def test_texts_of_similar_length_go_together() -> None:
    task = small(tiny(length=20))
    spans = [batch["attention_mask"].sum(1) for batch in islice(task.batches("train", seed=1, size=4), 3)]
    # 11 texts make one pool: sorted by length, their three batches do not overlap in length.
    spans.sort(key=lambda lengths: int(lengths.max()))
    assert all(int(a.max()) <= int(b.min()) for a, b in pairwise(spans))


def test_padding_changes_no_output() -> None:
    task = small(tiny())
    for pooling in ("mean", "cls"):
        task = small(tiny(pooling=pooling))
        model = built(task).eval()
        together = next(iter(task.batches("test", seed=0, size=11)))
        alone = [task.forward(model, batch) for batch in task.batches("test", seed=0, size=1)]
        torch.testing.assert_close(task.forward(model, together), torch.cat(alone))


def test_cut_texts_are_counted_in_the_records_notes() -> None:
    task = small(tiny())
    found = task.evaluate(built(task).eval(), "test")
    # Between [CLS] and [SEP] six words fit: 7, 12 and 9 are too long.
    assert found.notes["truncated_texts"] == {"train": 3, "test": 3}


def test_values_come_in_file_order_whatever_the_order_of_evaluation() -> None:
    task = small(tiny())
    model = built(task).eval()
    found = task.evaluate(model, "test")
    (batch,) = task.batches("test", seed=0, size=11)
    with torch.no_grad():
        logits = task.forward(model, batch)
    apart = torch.nn.functional.cross_entropy(logits, batch["labels"], reduction="none")
    np.testing.assert_allclose(found.examples["loss"], apart.numpy(), rtol=1e-5)


# Model


@pytest.mark.parametrize("embeddings", [False, True])
def test_prunable_are_the_encoders_matrices_and_the_table_where_asked(embeddings: bool) -> None:
    task = small(tiny(prune_embeddings=embeddings))
    model = built(task)
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    # Four 8 x 8 projections and two 8 x 12 feed-forward matrices; 16 ids of 8 numbers.
    assert sum(sizes[name] for name in task.prunable(model)) == 4 * 64 + 2 * 96 + embeddings * 16 * 8
    assert ("encoder.embeddings.word_embeddings.weight" in task.prunable(model)) is embeddings


def test_flops_are_those_of_the_greatest_length_by_hand() -> None:
    task = small(tiny())
    model = built(task).eval()
    # Per token the matrices (4 x 64 + 2 x 96) and QK^T and AV (2 x 8 x 8); and once the classifier, 8 x 4.
    by_hand = 2 * (8 * (4 * 64 + 2 * 96 + 2 * 8 * 8) + 8 * 4)
    assert dense_flops(model, lambda: task.forward(model, task.example())).total == by_hand


def test_heads_and_neurons_are_offered_and_an_embedding_bag_has_none() -> None:
    task = small(tiny())
    assert task.couplings is not None
    assert [(unit.kind, unit.units) for unit in task.couplings(built(task))] == [("rows", 12), ("heads", 2)]
    bag = AgNews(Memory("ag-news", AgNews.sample()), AgNewsOptions())
    assert getattr(bag, "couplings", None) is None


@pytest.mark.slow
def test_the_transformer_keeps_the_contract_of_tasks() -> None:
    assert [finding.problem for finding in check_task(Transformer) if not finding.ok] == []


# Pretrained


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A folder with a drawn BERT of 8 numbers a token and a word-piece tokenizer."""
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "and", "w", "##0", "##1", "##2"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer", "do_lower_case": true}')
    torch.manual_seed(3)
    BertModel(
        BertConfig(
            vocab_size=len(words),
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=12,
            max_position_embeddings=16,
        )
    ).save_pretrained(tmp_path)
    return tmp_path


def test_a_folder_gives_weights_and_word_pieces_and_is_known_by_its_content(checkpoint: Path) -> None:
    task = small(CheckpointOptions(model=str(checkpoint), length=8))
    known = task.checkpoint()
    assert known is not None and len(known.digest) == 64
    batch = next(iter(task.batches("test", seed=0, size=2)))
    # [CLS] w ##0 [SEP], and [CLS] w ##1 and and [SEP]
    assert batch["input_ids"].tolist() == [[2, 6, 7, 3, 0, 0], [2, 6, 8, 5, 5, 3]]
    model = built(task)
    theirs = BertModel.from_pretrained(checkpoint).get_input_embeddings().weight
    assert torch.equal(model.get_parameter("encoder.embeddings.word_embeddings.weight"), theirs)
    # One piece more than a text has words: of those with 6 words or more (7, 12, 9, 6) an end is cut off.
    assert task.evaluate(model.eval(), "test").notes["truncated_texts"]["test"] == 4


def test_a_checkpoint_with_too_few_positions_is_refused(checkpoint: Path) -> None:
    with pytest.raises(UsageError, match="16 positions, fewer than 17"):
        built(small(CheckpointOptions(model=str(checkpoint), length=17)))


# In a grid

TINY = (
    "length=12",
    "layers=1",
    "d_model=8",
    "heads=2",
    "d_ff=12",
    "train.steps=2",
    "recover.steps=1",
    "train.warmup=0",
)


@pytest.mark.parametrize("structure", ["weights", "heads"])
def test_a_grid_cuts_the_transformer_and_its_records_lead_back_to_the_same_cells(
    structure: str, tmp_path: Path
) -> None:
    settings = dict(setting.split("=") for setting in TINY)
    request = Request(
        ("ag-news",), ("magnitude",), (0.5,), models=("transformer",), structure=structure, settings=settings,
        data="sample",
    )  # fmt: skip
    plan, store = make(request), Store(tmp_path, create=True)
    execute(plan, store, Execution("cpu", 1), "float32", Silent())
    dense, cut = (store.record(cell.key) for cell in plan.cells)
    assert dense is not None and cut is not None
    assert (dense.status, cut.status, cut.model, cut.sparsity) == ("done", "done", "transformer", 0.5)
    assert cut.notes["truncated_texts"]["test"] > 0
    assert [cell.key for cell in plan_of(cut).cells] == [cut.key]


# The embedded sample and the real data


def trained(task: AgNews, cut: float = 0.0, steps: int | None = None) -> float:
    """Test accuracy after the smoke preset's training (or its first ``steps``), with a random share ``cut`` of the
    prunable weights at zero."""
    schedule = AgNews.presets_of("transformer")["smoke"].train.resolved(task.examples())
    model = built(task)
    parameters = dict(model.named_parameters())
    generator = torch.Generator().manual_seed(0)
    masks = {name: torch.rand(parameters[name].shape, generator=generator) >= cut for name in task.prunable(model)}
    optimizer = torch.optim.AdamW(model.parameters(), lr=schedule.lr)
    batches = islice(
        task.batches("train", seed=0, size=schedule.batch_size), schedule.length if steps is None else steps
    )
    for step, batch in enumerate(batches):
        for name, mask in masks.items():
            parameters[name].data *= mask
        optimizer.param_groups[0]["lr"] = schedule.rate(step)
        optimizer.zero_grad()
        task.loss(task.forward(model, batch), batch).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    for name, mask in masks.items():
        parameters[name].data *= mask
    return task.evaluate(model.eval(), "test").metrics["accuracy"]


@pytest.mark.slow
def test_the_transformer_learns_the_sample_and_its_accuracy_falls_with_sparsity() -> None:
    task = AgNews(Memory("ag-news", AgNews.sample()), AgNews.presets_of("transformer")["smoke"].options)
    dense, most = trained(task), trained(task, cut=0.995)
    assert dense > 0.85
    assert 0.3 < most < dense - 0.05
    # [CLS] knows the texts by the attention alone: without it no training tells one from another.
    assert trained(task, cut=1.0, steps=3) == pytest.approx(0.25, abs=0.01)


@pytest.mark.data
def test_few_real_articles_are_longer_than_the_small_presets_take(real_data: Path) -> None:
    task = AgNews(Folder(real_data / "ag_news_csv"), AgNews.presets_of("transformer")["small"].options)
    cut = task.classifier.facts()["truncated_texts"]
    assert 0 < cut["test"] < 0.1 * 7_600
    assert 0 < cut["train"] < 0.1 * 49_769
