"""The errors that a user may see, each one line: what is wrong, where, and how to mend it.

Imports nothing of ours. ``exit_code`` is what the command line returns for an error of that class.
"""

from __future__ import annotations


class BenchError(Exception):
    """Something the user can mend; nothing computed so far is lost."""

    exit_code = 2

    def __init__(self, what: str, *, where: str | None = None, mend: str | None = None) -> None:
        self.what, self.where, self.mend = what, where, mend
        super().__init__(what, where, mend)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        advice = f" {self.mend}" if self.mend else ""
        return " ".join(f"{place}{self.what.rstrip('.')}.{advice}".splitlines())


class Interrupted(Exception):  # noqa: N818 - it is no error
    """The run was asked to stop; all that was done is saved."""


class UsageError(BenchError):
    """A flag, a name or a value that cannot be."""


class DataError(BenchError):
    """A data file that is missing, damaged or inconsistent."""


class StoreError(BenchError):
    """A results folder that cannot be read or written."""


class CellError(BenchError):
    """What makes one cell fail while the rest of the grid goes on (a NaN loss or metric, say)."""

    exit_code = 1
