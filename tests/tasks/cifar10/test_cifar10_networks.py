"""The networks for CIFAR-10: sizes, initial weights, shortcuts, batch norms, and filters that can be removed."""

from __future__ import annotations

import hashlib
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from bench.data import Memory
from bench.errors import UsageError
from bench.masks import compact
from bench.masks.exact import apply_
from bench.masks.units import masks
from tasks.cifar10 import Cifar10, Cifar10Options
from tasks.cifar10.models import Block, Padding, build
from tasks.cifar10.task import MODELS

CONVS = {
    "conv": 3 * 32 * 9 + 32 * 32 * 9,
    # 13 convolutions: 64 64 | 128 128 | 256 x 3 | 512 x 3 | 512 x 3
    "vgg16-bn": 9 * (3 * 64 + 64 * 64 + 64 * 128 + 128**2 + 128 * 256 + 2 * 256**2 + 256 * 512 + 5 * 512**2),
    # 19 convolutions: the first, 6 of 16, then 6 of 32 and 6 of 64 whose first reads half as many channels
    "resnet20": 9 * (3 * 16 + 6 * 16**2 + 16 * 32 + 5 * 32**2 + 32 * 64 + 5 * 64**2),
    # 17 convolutions of 3 x 3 and 3 shortcuts of 1 x 1
    "resnet18": 9 * (3 * 64 + 4 * 64**2 + sum(w // 2 * w + 3 * w**2 for w in (128, 256, 512)))
    + sum(w // 2 * w for w in (128, 256, 512)),
}
NORMED = {
    "conv": 0,
    "vgg16-bn": 2 * 64 + 2 * 128 + 3 * 256 + 6 * 512,
    "resnet20": 7 * 16 + 6 * 32 + 6 * 64,
    "resnet18": 5 * 64 + 5 * (128 + 256 + 512),
}
"""Channels under batch norms."""
LINEAR = {"conv": 32 * 1024, "vgg16-bn": 512, "resnet20": 64, "resnet18": 512}
"""Inputs of the classifier."""
PUBLISHED = {"vgg16-bn": 14.7e6, "resnet20": 0.27e6, "resnet18": 11.2e6}
"""Parameters, as Liu et al. 2019, He et al. 2016 (table 6) and common CIFAR ports give them."""


@pytest.fixture(scope="module")
def sampled() -> Cifar10:
    return Cifar10(Memory("cifar10", Cifar10.sample()), Cifar10Options())


def narrow(task: Cifar10, model: str, width: int = 4) -> Cifar10:
    return Cifar10(task.files, Cifar10Options(model, width))


def awake(task: Cifar10) -> nn.Module:
    """A model whose norms have statistics and scales of their own, in eval mode."""
    torch.manual_seed(0)
    model = task.build(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    with torch.no_grad():
        for batch in [next(task.batches("train", seed=seed, size=32)) for seed in range(2)]:
            task.forward(model, batch)
    return model.eval()


@pytest.mark.parametrize("model", MODELS)
def test_parameters_are_as_counted_by_hand_and_as_published(sampled: Cifar10, model: str) -> None:
    made = build(model, 0)
    linear = LINEAR[model] * 10
    biases = 10 + (64 if model == "conv" else 0)
    parameters = {name: parameter.numel() for name, parameter in made.named_parameters()}
    assert sum(parameters.values()) == CONVS[model] + 2 * NORMED[model] + linear + biases
    if model in PUBLISHED:
        assert sum(parameters.values()) == pytest.approx(PUBLISHED[model], rel=0.02)
    task = Cifar10(sampled.files, Cifar10Options(model))
    assert sum(parameters[name] for name in task.prunable(made)) == CONVS[model] + linear


@pytest.mark.parametrize("model", MODELS)
def test_prunable_are_the_weights_of_convolutions_and_linear_layers_in_model_order(
    sampled: Cifar10, model: str
) -> None:
    task = narrow(sampled, model)
    made = task.build(0)
    offered = list(task.prunable(made))
    assert offered == [name for name, parameter in made.named_parameters() if parameter.dim() > 1]
    assert offered[-1] == "classifier.weight"
    assert task.forward(made, task.example()).shape == (1, 10)


@pytest.mark.parametrize("model", ["vgg16-bn", "resnet20", "resnet18"])
def test_initial_weights_have_the_standard_deviation_of_he(model: str) -> None:
    torch.manual_seed(0)
    made = build(model, 0)
    for name, module in made.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear) and module.weight.numel() > 2_000:
            inputs = module.weight[0].numel()
            assert float(module.weight.detach().std()) == pytest.approx(math.sqrt(2 / inputs), rel=0.06), name
        if isinstance(module, nn.BatchNorm2d):
            assert bool((module.weight == 1).all() and (module.bias == 0).all())


def test_shortcut_a_takes_every_second_place_and_adds_channels_of_zeros() -> None:
    inputs = torch.randn(2, 3, 6, 6)
    found = Padding(2, 2)(inputs)
    assert torch.equal(found[:, :3], inputs[:, :, ::2, ::2])
    assert torch.equal(found[:, 3:], torch.zeros(2, 2, 3, 3))


def test_a_block_adds_its_input_before_the_last_relu() -> None:
    torch.manual_seed(0)
    block = Block(4, 4, 1, project=False).eval()
    inputs = torch.randn(2, 4, 5, 5)
    # Fresh norms leave values as they are, but for their epsilon.
    scale = 1 / math.sqrt(1 + 1e-5)
    hidden = functional.relu(functional.conv2d(inputs, block.conv1.weight, padding=1) * scale)
    wanted = functional.relu(functional.conv2d(hidden, block.conv2.weight, padding=1) * scale + inputs)
    torch.testing.assert_close(block(inputs), wanted)


def test_only_resnet18_has_weights_in_its_shortcuts() -> None:
    shortcuts = {
        model: [name for name, _ in build(model, 4).named_parameters() if "shortcut.conv" in name] for model in MODELS
    }
    assert {model: len(names) for model, names in shortcuts.items()} == {
        "conv": 0,
        "vgg16-bn": 0,
        "resnet20": 0,
        "resnet18": 3,
    }


@pytest.mark.parametrize("model", MODELS)
def test_a_network_without_its_masked_filters_gives_the_same_outputs(sampled: Cifar10, model: str) -> None:
    task = narrow(sampled, model, 8)
    made = awake(task)
    couplings = task.couplings(made)
    kept = {one.name: torch.arange(one.units) % 3 != place % 3 for place, one in enumerate(couplings)}
    parameters = dict(made.named_parameters())
    found = masks(kept, couplings, {name: tuple(values.shape) for name, values in parameters.items()})
    apply_(parameters, found)
    small = compact.compact(made, found, couplings, task)
    batch = next(task.batches("test", seed=0, size=16))
    with torch.no_grad():
        torch.testing.assert_close(task.forward(small, batch), task.forward(made, batch), atol=1e-5, rtol=1e-5)
    assert sum(p.numel() for p in small.parameters()) < 0.8 * sum(p.numel() for p in made.parameters())


@pytest.mark.parametrize(("model", "layers"), [("conv", 2), ("vgg16-bn", 13), ("resnet20", 9), ("resnet18", 8)])
def test_filters_are_offered_of_every_plain_layer_and_of_the_first_convolution_of_each_block(
    sampled: Cifar10, model: str, layers: int
) -> None:
    task = narrow(sampled, model)
    assert len(task.couplings(task.build(0))) == layers


def test_options_that_cannot_be_are_refused() -> None:
    with pytest.raises(UsageError, match="no model 'lenet'"):
        Cifar10Options(model="lenet")
    with pytest.raises(UsageError, match="width is -1"):
        Cifar10Options(width=-1)


# The embedded sample


def test_the_sample_is_the_same_bytes_every_time() -> None:
    digest = hashlib.sha256()
    for name, content in sorted(Cifar10.sample().items()):
        digest.update(name.encode() + content)
    assert digest.hexdigest()[:16] == "9a602a9e9afeda89"


def test_the_sample_has_all_classes_equally(sampled: Cifar10) -> None:
    assert dict(sampled.identity().counts) == {"train": 2000, "test": 1000}
    assert sampled.identity().kind == "sample"
    for split, each in (("train", 200), ("test", 100)):
        assert [sampled._images[split].labels.count(kind) for kind in range(10)] == [each] * 10
