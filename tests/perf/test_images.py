"""Cells an hour on the MNIST grid against the usual way of doing it, as a ratio within one run.

Neither side runs its cells here: the time of a training step and of an evaluated image are measured on some hundreds of
them and multiplied by what either needs. Ours is what the plan counts. The usual way is a script a pruner and seed that
trains its dense model first, reads images through a loader, and evaluates after every epoch, as the code of Tanaka et
al. 2020 does. Scoring is left out on both sides.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.data import Folder, Memory
from bench.grid import Request, parse_grid
from bench.plan import make
from bench.train import Environment, train
from tasks.cifar10 import Cifar10, Cifar10Options
from tasks.cifar10.task import MEAN, STD
from tasks.images.tensors import Normalisation, Pictures
from tasks.mnist import Mnist, MnistOptions
from tasks.mnist import task as mnist
from tests.perf.images import (
    Bytes,
    Normalize,
    RandomCrop,
    RandomHorizontalFlip,
    ToTensor,
    accuracy,
    loaded,
    masked_training,
)

PRUNERS = ("random", "magnitude", "snip", "grasp", "synflow")
GRID = "c=0.05,0.1,0.2,0.5,1,2"
SEEDS = (0, 1, 2)
ROUNDS, STEPS = 6, 50
LIMIT = 4.5
"""Measured: 5.1 to 5.5. Matrix products alone take half of our step, and both sides have them."""
CPU = Environment(seed=0, device=torch.device("cpu"))


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample over and over: as many pictures as the official files have."""
    root = tmp_path_factory.mktemp("data")
    folder = root / "mnist"
    folder.mkdir()
    for name, content in Mnist.sample().items():
        header = 16 if "idx3" in name else 8
        copies, size = (24, 60_000) if name.startswith("train") else (10, 10_000)
        entries = content[header:] * copies
        (folder / name).write_bytes(content[:4] + size.to_bytes(4, "big") + content[8:header] + entries)
    return root


def seconds(work: Callable[[], object]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start


def arrays(task: Any, split: str) -> tuple[Bytes, Tensor]:
    """Pixels, uint8 of shape (images, height, width, channels), and labels."""
    pictures = Pictures.of(task._images[split], Normalisation((0.0,), (1.0,)))
    return pictures.pixels, torch.from_numpy(pictures.labels)


@dataclass(frozen=True)
class Costs:
    """Seconds on one thread."""

    step: float
    """Of a training step on a half-pruned ``fc``."""
    evaluation: float
    """Of an evaluation on the test split."""


def costs(task: Mnist) -> tuple[Costs, Costs]:
    """Ours and the usual ones; the two take turns, and the fastest turn of each counts, on which least else fell."""
    schedule = Mnist.presets["paper"].train.resolved(task.examples())
    torch.manual_seed(0)
    model, other = task.build(0), task.build(0)
    masks = {name: torch.rand(model.get_parameter(name).shape) < 0.5 for name in task.prunable(model)}
    transform = nn.Sequential(ToTensor(), Normalize((mnist.MEAN,), (mnist.STD,)))
    usual = masked_training(other, masks, loaded(*arrays(task, "train"), transform, schedule.batch_size), schedule.lr)
    test = arrays(task, "test")
    spent: list[list[float]] = [[], [], [], []]
    for _ in range(ROUNDS):
        spent[0].append(seconds(lambda: train(task, model, masks, schedule, None, STEPS, CPU)) / STEPS)
        spent[1].append(seconds(lambda: list(islice(usual, STEPS))) / STEPS)
    for _ in range(2):
        spent[2].append(seconds(lambda: task.evaluate(model, "test")))
        spent[3].append(seconds(lambda: accuracy(other, *test, transform, 256)))
    ours, theirs, evaluated, evaluated_there = (min(times) for times in spent)
    return Costs(ours, evaluated), Costs(theirs, evaluated_there)


def test_the_mnist_grid_runs_several_times_as_many_cells_an_hour(digits: Path, benchmark: Any, capsys: Any) -> None:
    request = Request(
        ("mnist",), PRUNERS, parse_grid(GRID), SEEDS, preset="paper", settings={"model": "fc"}, data=str(digits)
    )
    plan = make(request)
    epochs, per_epoch = 10, 938
    assert len(plan.cells) == 93
    assert plan.train_steps_shared == 93 * epochs * per_epoch
    scripts = len(PRUNERS) * len(SEEDS)
    trainings = scripts * (1 + 6)
    measured: list[tuple[Costs, Costs]] = []
    task = Mnist(Folder(digits / "mnist"), MnistOptions("fc"))
    benchmark.pedantic(lambda: measured.append(costs(task)), rounds=1)
    ((ours, usual),) = measured
    here = plan.train_steps_shared * ours.step + len(plan.cells) * ours.evaluation
    there = trainings * epochs * (per_epoch * usual.step + usual.evaluation)
    with capsys.disabled():
        print(
            f"\nmnist grid: a step takes {1e6 * ours.step:.0f} us, the usual way {1e6 * usual.step:.0f}; an evaluation "
            f"{1e3 * ours.evaluation:.0f} ms, {1e3 * usual.evaluation:.0f}; {there / here:.2f} times the cells an hour"
        )
    assert there / here >= LIMIT


def test_augmented_batches_are_made_several_times_as_fast(benchmark: Any, capsys: Any) -> None:
    """Crops and mirror images of CIFAR-10 pictures, a whole batch at once against one by one."""
    task = Cifar10(Memory("cifar10", Cifar10.sample()), Cifar10Options())
    ours = task.batches("train", seed=0, size=128)
    transform = nn.Sequential(ToTensor(), RandomCrop(4), RandomHorizontalFlip(), Normalize(MEAN, STD))
    usual = loaded(*arrays(task, "train"), transform, 128)
    next(ours), next(usual)
    spent: dict[str, list[float]] = {"ours": [], "usual": []}

    def rounds() -> None:
        for _ in range(ROUNDS):
            spent["ours"].append(seconds(lambda: list(islice(ours, 15))))
            spent["usual"].append(seconds(lambda: list(islice(usual, 15))))

    benchmark.pedantic(rounds, rounds=1)
    fast, slow = (min(times) / 15 for times in spent.values())
    with capsys.disabled():
        print(f"\ncifar10: a batch of 128 takes {1e3 * fast:.2f} ms, {1e3 * slow:.2f} ms one by one: {slow / fast:.1f}")
    assert slow / fast >= 4
