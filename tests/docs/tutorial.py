"""Runs the tutorial, command after command in one folder, and compares what is printed with what the page shows.

``python -m tests.docs.tutorial`` (``make tutorial``) writes the page anew, but for outputs that leave lines out (…).
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cli import main
from bench.store import Store

PAGE = Path(__file__).parents[2] / "docs" / "tutorial.md"
LEFT_OUT = "…"
WIDTH = "110"
_RUN = re.compile(r"```(?P<language>sh|python)\n(?P<code>.*?)```\n(\n```text\n(?P<output>.*?)```\n)?", re.DOTALL)


@dataclass(frozen=True)
class Turn:
    """A command or snippet of the page, what the page shows of its output, and what it printed."""

    code: str
    shown: str | None
    printed: str


def turns(folder: Path) -> Iterator[Turn]:
    """Runs the page in ``folder``, which is the working folder."""
    names: dict[str, Any] = {"__name__": "tutorial"}
    for found in _RUN.finditer(PAGE.read_text()):
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            if found["language"] == "python":
                exec(compile(found["code"], str(PAGE), "exec"), names)
            else:
                typed = shlex.split(found["code"].replace("\\\n", ""))
                words = [_key(folder) if word == "KEY" else word for word in typed]
                assert words[0] == "bench"
                code = main(words[1:])
                assert code == 0, f"{found['code']} ended with {code}"
        yield Turn(found["code"], found["output"], printed.getvalue().rstrip("\n") + "\n")


def _key(folder: Path) -> str:
    """Of the cell that the page looks into."""
    records = Store(folder / "results").records()
    sought = ("magnitude", "trained", 0.9, 0)
    return next(r.key for r in records if (r.pruner, r.when, r.target_sparsity, r.seed) == sought)


def refresh() -> None:
    """Writes the outputs into the page, but for those that leave something out."""
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        found = [turn for turn in turns(Path(folder)) if turn.shown is not None]
    text = PAGE.read_text()
    for turn in found:
        assert turn.shown is not None
        if LEFT_OUT not in turn.shown:
            text = text.replace(
                f"{turn.code}```\n\n```text\n{turn.shown}", f"{turn.code}```\n\n```text\n{turn.printed}"
            )
    PAGE.write_text(text)


if __name__ == "__main__":
    os.environ["COLUMNS"] = WIDTH
    refresh()
