"""Encoders of the BERT family: tokens, weights, units."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from bench.checkpoints import resolve
from bench.errors import UsageError
from bench.masks import compact
from bench.measure.flops import dense_flops
from tasks.encoders import model as encoders
from tasks.encoders import tokens

TEXTS = ["The quick brown fox", "jumps over the lazy dog's back", "the fox"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def tiny(dropout: float = 0.0) -> torch.nn.Module:
    torch.manual_seed(0)
    return encoders.scratch(encoders.Sizes(2, 16, 4, 24, 12, dropout), vocabulary=20, pad=0)


def test_words_have_the_special_tokens_at_their_head_and_frequent_ones_next() -> None:
    found = tokens.of_words(TEXTS, 7, digest="a")
    assert (found.pad, found.cls, found.sep, found.size) == (0, 2, 3, 7)
    rows = found.rows(TEXTS, 3, digest="a")
    # "the" (3 times) and "fox" (2) come first; of the words seen once, "back" is the first in code point order.
    assert rows.tokens.tolist() == [4, 1, 1, 1, 1, 4, 4, 5] and rows.offsets.tolist() == [0, 3, 6, 8]


def test_ids_come_from_the_cache_the_second_time() -> None:
    found = tokens.of_words(TEXTS, 7, digest="a")
    found.rows(TEXTS, 3, digest="a")
    assert isinstance(found.rows(TEXTS, 3, digest="a").tokens, np.memmap)


def test_minilm_has_the_pieces_and_the_flops_that_it_is_known_for() -> None:
    checkpoint = resolve("minilm")
    pieces = tokens.of_checkpoint(checkpoint)
    rows = pieces.rows(["playing chess"], 10, digest="a")
    assert (pieces.size, pieces.pad, pieces.cls, pieces.sep) == (30_522, 0, 101, 102)
    assert pieces.tokenizer.convert_ids_to_tokens(rows.tokens.tolist()) == ["playing", "chess"]
    model = encoders.pretrained(checkpoint, 128).eval()
    names = encoders.prunable(model)
    parameters = dict(model.named_parameters())
    # Six layers of four 384 x 384 projections and two 384 x 1,536 feed-forward matrices.
    assert sum(parameters[name].numel() for name in names) == 6 * (4 * 384**2 + 2 * 384 * 1_536)
    ids = torch.full((8, 128), 7)
    # By hand, two FLOPs a multiply-add: the matrices for each token, and per layer QK^T and AV over 128 x 128 pairs.
    by_hand = 8 * 128 * 2 * 6 * (4 * 384**2 + 2 * 384 * 1_536 + 2 * 128 * 384)
    assert dense_flops(model, lambda: model(ids).last_hidden_state).total == by_hand == 22_951_231_488


def test_a_checkpoint_that_is_no_encoder_or_too_short_is_refused(tmp_path: Path) -> None:
    from transformers import T5Config

    T5Config(d_model=8, decoder_start_token_id=0).save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="no encoder"):
        encoders.pretrained(resolve(str(tmp_path)), 8)
    with pytest.raises(UsageError, match="512 positions, fewer than 513"):
        encoders.pretrained(resolve("minilm"), 513)


def test_units_leave_the_outputs_of_their_masked_twin() -> None:
    model = tiny().eval()
    units = list(encoders.couplings(model))
    assert [(unit.kind, unit.units) for unit in units] == [("rows", 24), ("heads", 4)] * 2
    kept = {unit.name: torch.arange(unit.units) % 3 != 0 for unit in units}
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for unit in units:
            for part in unit.slices:
                moved = parameters[part.parameter].movedim(part.axis, 0)
                moved[(~kept[unit.name]).repeat_interleave(part.width)] = 0

    class NoTask:
        """A task whose model knows no sizes beyond its parameters."""

    smaller = compact.without(model, kept, units, NoTask())  # type: ignore[arg-type]
    ids, there = torch.randint(0, 20, (3, 9)), torch.ones(3, 9, dtype=torch.int64)
    with torch.no_grad():
        twin, small = model(ids, there).last_hidden_state, smaller(ids, there).last_hidden_state
    assert sum(p.numel() for p in smaller.parameters()) < sum(p.numel() for p in model.parameters())
    assert torch.allclose(twin, small, atol=1e-5)


def test_gradients_of_gradients_pass_through_the_attention() -> None:
    model = tiny()
    weight = dict(model.named_parameters())[encoders.prunable(model)[0]]
    loss = model(torch.randint(0, 20, (2, 5))).last_hidden_state.square().mean()
    (first,) = torch.autograd.grad(loss, weight, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), weight)
    assert float(second.abs().sum()) > 0


def test_the_mean_leaves_padding_out() -> None:
    hidden = torch.tensor([[[1.0], [3.0], [100.0]], [[5.0], [7.0], [9.0]]])
    there = torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert encoders.mean_pooled(hidden, there).tolist() == [[2.0], [7.0]]
