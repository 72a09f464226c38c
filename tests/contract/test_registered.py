"""Every registered plug-in keeps the public contract."""

from __future__ import annotations

import pytest

from bench import registry
from bench.checks import check_pruner, check_task


def ours(group: str) -> list[str]:
    """Names of installed plug-ins; the tests' own toys have tests of their own."""
    return [name for name in registry.names(group) if not registry.distribution(group, name).startswith("toy-plugin")]


@pytest.mark.parametrize("name", ours("pruners"))
def test_a_registered_pruner_keeps_the_contract(name: str) -> None:
    findings = check_pruner(name)
    assert len(findings) >= 2
    assert not [finding for finding in findings if not finding.ok]


@pytest.mark.parametrize("name", ours("tasks"))
def test_a_registered_task_keeps_the_contract(name: str) -> None:
    findings = check_task(name)
    assert len(findings) == 14
    assert not [finding for finding in findings if not finding.ok]
