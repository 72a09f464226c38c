"""The AG News task: reading, batches, model, evaluation and the embedded sample."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import lzma
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from bench.data import Files, Folder, Memory
from bench.errors import DataError, UsageError
from tasks.ag_news import AgNews, AgNewsOptions
from tasks.ag_news.bag import Bag
from tasks.ag_news.model import EmbeddingBagClassifier
from tasks.ag_news.reader import read_articles
from tasks.text import Vocabulary

ROOT = Path(__file__).resolve().parents[2]
GOOD = b'"3","Oil up","Prices rose."\n'


def memory(train: bytes = GOOD, test: bytes = GOOD) -> Memory:
    return Memory("ag-news", {"train.csv": train, "test.csv": test})


@pytest.fixture(scope="module")
def sampled() -> AgNews:
    return AgNews(Memory("ag-news", AgNews.sample()), AgNewsOptions())


def small(rows: int = 10) -> AgNews:
    """Texts that name their row, so that a batch tells which it holds: row i is ``w<i>`` and up to two ``and``."""
    content = "".join(f'"{i % 4 + 1}","w{i}","{"and " * (i % 3)}"\n' for i in range(rows)).encode()
    return AgNews(memory(content, content), AgNewsOptions())


def vocabulary(task: AgNews) -> Vocabulary:
    assert isinstance(task.classifier, Bag)
    return task.classifier.corpus.vocabulary


def texts(task: AgNews, batch: dict[str, torch.Tensor]) -> list[str]:
    """The texts of a batch."""
    ends = [*batch["offsets"].tolist()[1:], len(batch["tokens"])]
    words = [vocabulary(task).tokens[token] for token in batch["tokens"].tolist()]
    return [" ".join(words[a:b]) for a, b in zip(batch["offsets"].tolist(), ends, strict=True)]


# Reading


def test_title_and_description_are_joined_and_an_empty_title_leaves_no_space() -> None:
    rows = b'"1","A ""quoted"" title","and, more"\n"4","","Only this"\n'
    read = read_articles(memory(rows), "train.csv")
    assert read.texts == ('A "quoted" title and, more', "Only this")
    assert list(read.labels) == [0, 3]


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (b'"1","title"\n', "2 columns where 3 belong"),
        (b'"1","a","b","c"\n', "4 columns where 3 belong"),
        (b"\n", "0 columns where 3 belong"),
        (b'"5","a","b"\n', "class '5' where 1, 2, 3 or 4 belongs"),
        (b'"0","a","b"\n', "class '0' where"),
        (b'"two","a","b"\n', "class 'two' where"),
        (b'"1","a","b"x\n', "not a CSV row"),
        (b'"1","a","never closed\n', "not a CSV row"),
        (b'"1","a","\xff"\n', "invalid UTF-8"),
    ],
)
def test_a_malformed_row_is_named_by_file_and_line(row: bytes, complaint: str) -> None:
    with pytest.raises(DataError) as caught:
        AgNews(memory(train=GOOD + GOOD + row), AgNewsOptions()).examples()
    assert complaint in str(caught.value)
    assert "train.csv, line 3:" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_row_after_a_field_of_two_lines_has_its_line_in_the_file() -> None:
    with pytest.raises(DataError, match=r"line 3:"):
        read_articles(memory(b'"1","a","two\nlines"\n"9","a","b"\n'), "train.csv")


def test_an_empty_file_is_an_error() -> None:
    with pytest.raises(DataError, match=r"test\.csv: the file has no rows"):
        AgNews(memory(test=b""), AgNewsOptions()).identity()


def test_compressed_files_are_the_same_data(tmp_path: Path) -> None:
    for folder, suffix, pack in (("plain", "", bytes), ("packed", ".xz", lzma.compress)):
        (tmp_path / folder).mkdir()
        for name, content in AgNews.sample().items():
            (tmp_path / folder / (name + suffix)).write_bytes(pack(content))
    plain, packed = (AgNews(Folder(tmp_path / folder), AgNewsOptions()).identity() for folder in ("plain", "packed"))
    assert plain == packed
    assert plain.kind == "subset"


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress)])
@pytest.mark.parametrize("harm", ["cut", "changed"])
def test_a_damaged_archive_is_named_before_any_of_its_rows(
    suffix: str, pack: Callable[[bytes], bytes], harm: str, tmp_path: Path
) -> None:
    content = AgNews.sample()
    (tmp_path / "test.csv").write_bytes(content["test.csv"])
    packed = bytearray(pack(content["train.csv"]))
    half = len(packed) // 2
    packed[half:] = b"" if harm == "cut" else bytes([packed[half] ^ 255]) + packed[half + 1 :]
    (tmp_path / f"train.csv{suffix}").write_bytes(packed)
    with pytest.raises(DataError) as caught:
        AgNews(Folder(tmp_path), AgNewsOptions()).examples()
    said = re.search(
        r"train\.csv\S+: the compressed file is damaged or cut short after byte (\d+) of its", str(caught.value)
    )
    assert said is not None and int(said[1]) <= len(content["train.csv"])


def test_options_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="no embedding bag 'lstm'"):
        AgNewsOptions(model="lstm")
    with pytest.raises(UsageError, match="embedding_size is 0"):
        AgNewsOptions(embedding_size=0)


def test_identity_and_examples_import_neither_torch_nor_numpy() -> None:
    code = (
        "import sys; from bench.data import Memory; from tasks.ag_news import AgNews, AgNewsOptions\n"
        "task = AgNews(Memory('ag-news', AgNews.sample()), AgNewsOptions())\n"
        "print(task.identity().kind, task.examples(), 'torch' in sys.modules, 'numpy' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert done.stdout.split() == ["sample", "2000", "False", "False"]


# Batches


def test_each_epoch_holds_every_example_once_in_an_order_of_its_own() -> None:
    task = small(10)
    batches = list(islice(task.batches("train", seed=1, size=4), 6))
    assert [len(batch["labels"]) for batch in batches] == [4, 4, 2, 4, 4, 2]
    epochs = [[text for batch in half for text in texts(task, batch)] for half in (batches[:3], batches[3:])]
    once = Counter(" ".join([f"w{i}", *["and"] * (i % 3)]) for i in range(10))
    assert Counter(epochs[0]) == Counter(epochs[1]) == once
    assert epochs[0] != epochs[1]


def test_labels_stay_with_their_texts() -> None:
    task = small(10)
    for batch in islice(task.batches("train", seed=2, size=3), 8):
        for text, label in zip(texts(task, batch), batch["labels"].tolist(), strict=True):
            assert label == int(text.split()[0][1:]) % 4


@pytest.mark.parametrize("start", [0, 1, 2, 3, 7])
def test_starting_at_a_batch_is_skipping_those_before(start: int) -> None:
    task = small(10)
    skipped = islice(task.batches("train", seed=3, size=4), start, start + 5)
    for one, other in zip(skipped, islice(task.batches("train", seed=3, size=4, start=start), 5), strict=True):
        assert all(torch.equal(one[name], other[name]) for name in ("tokens", "offsets", "labels"))


def test_another_seed_is_another_order() -> None:
    task = small(50)
    first, second = (next(iter(task.batches("train", seed=seed, size=50))) for seed in (0, 1))
    assert texts(task, first) != texts(task, second)


def test_test_batches_are_one_pass_in_file_order() -> None:
    task = small(5)
    read = [text for batch in task.batches("test", seed=9, size=2) for text in texts(task, batch)]
    assert [text.split()[0] for text in read] == ["w0", "w1", "w2", "w3", "w4"]
    assert len(list(task.batches("test", seed=9, size=2, start=2))) == 1


# Model


def bag(dtype: torch.dtype = torch.float64) -> tuple[EmbeddingBagClassifier, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    model = EmbeddingBagClassifier(vocabulary=7, size=3, classes=4).to(dtype)
    return model, torch.tensor([1, 2, 2, 6, 0, 5]), torch.tensor([0, 3, 3])


def test_logits_and_gradients_are_those_of_torchs_embedding_bag_with_an_empty_text_among_them() -> None:
    model, tokens, offsets = bag()
    labels = torch.tensor([0, 1, 2])
    reference = model.fc(functional.embedding_bag(tokens, model.embedding.weight, offsets, mode="mean"))
    torch.testing.assert_close(model(tokens, offsets), reference)
    weights = list(model.parameters())
    ours = torch.autograd.grad(functional.cross_entropy(model(tokens, offsets), labels), weights)
    theirs = torch.autograd.grad(functional.cross_entropy(reference, labels), weights)
    torch.testing.assert_close(ours, theirs)


def test_the_loss_has_second_derivatives_with_respect_to_the_linear_layer_and_the_table() -> None:
    model, tokens, offsets = bag()
    task, labels = small(), torch.tensor([3, 1, 2])

    def loss(table: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        values = {"embedding.weight": table, "fc.weight": weight}
        return task.loss(torch.func.functional_call(model, values, (tokens, offsets)), {"labels": labels})

    assert torch.autograd.gradgradcheck(loss, (model.embedding.weight, model.fc.weight))


def test_initial_weights_lie_in_half_a_unit_around_zero_and_follow_the_generator(sampled: AgNews) -> None:
    models = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        models.append(sampled.build(seed))
    first, same, other = (dict(model.named_parameters()) for model in models)
    assert list(first) == ["embedding.weight", "fc.weight", "fc.bias"]
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["fc.weight"], other["fc.weight"])
    table = first["embedding.weight"]
    assert table.shape == (len(vocabulary(sampled)), 64)
    # U(-0.5, 0.5) has the standard deviation 1/sqrt(12).
    assert 0.499 < table.abs().max() <= 0.5
    assert abs(table.std() - 12**-0.5) < 0.005
    assert torch.equal(first["fc.bias"], torch.zeros(4))


def test_only_the_linear_layers_256_weights_are_prunable_unless_embeddings_are_asked_for(sampled: AgNews) -> None:
    model = sampled.build(0)
    parameters = dict(model.named_parameters())
    assert [parameters[name].numel() for name in sampled.prunable(model)] == [256]
    asked = AgNews(sampled.files, AgNewsOptions(prune_embeddings=True))
    assert asked.prunable(model) == ("embedding.weight", "fc.weight")


def test_the_example_is_one_article_of_the_mean_length(sampled: AgNews) -> None:
    example = sampled.example()
    assert len(example["tokens"]) == 43
    assert sampled.forward(sampled.build(0), example).shape == (1, 4)


# Evaluation


def test_metrics_are_the_means_of_the_examples_and_accuracy_is_that_of_torchmetrics(sampled: AgNews) -> None:
    from torchmetrics.classification import MulticlassAccuracy

    torch.manual_seed(0)
    model = sampled.build(0)
    found = sampled.evaluate(model, "test")
    (batch,) = sampled.batches("test", seed=0, size=1000)
    with torch.no_grad():
        logits = sampled.forward(model, batch)
    accuracy = MulticlassAccuracy(num_classes=4, average="micro")(logits, batch["labels"])
    assert found.n == 1000 == len(found.examples["accuracy"]) == len(found.examples["loss"])
    assert found.metrics["accuracy"] == pytest.approx(accuracy.item())
    assert found.metrics["loss"] == pytest.approx(sampled.loss(logits, batch).item(), rel=1e-6)
    for name, values in found.examples.items():
        assert values.dtype == np.float32
        assert found.metrics[name] == pytest.approx(values.mean(dtype=np.float64))


# The embedded sample


def rows(files: Files, name: str) -> list[list[str]]:
    return list(csv.reader(io.TextIOWrapper(files.open(name), encoding="utf-8", newline="")))


def test_the_sample_is_the_same_bytes_every_time() -> None:
    digests = {name: hashlib.sha256(content).hexdigest()[:16] for name, content in AgNews.sample().items()}
    assert digests == {
        "train.csv": "e601cc4c00e64e6a",
        "test.csv": "69c7e782c891b5f5",
        "classes.txt": "612dbfa932f07a6e",
    }


def test_the_sample_has_the_official_format_and_balanced_classes(sampled: AgNews) -> None:
    assert sampled.identity().counts == {"train": 2000, "test": 1000}
    assert Counter(row[0] for row in rows(sampled.files, "train.csv")) == dict.fromkeys("1234", 500)
    assert not {row[2] for row in rows(sampled.files, "train.csv")} & {
        row[2] for row in rows(sampled.files, "test.csv")
    }


def trained(task: AgNews, mask: torch.Tensor | None = None) -> float:
    """Test accuracy after the smoke preset's training, with ``mask`` held on the linear layer."""
    schedule = task.presets["smoke"].train.resolved(task.examples())
    torch.manual_seed(0)
    model = task.build(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=schedule.lr)
    weight = model.get_parameter("fc.weight")
    for batch in islice(task.batches("train", seed=0, size=schedule.batch_size), schedule.length):
        optimizer.zero_grad()
        weight.data *= 1 if mask is None else mask
        task.loss(task.forward(model, batch), batch).backward()
        optimizer.step()
    weight.data *= 1 if mask is None else mask
    return task.evaluate(model, "test").metrics["accuracy"]


