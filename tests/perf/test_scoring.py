"""Speed of scoring, as ratios within one run.

``textbook`` is SynFlow as its paper's pseudo-code reads (Tanaka et al. 2020, algorithm 1): in every pass the absolute
values are taken and restored, all scores concatenated, and the threshold found by ``kthvalue``. Both sides run in
float64, as SynFlow's scores want it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bench.masks.counts import kept
from bench.masks.exact import cut
from bench.masks.scoring import score
from bench.masks.selection import thresholds
from bench.steps import Score
from pruners.allocation import global_
from pruners.base import View
from pruners.criteria.synflow import SynFlow
from pruners.structure import weights as single_weights

WIDTHS = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512)
"""VGG-16 for 32x32 images: channels of its 13 convolutions, 0 for a pooling."""


def vgg16(divisor: int = 1) -> nn.Module:
    """VGG-16 with batch norms and one linear layer; every width divided by ``divisor``."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    channels = 3
    for width in WIDTHS:
        if not width:
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [nn.Conv2d(channels, width // divisor, 3, padding=1), nn.BatchNorm2d(width // divisor), nn.ReLU()]
        channels = width // divisor
    return nn.Sequential(*layers, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(channels, 10)).eval()


def prunable(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.dim() > 1}


def view_of(model: nn.Module) -> View:
    return View(
        model=model,
        weights=prunable(model),
        masks={},
        batches=lambda: iter(()),
        forward=lambda model, batch: model(batch["image"]),
        loss=lambda outputs, batch: outputs.mean(),
        example={"image": torch.zeros(1, 3, 32, 32)},
        generator=torch.Generator(),
    )


def ours(model: nn.Module, sparsity: float, passes: int) -> dict[str, Tensor]:
    step = Score("synflow", 1, 0, 0, passes, sparsity, "global", "weights")
    scores, masks = score(step, SynFlow(), view_of(model), global_, single_weights)
    return cut(scores, masks, sparsity, global_, single_weights)


def textbook(model: nn.Module, sparsity: float, passes: int, run: int | None = None) -> dict[str, Tensor]:
    """``passes`` is the schedule's length; ``run`` of them are done (all by default)."""
    model = model.double()
    weights = prunable(model)
    size = sum(weight.numel() for weight in weights.values())
    masks = {name: torch.ones_like(weight) for name, weight in weights.items()}
    for done in range(1, (run or passes) + 1):
        with torch.no_grad():
            for name, weight in weights.items():
                weight.mul_(masks[name])
            signs = {
                name: torch.sign(tensor) for name, tensor in model.state_dict().items() if tensor.is_floating_point()
            }
            for name, tensor in model.state_dict().items():
                if name in signs:
                    tensor.abs_()
        model(torch.ones(1, 3, 32, 32, dtype=torch.float64)).sum().backward()
        scores = {name: (weight.grad * weight).detach().abs_() for name, weight in weights.items()}
        with torch.no_grad():
            for name, tensor in model.state_dict().items():
                if name in signs:
                    tensor.mul_(signs[name])
        model.zero_grad(set_to_none=False)
        drop = size - kept(1 - (1 - sparsity) ** (done / passes), size)
        if drop:
            threshold = torch.kthvalue(torch.cat([values.flatten() for values in scores.values()]), drop).values
            masks = {name: (values > threshold).double() for name, values in scores.items()}
    return {name: mask.bool() for name, mask in masks.items()}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def seconds(work: Callable[[], object]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_synflow_cuts_as_the_textbook_loop_does() -> None:
    """All 100 passes on a VGG-16 of an eighth of the width, down to one weight in a hundred."""
    one, other = ours(vgg16(8), 0.99, 100), textbook(vgg16(8), 0.99, 100)
    assert same(one, other)
    assert sum(int(mask.sum()) for mask in one.values()) == kept(0.99, sum(mask.numel() for mask in one.values()))


@pytest.mark.slow
def test_synflow_takes_a_third_of_the_textbook_loop_s_time(benchmark: Any, capsys: Any) -> None:
    """All 100 passes of both on 14.7 million weights, timed whole, and the same mask."""
    model = vgg16()
    assert sum(weight.numel() for weight in prunable(model).values()) == 14_715_584
    spent: dict[str, float] = {}
    masks: dict[str, dict[str, Tensor]] = {}

    def run() -> None:
        spent["ours"] = seconds(lambda: masks.update(ours=ours(model, 0.9, 100)))

    benchmark.pedantic(run, rounds=1)
    spent["textbook"] = seconds(lambda: masks.update(textbook=textbook(vgg16(), 0.9, 100)))
    ratio = spent["textbook"] / spent["ours"]
    with capsys.disabled():
        print(f"\nsynflow, 100 passes, 14.7 M weights: {ratio:.2f} times the textbook loop's speed")
    assert same(masks["ours"], masks["textbook"])
    assert ratio >= 3


def test_thresholds_of_twelve_sparsities_take_one_pass(benchmark: Any, capsys: Any) -> None:
    """One call for 12 against 12 times ``kthvalue``, and against 12 calls for one each."""
    generator = torch.Generator().manual_seed(0)
    scores = [weight.detach().abs() for weight in prunable(vgg16()).values()]
    scores = [torch.rand(values.shape, generator=generator) for values in scores]
    size = sum(values.numel() for values in scores)
    keeps = [kept(sparsity / 100, size) for sparsity in (10, 20, 30, 40, 50, 60, 70, 80, 90, 95, 98, 99)]
    together = benchmark.pedantic(thresholds, args=(scores, keeps), rounds=1, warmup_rounds=1)

    def textbook_passes() -> list[float]:
        every = torch.cat([values.reshape(-1) for values in scores])
        return [float(torch.kthvalue(every, size - keep + 1).values) for keep in keeps]

    found: dict[str, list[float]] = {}
    one = min(seconds(lambda: found.update(one=thresholds(scores, keeps))) for _ in range(3))
    single = min(seconds(lambda: found.update(single=[thresholds(scores, [k])[0] for k in keeps])) for _ in range(2))
    textbook_time = seconds(lambda: found.update(textbook=textbook_passes()))
    with capsys.disabled():
        print(
            f"\nthresholds for 12 sparsities, 14.7 M scores: one pass is {textbook_time / one:.1f} times as fast as "
            f"12 of kthvalue, {single / one:.1f} times as fast as 12 calls for one"
        )
    assert together == found["one"] == found["single"] == found["textbook"]
    assert textbook_time / one > 3
    assert single > one
