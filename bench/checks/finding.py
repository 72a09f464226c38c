"""What a check found, and how one is carried out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One sentence of the contract, and what is wrong with it."""

    check: str
    problem: str = ""
    """Empty where the contract holds."""

    @property
    def ok(self) -> bool:
        return not self.problem


class Breach(Exception):  # noqa: N818 - it is a finding, not an error
    """The contract does not hold; the message says how."""


def require(holds: bool, otherwise: str) -> None:
    """Raises ``Breach`` unless ``holds``."""
    if not holds:
        raise Breach(otherwise)


def examine(check: str, work: Callable[[], object]) -> Finding:
    """Carries out a check; whatever it raises is its problem, in one line."""
    try:
        work()
    except Breach as breach:
        return Finding(check, str(breach))
    except (Exception, SystemExit) as error:
        return Finding(check, " ".join(f"it raises {type(error).__name__}: {error}".split()))
    return Finding(check)
