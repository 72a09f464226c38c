"""What a gate found, and what all gates together come to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

REGRESSION = "regression"
NOT_COMPARABLE = "not comparable"
NOTE = "note"
"""Worth a sentence, and no regression."""
PASSED = "passed"
"""The gate found nothing to say. Of quality that is no evidence of a difference, which is not evidence of none."""

FINE_EXIT, REGRESSION_EXIT, NOT_COMPARABLE_EXIT = 0, 3, 4


@dataclass(frozen=True)
class Finding:
    """What one gate says of one cell, comparison or benchmark."""

    gate: str
    """``cells``, ``exact``, ``quality`` or ``speed``."""
    verdict: str
    subject: str
    """The cell, its metric or the benchmark."""
    said: str
    """What was found, the rest of the sentence that begins with the subject."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """The numbers behind it, as plain data."""

    @property
    def sentence(self) -> str:
        return f"{self.subject}: {self.said}"


@dataclass(frozen=True)
class Comparison:
    """BASE against HEAD."""

    base: str
    head: str
    findings: Sequence[Finding]

    def of(self, verdict: str) -> list[Finding]:
        """The findings of one verdict, in order."""
        return [finding for finding in self.findings if finding.verdict == verdict]

    @property
    def exit_code(self) -> int:
        """3 where anything regressed, else 4 where anything could not be compared, else 0."""
        if self.of(REGRESSION):
            return REGRESSION_EXIT
        return NOT_COMPARABLE_EXIT if self.of(NOT_COMPARABLE) else FINE_EXIT
