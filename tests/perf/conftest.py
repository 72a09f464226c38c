"""What all ratios share: on a shared machine one measurement in many is off, so a test that fails is measured again."""

from __future__ import annotations

from pathlib import Path

import pytest

AGAIN = 2
"""Further measurements; what has become slower fails all of them."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests of this folder alone: pytest hands over all items."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.flaky(reruns=AGAIN))
