"""A model without its masked units computes what the masked one does."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from toy_plugin import Toy

from bench.data import Memory
from bench.errors import UsageError
from bench.masks import compact
from bench.masks.couplings import Coupling, Slice
from bench.masks.exact import apply_
from bench.masks.units import kept_units, masks
from bench.state import live_tensors
from tasks.msmarco_dsi import MsMarcoDsi
from tasks.msmarco_dsi.options import Options

DSI = Options(
    passages=0, vocabulary=300, input_length=8, d_model=32, d_ff=24, heads=4, layers=2, decoder_layers=2, dropout=0.1
)


def some(couplings, kinds: tuple[str, ...], seed: int) -> dict[str, Tensor]:
    """Some units of each coupling of these kinds, one at least; all of the others."""
    draw = torch.Generator().manual_seed(seed)
    kept = {}
    for coupling in couplings:
        there = torch.rand(coupling.units, generator=draw) < 0.5
        there[int(torch.randint(coupling.units, (1,), generator=draw))] = True
        kept[coupling.name] = there if coupling.kind in kinds else torch.ones_like(there)
    return kept


def mask_units(model: nn.Module, couplings, kept) -> dict[str, Tensor]:
    """Masks the units that are not kept in ``model``, in place."""
    parameters = dict(model.named_parameters())
    found = masks(kept, couplings, {name: tuple(tensor.shape) for name, tensor in parameters.items()})
    apply_(parameters, found)
    return found


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.fixture(scope="module")
def dsi() -> MsMarcoDsi:
    return MsMarcoDsi(Memory("msmarco-dsi", MsMarcoDsi.sample()), DSI)


def test_a_perceptron_without_its_masked_rows_gives_the_same_outputs(tmp_path: Path) -> None:
    task = Toy(Memory("toy", Toy.sample()), Toy.presets["smoke"].options)
    model = task.build(0).eval()
    couplings = task.couplings(model)
    kept = some(couplings, ("rows",), 1)
    found = mask_units(model, couplings, kept)
    small = compact.compact(model, found, couplings, task)
    points = torch.randn(64, 2)
    torch.testing.assert_close(small(points), model(points), atol=1e-5, rtol=0)
    first, second = (int(there.sum()) for there in kept.values())
    assert count(small) == 2 * first + first + first * second + second + second * 4 + 4
    assert (small[3].in_features, small[3].out_features) == (first, second)
    assert count(model) == 2 * 16 + 16 + 16 * 16 + 16 + 16 * 4 + 4  # left as it was


@pytest.mark.parametrize("kinds", [("rows",), ("heads",), ("rows", "heads")])
def test_a_t5_without_its_masked_units_gives_the_same_outputs(dsi: MsMarcoDsi, kinds: tuple[str, ...]) -> None:
    """Heads go block by block, so each attention has to gather the shared position bias of its own."""
    torch.manual_seed(0)
    model = dsi.build(0).eval()
    with torch.no_grad():  # a bias that tells heads apart
        for name, parameter in model.named_parameters():
            if "relative_attention_bias" in name:
                parameter.normal_(std=2.0)
    couplings = dsi.couplings(model)
    found = mask_units(model, couplings, some(couplings, kinds, 2))
    small = compact.compact(model, found, couplings, dsi).eval()
    batch = next(dsi.batches("test", seed=0, size=16))
    with torch.no_grad():
        torch.testing.assert_close(dsi.forward(small, batch), dsi.forward(model, batch), atol=1e-5, rtol=1e-5)
        asked = {name: batch[name] for name in ("input_ids", "attention_mask")}
        told = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False}
        assert torch.equal(small.generate(**asked, **told), model.generate(**asked, **told))  # with a cache
    assert count(small) < count(model)


def test_the_whole_evaluation_of_a_t5_is_the_masked_ones(dsi: MsMarcoDsi) -> None:
    model = dsi.build(0).eval()
    couplings = dsi.couplings(model)
    found = mask_units(model, couplings, some(couplings, ("heads",), 3))
    small = compact.compact(model, found, couplings, dsi).eval()
    with torch.no_grad():
        assert dsi.evaluate(small, "test").metrics == pytest.approx(dsi.evaluate(model, "test").metrics, abs=1e-6)


class Convolutions(nn.Module):
    """Two convolutions with batch norms, flattened into a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm = nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)
        self.two, self.out = nn.Conv2d(8, 6, 3), nn.Linear(6 * 4 * 4, 5)

    def forward(self, images: Tensor) -> Tensor:
        hidden = torch.relu(self.norm(self.one(images)))
        logits: Tensor = self.out(torch.relu(self.two(hidden)).flatten(1))
        return logits


FILTERS = (
    Coupling(
        "one",
        "rows",
        8,
        (Slice("one.weight"), Slice("one.bias"), Slice("norm.weight"), Slice("norm.bias")),
        (Slice("two.weight", axis=1),),
    ),
    Coupling("two", "rows", 6, (Slice("two.weight"), Slice("two.bias")), (Slice("out.weight", axis=1, width=16),)),
)


def test_filters_go_with_their_norms_and_with_the_places_that_a_linear_layer_reads(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Convolutions()
    images = torch.randn(4, 3, 8, 8)
    model(images)  # running statistics
    model.eval()
    found = mask_units(model, FILTERS, some(FILTERS, ("rows",), 5))
    small = compact.compact(model, found, FILTERS, object())  # type: ignore[arg-type]
    torch.testing.assert_close(small(images), model(images), atol=1e-5, rtol=0)
    assert small.norm.num_features == small.one.out_channels == len(small.norm.running_var) < 8


def test_a_fused_weight_loses_the_units_of_each_of_its_parts() -> None:
    """Queries, keys and values of three heads of width 2 in one weight of 18 rows."""
    parts = tuple(Slice("qkv.weight", width=2, start=6 * part) for part in range(3))
    coupling = Coupling("attention", "heads", 3, parts, ())
    found = masks({"attention": torch.tensor([True, False, True])}, [coupling], {"qkv.weight": (18, 4)})
    rows = found["qkv.weight"].all(1).tolist()
    assert rows == [True, True, False, False, True, True] * 3
    assert kept_units(found, [coupling])["attention"].tolist() == [True, False, True]


def test_a_saved_compact_model_is_smaller_and_comes_back(dsi: MsMarcoDsi, tmp_path: Path) -> None:
    model = dsi.build(0).eval()
    couplings = dsi.couplings(model)
    kept = some(couplings, ("rows", "heads"), 4)
    mask_units(model, couplings, kept)
    small = compact.without(model, kept, couplings, dsi).eval()
    path = tmp_path / "compact.safetensors"
    path.write_bytes(compact.file_of(small, kept))
    removed = count(model) - count(small)
    dense = sum(tensor.numel() * tensor.element_size() for tensor in live_tensors(model).values())
    assert path.stat().st_size < dense - 4 * removed + 16_000  # names and units take up the rest
    torch.manual_seed(1)
    again = compact.load(path, dsi.build(1).eval(), couplings, dsi)
    batch = next(dsi.batches("test", seed=0, size=8))
    with torch.no_grad():
        assert torch.equal(dsi.forward(again, batch), dsi.forward(small, batch))


def test_a_file_of_another_model_is_one_clear_line(dsi: MsMarcoDsi, tmp_path: Path) -> None:
    model = dsi.build(0)
    path = tmp_path / "compact.safetensors"
    path.write_bytes(compact.file_of(model, {"another": torch.ones(3, dtype=torch.bool)}))
    with pytest.raises(UsageError, match="is no compact form of this model"):
        compact.load(path, model, dsi.couplings(model), dsi)
