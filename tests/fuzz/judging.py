"""What every fuzz test asks of a reader: a right result, or an error of one line; no traceback, no hang."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from bench.errors import BenchError

PATIENCE = 60
"""Seconds for one input, wide enough for a busy machine; the slowest take a fraction of one."""


class HangError(Exception):
    """An input took longer than anyone waits."""


@contextmanager
def in_time() -> Iterator[None]:
    """Raises ``HangError`` in whatever runs too long."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise HangError

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(PATIENCE)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class Tally:
    """How many inputs of a format were read, and how many refused."""

    def __init__(self, what: str) -> None:
        self.what, self.counts = what, Counter[str]()

    def judge(self, number: int, read: Callable[[], object], expected: Callable[[], object], shown: bytes) -> None:
        """``read`` gives what ``expected`` gives, or an error of one line. ``expected`` None: the file is wrong."""
        try:
            with in_time():
                found = read()
        except BenchError as error:
            said = str(error)
            assert "\n" not in said and said.strip() and error.exit_code in (1, 2), (self.what, number, said)
            self.counts["refused"] += 1
            return
        except Exception as error:
            raise AssertionError(
                f"{self.what}, input {number}: {type(error).__name__}: {str(error)[:300]}; {shown[:300]!r}"
            ) from error
        right = expected()
        assert found == right, (
            f"{self.what}, input {number}: {str(found)[:300]} is not {str(right)[:300]}; {shown[:300]!r}"
        )
        self.counts["read"] += 1

    def close(self, count: int) -> None:
        """Both outcomes must have come, or the inputs test nothing."""
        read, refused = self.counts["read"], self.counts["refused"]
        print(f"{self.what}: {count} inputs, {read} read right, {refused} refused in one line")
        assert sum(self.counts.values()) == count
        assert self.counts["read"] > count // 50 and self.counts["refused"] > count // 20, self.counts
