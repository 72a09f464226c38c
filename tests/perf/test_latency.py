"""Removed units save time, and zeros do not: ratios of one run, the models taking turns."""

from __future__ import annotations

import pytest
import torch
from toy_plugin import Options, Toy

from bench.data import Memory
from bench.masks.exact import apply_, cut
from bench.masks.structures import bind
from bench.measure.latency import measure, semi_structured
from pruners.allocation import uniform
from pruners.structure import NM, heads, rows, weights
from tasks.msmarco_dsi import MsMarcoDsi
from tasks.msmarco_dsi.options import Options as DsiOptions

CPU = torch.device("cpu")


def medians(found: dict) -> dict[str, float]:
    return {entry["backend"]: entry["median"] for entry in found["backends"]}


def pruned(task, sparsity: float, structure) -> tuple[torch.nn.Module, dict[str, torch.Tensor]]:
    """The task's model, cut by magnitude, and its masks."""
    torch.manual_seed(0)
    model = task.build(0).eval()
    parameters = dict(model.named_parameters())
    names = [name for name in task.prunable(model) if parameters[name].shape[1] % 4 == 0]
    bound = bind(structure, task, model, task.prunable(model))
    masks = cut({name: parameters[name].detach().abs() for name in names}, {}, sparsity, uniform, bound)
    apply_(parameters, masks)
    return model, masks


@pytest.fixture(scope="module")
def wide() -> Toy:
    """A perceptron whose middle layer, 2048 x 2048, takes all but all of the time."""
    return Toy(Memory("toy", Toy.sample()), Options(width=2048))


def test_without_three_quarters_of_its_rows_a_perceptron_takes_less_than_half_the_time(wide: Toy) -> None:
    """Half the units of each layer leave a quarter of the middle one's weights."""
    model, masks = pruned(wide, 0.75, rows)
    batch = next(wide.batches("train", seed=0, size=64))
    found = medians(measure(wide, model, masks, batch, CPU))
    assert found["rows removed"] < 0.5 * found["masked dense"]
    assert 0.7 < found["masked dense"] / found["dense"] < 1.3  # zeros run at full cost


def test_without_most_of_its_rows_a_t5_is_faster() -> None:
    options = DsiOptions(passages=0, vocabulary=300, input_length=8, d_model=256, d_ff=4096, heads=4)
    task = MsMarcoDsi(Memory("msmarco-dsi", MsMarcoDsi.sample()), options)
    model, masks = pruned(task, 0.9, rows)
    batch = next(task.batches("test", seed=0, size=32))
    found = medians(measure(task, model, masks, batch, CPU))
    assert found["rows removed"] < 0.7 * found["masked dense"]


def test_without_three_of_four_heads_a_t5_is_faster() -> None:
    options = DsiOptions(passages=0, vocabulary=300, input_length=32, d_model=512, d_ff=64, heads=8)
    task = MsMarcoDsi(Memory("msmarco-dsi", MsMarcoDsi.sample()), options)
    model, masks = pruned(task, 0.75, heads)
    batch = next(task.batches("test", seed=0, size=32))
    found = medians(measure(task, model, masks, batch, CPU))
    assert found["heads removed"] < 0.8 * found["masked dense"]


def test_csr_pays_where_nearly_all_is_zero(wide: Toy) -> None:
    model, masks = pruned(wide, 0.99, weights)
    batch = next(wide.batches("train", seed=0, size=64))
    found = medians(measure(wide, model, masks, batch, CPU))
    assert found["CSR"] < found["masked dense"]


@pytest.mark.gpu
def test_two_of_four_runs_on_the_semi_structured_kernels_of_a_gpu(wide: Toy) -> None:
    device = torch.device("cuda")
    model, masks = pruned(wide, 0.5, NM(2, 4))
    model, masks = model.to(device), {name: mask.to(device) for name, mask in masks.items()}
    points = torch.randn(256, 2, device=device)
    semi = semi_structured(model, masks)
    assert semi is not None
    with torch.inference_mode():
        torch.testing.assert_close(semi(points.half()).float(), model(points), atol=0.05, rtol=0.05)
    found = medians(measure(wide, model, masks, {"points": points}, device))
    assert {"dense", "masked dense", "CSR", "dense float16", "2:4 float16"} == set(found)
