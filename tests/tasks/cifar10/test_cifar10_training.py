"""CIFAR-10 networks in training: batch norms in states and exports, channels-last weights, the paper's preset."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import bench
from bench.api import Silent
from bench.data import Memory
from bench.export import export
from bench.record import Record
from bench.state import State, capture, live_tensors, load, masked, restore, save
from bench.steps import Schedule
from bench.store import Store
from bench.train import Environment, train
from pruners.base import View
from pruners.criteria.grasp import Grasp
from pruners.criteria.snip import Snip
from pruners.criteria.synflow import SynFlow
from tasks.cifar10 import Cifar10, Cifar10Options
from tasks.cifar10.reader import ROW

CPU = Environment(seed=3, device=torch.device("cpu"))
SGD = {"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True}


def opened(model: str, width: int = 4) -> Cifar10:
    return Cifar10(Memory("cifar10", Cifar10.sample()), Cifar10Options(model, width))


def start(task: Cifar10) -> tuple[nn.Module, dict[str, Tensor]]:
    """A new model and masks that keep about half of each weight."""
    torch.manual_seed(1)
    model = task.build(1)
    weights = capture(model)
    masks = {name: torch.rand(weights[name].shape) < 0.5 for name in task.prunable(model)}
    restore(model, masked(weights, masks))
    return model, masks


def norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]


def strides(model: nn.Module) -> list[tuple[int, ...]]:
    return [parameter.stride() for parameter in model.parameters() if parameter.dim() == 4]


@pytest.mark.parametrize("settings", [{"optimizer": "adam", "lr": 1e-3}, SGD], ids=["adam", "nesterov"])
@pytest.mark.parametrize("model", ["vgg16-bn", "resnet20"])
def test_training_taken_up_from_a_file_is_training_in_one(model: str, settings, tmp_path: Path) -> None:
    """Files know no layout: the moments of channels-last weights must be laid out anew."""
    task = opened(model)
    schedule = Schedule(batch_size=8, steps=6, **settings)
    whole, masks = start(task)
    train(task, whole, masks, schedule, None, 6, CPU)
    first, _ = start(task)
    position = train(task, first, masks, schedule, None, 3, CPU)
    save(State(capture(first), masks, position=position), tmp_path / "state.safetensors")
    stored = load(tmp_path / "state.safetensors")
    again = task.build(2)
    restore(again, stored.weights)
    train(task, again, stored.masks, schedule, stored.position, 6, CPU)
    for name, tensor in live_tensors(whole).items():
        assert torch.equal(tensor, live_tensors(again)[name]), name
    assert strides(again) == strides(whole) == strides(task.build(0))
    assert all(
        weight.is_contiguous(memory_format=torch.channels_last) for weight in again.parameters() if weight.dim() == 4
    )


def test_running_statistics_are_part_of_a_state_and_go_back_with_it() -> None:
    task = opened("vgg16-bn")
    model, masks = start(task)
    before = capture(model)
    train(task, model, masks, Schedule(batch_size=8, steps=2, **SGD), None, 2, CPU)
    assert all(float(norm.running_mean.abs().max()) > 0 and int(norm.num_batches_tracked) == 2 for norm in norms(model))
    restore(model, before)
    for norm in norms(model):
        assert torch.equal(norm.running_mean, torch.zeros_like(norm.running_mean))
        assert torch.equal(norm.running_var, torch.ones_like(norm.running_var))
        assert int(norm.num_batches_tracked) == 0


@pytest.mark.parametrize("criterion", [Snip(), Grasp(), SynFlow()], ids=["snip", "grasp", "synflow"])
@pytest.mark.parametrize("model", ["vgg16-bn", "resnet18"])
def test_scoring_reads_running_statistics_and_leaves_them_and_the_mode_alone(model: str, criterion) -> None:
    task = opened(model)
    made, _ = start(task)
    train(task, made, {}, Schedule(batch_size=8, steps=1, **SGD), None, 1, CPU)
    before = capture(made)
    made.train()
    parameters = dict(made.named_parameters())
    view = View(
        model=made,
        weights={name: parameters[name] for name in task.prunable(made)},
        masks={},
        batches=lambda: islice(task.batches("train", seed=0, size=8), 1),
        forward=task.forward,
        loss=task.loss,
        example=task.example(),
        generator=torch.Generator(),
    )
    scores = criterion.score(view)
    assert all(bool(torch.isfinite(values).all()) and bool(values.any()) for values in scores.values())
    assert {name: values.shape for name, values in scores.items()} == {
        name: parameters[name].shape for name in task.prunable(made)
    }
    assert all(torch.equal(before[name], tensor) for name, tensor in live_tensors(made).items())
    assert all(module.training for module in made.modules())


def cells(out: Path) -> dict[str, Record]:
    return {record.pruner: record for record in Store(out).records()}


def test_an_exported_network_with_batch_norms_is_the_one_that_was_measured(tmp_path: Path) -> None:
    settings = {"model": "vgg16-bn", "width": 4, "train.epochs": 0.5}
    bench.run("cifar10", "magnitude", [0.5], out=tmp_path / "out", settings=settings, preset="smoke", data="sample")
    record = cells(tmp_path / "out")["magnitude"]
    export(Store(tmp_path / "out"), record, tmp_path / "files", Silent())
    task = opened("vgg16-bn")
    model = task.build(9)
    tensors = load_file(tmp_path / "files" / "model.safetensors")
    assert float(tensors["norm1.running_mean"].abs().max()) > 0
    model.load_state_dict(tensors)
    assert task.evaluate(model.eval(), "test").metrics == pytest.approx(record.metrics, abs=1e-6)


# The paper's preset


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve training and eight test pictures of the sample."""
    folder = tmp_path_factory.mktemp("tiny") / "cifar-10-batches-bin"
    folder.mkdir()
    for name, rows in (("data_batch_1.bin", 12), ("test_batch.bin", 8)):
        (folder / name).write_bytes(Cifar10.sample()[name][: rows * ROW])
    return folder.parent


