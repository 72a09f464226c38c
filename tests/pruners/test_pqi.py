"""The PQ Index and the number of weights that it lets go (Diao et al. 2023)."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pruners.pqi import pq_index, pqi, pruned, retained

PQ = [(0.5, 1.0), (1.0, 2.0)]
vectors = st.lists(st.floats(1e-3, 1e3), min_size=2, max_size=20)


@pytest.mark.parametrize(("p", "q"), PQ)
def test_the_index_is_the_papers_formula(p: float, q: float) -> None:
    values = [3.0, 1.0, 0.5, 0.0, 2.0]
    norm = {r: sum(v**r for v in values) ** (1 / r) for r in (p, q)}
    expected = 1 - len(values) ** (1 / q - 1 / p) * norm[p] / norm[q]
    assert float(pq_index(torch.tensor(values), p, q)) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("p", "q"), PQ)
def test_the_numbers_pruned_are_the_bound_computed_by_hand(p: float, q: float) -> None:
    """With p = 1, q = 2 and the vector (3, 4): I = 1 - 2^(-1/2) * 7/5; m = 2 (1 - I)^2 = 2 * (49/50)."""
    if (p, q) == (1.0, 2.0):
        index = float(pq_index(torch.tensor([3.0, 4.0]), p, q))
        assert index == pytest.approx(1 - 7 / (5 * math.sqrt(2)))
        assert retained(2, index, p, q, eta=0.0) == pytest.approx(2 * 49 / 50)
    else:
        # (1, 9): norm_1/2 = (1 + 3)^2 = 16, norm_1 = 10; I = 1 - 2^(1 - 2) * 16/10 = 0.2; m = 2 * 0.8^(0.5/0.5)
        index = float(pq_index(torch.tensor([1.0, 9.0]), p, q))
        assert index == pytest.approx(0.2)
        assert retained(2, index, p, q, eta=0.0) == pytest.approx(1.6)
    for d, eta, gamma, beta in ((10, 0.0, 1.0, 0.9), (1000, 0.1, 1.0, 0.9), (1000, 0.0, 5.0, 0.9)):
        m = d * (1 + eta) ** (-q / (q - p)) * (1 - 0.3) ** (p * q / (q - p))
        assert pruned(d, 0.3, p, q, eta, gamma, beta) == math.floor(d * min(gamma * (1 - m / d), beta))
    assert pruned(1000, 0.3, p, q, 0.0, 100.0, 0.9) == 900  # beta caps
    assert pruned(0, 0.3, p, q, 0.0, 1.0, 0.9) == 0


@pytest.mark.parametrize(("p", "q"), PQ)
@given(values=vectors, scale=st.floats(1e-30, 1e30))
def test_the_index_does_not_depend_on_scale_and_lies_in_the_unit_interval(p, q, values, scale) -> None:
    vector = torch.tensor(values, dtype=torch.float64)
    index = float(pq_index(vector, p, q))
    assert 0 <= index < 1
    assert float(pq_index(vector * scale, p, q)) == pytest.approx(index, abs=1e-9)


@pytest.mark.parametrize(("p", "q"), PQ)
@given(values=vectors)
def test_the_index_grows_when_a_weight_is_emptied(p, q, values) -> None:
    """Moving all of the smallest weight's mass onto the largest makes the vector sparser."""
    vector = sorted(values)
    sparser = [0.0, *vector[1:-1], vector[-1] + vector[0]]
    before, after = (float(pq_index(torch.tensor(v, dtype=torch.float64), p, q)) for v in (vector, sparser))
    assert after > before


def test_equal_weights_have_index_zero_and_a_single_one_nearly_one() -> None:
    assert float(pq_index(torch.ones(50), 0.5, 1.0)) == pytest.approx(0, abs=1e-12)
    assert float(pq_index(torch.eye(50)[0], 0.5, 1.0)) == pytest.approx(1 - 1 / 50)
    assert float(pq_index(torch.zeros(5), 0.5, 1.0)) == 0


@pytest.mark.parametrize("scope", ["neuron", "layer", "global"])
def test_each_scope_drops_its_smallest_and_leaves_the_dead_alone(scope: str) -> None:
    torch.manual_seed(0)
    weights = {"a": torch.randn(6, 40), "b": torch.randn(5, 30) * 10}
    options = {"scope": scope, "p": 0.5, "q": 1.0, "eta": 0.0, "gamma": 1.0, "beta": 0.9}
    first, facts = pqi(weights, {}, options)
    second, again = pqi({name: weights[name] * first[name] for name in weights}, first, options)
    assert facts["cut"] == sum(int((~mask).sum()) for mask in first.values()) > 0
    assert again["cut"] > 0
    for name in weights:
        assert not (second[name] & ~first[name]).any()
    assert again["density"] == sum(int(m.sum()) for m in second.values()) / (6 * 40 + 5 * 30)
    together = [torch.cat([tensors[name].flatten() for name in weights]) for tensors in (weights, first)]
    vectors_of = {
        "neuron": [(row, mask) for name in weights for row, mask in zip(weights[name], first[name], strict=True)],
        "layer": [(weights[name], first[name]) for name in weights],
        "global": [tuple(together)],
    }[scope]
    for values, mask in vectors_of:
        size = values.abs()
        count = pruned(size.numel(), float(pq_index(size.flatten(), 0.5, 1.0)), 0.5, 1.0, 0.0, 1.0, 0.9)
        assert int((~mask).sum()) == count
        if count:
            assert size[~mask].max() <= size[mask].min()
