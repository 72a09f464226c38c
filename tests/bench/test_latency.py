"""What is measured is the model: each back-end computes the same outputs."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from toy_plugin import Options, Toy

from bench.data import Memory
from bench.measure import latency
from bench.measure.latency import FEWEST, CsrLinear, summarised, turns, variants

CPU = torch.device("cpu")


@pytest.mark.parametrize("bias", [True, False])
def test_a_csr_layer_gives_the_linear_layers_outputs(bias: bool) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(12, 7, bias=bias)
    with torch.no_grad():
        layer.weight.masked_fill_(torch.rand(7, 12) < 0.8, 0)
    inputs = torch.randn(2, 3, 12)
    torch.testing.assert_close(CsrLinear(layer)(inputs), layer(inputs))


def test_masked_and_csr_compute_the_pruned_model_and_dense_has_no_zero() -> None:
    task = Toy(Memory("toy", Toy.sample()), Options())
    model = task.build(0)
    masks = {"3.weight": torch.rand(16, 16) < 0.3}
    with torch.no_grad():
        model[3].weight.masked_fill_(~masks["3.weight"], 0)
    found = variants(task, model, masks, CPU)
    points = torch.randn(8, 2)
    assert list(found) == ["dense", "masked dense", "CSR"]
    expected = model.eval()(points)
    for name in ("masked dense", "CSR"):
        torch.testing.assert_close(found[name](points), expected)
    assert (found["dense"][3].weight != 0).all()
    assert not (model[3].weight[~masks["3.weight"]]).any()


def test_models_take_turns_and_warming_up_does_not_count() -> None:
    called: list[str] = []
    times = turns({"a": lambda: called.append("a"), "b": lambda: called.append("b")})
    assert called == ["a", "b"] * (len(called) // 2)
    assert len(times["a"]) == len(times["b"]) >= FEWEST
    assert len(called) // 2 > len(times["a"])


def test_median_and_quartiles_are_those_of_the_times() -> None:
    found = summarised("dense", [5.0, 1.0, 2.0, 4.0, 3.0])
    assert (found.lower, found.median, found.upper) == (2.0, 3.0, 4.0)


def test_a_back_end_that_refuses_the_model_is_left_out_with_its_reason(monkeypatch) -> None:
    class Refusing(nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            raise RuntimeError("no kernel\nfor this shape")

    task = Toy(Memory("toy", Toy.sample()), Options())
    model = task.build(0)
    monkeypatch.setattr(latency, "variants", lambda *_: {"dense": model, "CSR": Refusing()})
    found = latency.measure(task, model, {}, task.example(), CPU)
    assert [entry["backend"] for entry in found["backends"]] == ["dense"]
    assert found["left_out"] == {"CSR": "RuntimeError: no kernel for this shape"}