def test_the_papers_schedule_is_that_of_synflows_figure_6() -> None:
    schedule = Cifar10.presets["paper"].train.resolved(50_000)
    epoch = 391
    assert schedule.length == 160 * epoch
    rates = [schedule.rate(step) for step in (0, 60 * epoch - 1, 60 * epoch, 120 * epoch - 1, 120 * epoch)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001])
    assert (schedule.optimizer, schedule.momentum, schedule.nesterov) == ("sgd", 0.9, True)
    assert (schedule.weight_decay, schedule.batch_size) == (1e-4, 128)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["vgg16-bn", "resnet18"])
def test_one_epoch_of_the_papers_preset_runs_in_bfloat16(tiny: Path, tmp_path: Path, model: str) -> None:
    """Networks of the paper's size; only the pictures are few."""
    settings = {"model": model, "train.epochs": 1, "train.batch_size": 6, "score_batch_size": 6}
    told = {"preset": "paper", "data": tiny, "dtype": "bfloat16", "threads": 1}
    bench.run("cifar10", "snip", [0.9], out=tmp_path, settings=settings, **told)
    records = cells(tmp_path)
    assert {record.status for record in records.values()} == {"done"}
    sparse = records["snip"]
    assert sparse.train_steps == 2
    assert sparse.sparsity == pytest.approx(0.9, abs=1e-6)
    assert sparse.parameters > 11e6
    assert (sparse.data["kind"], sparse.data["counts"]) == ("subset", {"train": 12, "test": 8})


@pytest.mark.gpu
@pytest.mark.parametrize("model", ["vgg16-bn", "resnet18"])
def test_the_papers_preset_trains_in_bfloat16_with_channels_last_weights_on_a_gpu(model: str, tmp_path: Path) -> None:
    task = Cifar10(Memory("cifar10", Cifar10.sample()), Cifar10Options(model))
    device = torch.device("cuda")
    environment = Environment(seed=0, device=device, dtype=torch.bfloat16)
    schedule = Cifar10.presets["paper"].train.resolved(task.examples())
    model_there, masks = start(task)
    model_there.to(device)
    there = {name: mask.to(device) for name, mask in masks.items()}
    losses: list[float] = []
    position = train(
        task, model_there, there, schedule, None, 60, environment, watch=lambda _, loss: losses.append(loss)
    )
    assert losses[-1] < losses[0]
    assert strides(model_there) == strides(task.build(0))
    save(State(capture(model_there), there, position=position), tmp_path / "state.safetensors")
    stored = load(tmp_path / "state.safetensors", device)
    again = task.build(2).to(device)
    restore(again, stored.weights)
    assert strides(again) == strides(model_there)
    train(task, again, stored.masks, schedule, stored.position, 62, environment)
    for name, mask in there.items():
        assert not bool(again.get_parameter(name)[~mask].any())
    with torch.no_grad(), environment.autocast():
        assert task.evaluate(again.eval(), "test").n == 1000
