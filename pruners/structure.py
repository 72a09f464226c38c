"""What is cut: single weights. (Structures of several weights stand beside it, each a function of the same face.)"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from pruners.base import Pool, Scores


def weights(scores: Scores, pools: Sequence[Pool]) -> dict[str, Tensor]:
    """Single weights: the ``keep`` largest scores of each pool, all its layers in one ranking.

    Equal scores stay by position: the earlier layer of the pool, then the smaller flat (row-major) index.
    """
    from bench.masks import best

    return best(scores, pools)
