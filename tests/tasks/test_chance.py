"""What chance reaches, as evaluations note it."""

from __future__ import annotations

import numpy as np
import pytest

from tasks.chance import majority
from tasks.ranking import random_ndcg


def test_the_majority_is_the_most_frequent_class() -> None:
    assert majority(np.array([0, 2, 2, 2, 1], dtype=np.int64)) == pytest.approx(0.6)


def test_the_expected_ndcg_is_the_mean_over_random_orders() -> None:
    rng = np.random.default_rng(0)
    judged = {0: 3, 1: 1, 7: 2, 99: 1}  # 99 is no candidate
    candidates = np.arange(12)
    discounts = 1 / np.log2(np.arange(2, 12))
    best = np.dot([3, 2, 1, 1], discounts[:4])
    drawn = []
    for _ in range(4000):
        gains = [judged.get(int(row), 0) for row in rng.permutation(candidates)[:10]]
        drawn.append(np.dot(gains, discounts) / best)
    assert random_ndcg([judged], [(6 / 12, 12)], 10) == pytest.approx(np.mean(drawn), abs=0.01)
    assert random_ndcg([{5: 0}], [(0.0, 12)], 10) == 0.0