def test_the_sample_is_learnable_and_accuracy_falls_with_sparsity(sampled: AgNews) -> None:
    generator = torch.Generator().manual_seed(0)
    order = torch.rand(4, 64, generator=generator)
    dense = trained(sampled)
    five = trained(sampled, order >= order.flatten().topk(5).values[-1])
    none = trained(sampled, torch.zeros(4, 64))
    assert 0.85 < dense < 0.95
    assert five < dense - 0.03
    assert none == pytest.approx(0.25)  # no weight is left: one class for all, and the four are equally frequent


# The real data


@pytest.mark.data
def test_the_real_files_have_all_their_rows_and_the_classes_that_their_readme_counts(real_data: Path) -> None:
    task = AgNews(Folder(real_data / "ag_news_csv"), AgNewsOptions())
    identity = task.identity()
    assert (identity.kind, dict(identity.counts)) == ("subset", {"train": 49_769, "test": 7_600})
    assert task.examples() == 49_769
    labels = Counter(read_articles(task.files, "train.csv").labels)
    assert [labels[label] for label in range(4)] == [12_329, 12_385, 12_555, 12_500]
    assert Counter(read_articles(task.files, "test.csv").labels) == dict.fromkeys(range(4), 1_900)
    assert vocabulary(task).tokens[:3] == ("<unk>", ".", "the")
    (batch,) = task.batches("test", seed=0, size=7_600)
    assert len(batch["tokens"]) / 7_600 == pytest.approx(43.04, abs=0.005)
