"""What chance alone reaches in classification."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def majority(labels: npt.NDArray[np.int64]) -> float:
    """Share of the most frequent class among ``labels``, shape (examples,): the accuracy of always saying it."""
    import numpy as np

    return float(np.bincount(labels).max()) / len(labels)
