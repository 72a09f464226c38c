"""The networks for MNIST, what of them is pruned and removed, and the embedded sample."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import islice, pairwise

import pytest
import torch
from torch import Tensor

from bench.data import Memory
from bench.errors import UsageError
from bench.masks import compact
from bench.masks.exact import apply_
from bench.masks.units import masks
from tasks.mnist import Mnist, MnistOptions


@pytest.fixture(scope="module")
def sampled() -> Mnist:
    return Mnist(Memory("mnist", Mnist.sample()), MnistOptions())


def of(task: Mnist, model: str) -> Mnist:
    return Mnist(task.files, MnistOptions(model))


@pytest.mark.parametrize(
    ("model", "widths"),
    [("lenet-300-100", (784, 300, 100, 10)), ("fc", (784, 100, 100, 100, 100, 100, 10))],
)
def test_each_model_has_the_layers_of_its_name_and_all_their_weights_are_prunable(
    sampled: Mnist, model: str, widths: Sequence[int]
) -> None:
    task = of(sampled, model)
    made = task.build(0)
    shapes = [tuple(made.get_parameter(name).shape) for name in task.prunable(made)]
    assert shapes == [(after, before) for before, after in pairwise(widths)]
    biases = sum(widths[1:])
    assert sum(parameter.numel() for parameter in made.parameters()) == sum(a * b for a, b in shapes) + biases
    assert task.forward(made, task.example()).shape == (1, 10)


def test_weights_follow_torchs_generator(sampled: Mnist) -> None:
    made = []
    for seed in (5, 5, 6):
        torch.manual_seed(seed)
        made.append(sampled.build(seed).get_parameter("fc1.weight"))
    assert torch.equal(made[0], made[1])
    assert not torch.equal(made[0], made[2])


@pytest.mark.parametrize("model", ["lenet-300-100", "fc"])
def test_a_network_without_its_masked_neurons_gives_the_same_outputs(sampled: Mnist, model: str) -> None:
    torch.manual_seed(0)
    task = of(sampled, model)
    made = task.build(0).eval()
    couplings = task.couplings(made)
    kept = {one.name: torch.arange(one.units) % 3 != place % 3 for place, one in enumerate(couplings)}
    parameters = dict(made.named_parameters())
    found = masks(kept, couplings, {name: tuple(values.shape) for name, values in parameters.items()})
    apply_(parameters, found)
    small = compact.compact(made, found, couplings, task)
    batch = next(task.batches("test", seed=0, size=64))
    torch.testing.assert_close(task.forward(small, batch), task.forward(made, batch), atol=1e-5, rtol=0)
    assert [one.units for one in couplings] == [300, 100] if model != "fc" else [100] * 5
    assert small.get_submodule("fc2").in_features == int(kept["fc1"].sum())


def test_a_model_that_there_is_not_is_refused() -> None:
    with pytest.raises(UsageError, match="no model 'resnet20'"):
        MnistOptions(model="resnet20")


def test_the_paper_preset_is_the_sources_ten_epochs_on_fc() -> None:
    preset = Mnist.presets["paper"]
    assert preset.options.model == "fc"
    assert preset.train.resolved(60_000).length == 10 * 938
    assert (preset.train.optimizer, preset.train.batch_size) == ("adam", 64)


# The embedded sample


def test_the_sample_is_the_same_bytes_every_time() -> None:
    digest = hashlib.sha256()
    for name, content in sorted(Mnist.sample().items()):
        digest.update(name.encode() + content)
    assert digest.hexdigest()[:16] == "0ff80804031adf52"


def test_the_sample_has_all_classes_equally_and_no_picture_twice(sampled: Mnist) -> None:
    assert dict(sampled.identity().counts) == {"train": 2500, "test": 1000}
    assert sampled.identity().kind == "sample"
    train, test = (sampled._images[split] for split in ("train", "test"))
    assert [train.labels.count(digit) for digit in range(10)] == [250] * 10
    assert [test.labels.count(digit) for digit in range(10)] == [100] * 10
    pictures = [split.pixels[0][at : at + 784] for split in (train, test) for at in range(0, len(split) * 784, 784)]
    assert len(set(pictures)) == 3500


def trained(task: Mnist, density: float) -> float:
    """Top-1 accuracy after the smoke preset's training with a random mask of this density on every layer."""
    schedule = task.presets["smoke"].train.resolved(task.examples())
    torch.manual_seed(0)
    model = task.build(0)
    weights = {name: model.get_parameter(name) for name in task.prunable(model)}
    kept: dict[str, Tensor] = {name: torch.rand(weight.shape) < density for name, weight in weights.items()}
    optimizer = torch.optim.Adam(model.parameters(), lr=schedule.lr, fused=True)
    for step, batch in enumerate(islice(task.batches("train", seed=0, size=schedule.batch_size), schedule.length)):
        optimizer.param_groups[0]["lr"] = schedule.rate(step)
        apply_(weights, kept)
        optimizer.zero_grad()
        task.loss(task.forward(model, batch), batch).backward()
        optimizer.step()
    apply_(weights, kept)
    return task.evaluate(model.eval(), "test").metrics["top-1"]


def test_the_sample_is_learnable_and_accuracy_falls_with_sparsity(sampled: Mnist) -> None:
    dense, sparse = trained(sampled, 1.0), trained(sampled, 0.02)
    assert 0.85 < dense < 0.95
    assert sparse < dense - 0.2
