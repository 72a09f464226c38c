"""The public contract of plug-ins, as checks that an author runs: ``bench check pruner|task NAME``, or from a program

    from bench.checks import check_pruner, check_task
    assert all(finding.ok for finding in check_pruner(MyCriterion))

Everything runs on toy data in seconds. What no check can tell is whether larger scores are the better ones to keep.
"""

from __future__ import annotations

from bench.checks.finding import Finding
from bench.checks.pruner import check_pruner
from bench.checks.task import check_task

__all__ = ["Finding", "check_pruner", "check_task"]
