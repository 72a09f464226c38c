"""What verbs write to stdout: plain text, whole, and quiet when the reader goes away."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.errors import UsageError

BROKEN_PIPE = 141
"""What a shell reports for a program that a closed pipe ended."""


class PipeClosedError(Exception):
    """The reader of stdout is gone; no error of anyone's."""


def write(made: str | bytes) -> None:
    """Writes text, or its UTF-8, to stdout; characters that its encoding lacks become ``?``."""
    text = made.decode() if isinstance(made, bytes) else made
    encoding = sys.stdout.encoding or "utf-8"
    try:
        # Line by line: of one long write Python can lose the end without a word when the reader leaves in its midst.
        sys.stdout.writelines(text.encode(encoding, "replace").decode(encoding).splitlines(keepends=True))
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise PipeClosedError from error
    except OSError as error:
        raise UsageError(f"cannot be written ({error.strerror or error})", where="the output") from error


def write_json(value: Any) -> None:
    """Writes ``value`` to stdout as indented JSON."""
    write(json.dumps(value, indent=2, sort_keys=True) + "\n")


def close_quietly() -> None:
    """Turns stdout to nowhere, so that the interpreter's last flush finds no closed pipe."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


def pairs(facts: Sequence[tuple[str, object]], indent: int = 0) -> str:
    """Names and values in two aligned columns, a line each."""
    width = max((len(name) for name, _ in facts), default=0)
    return "".join(f"{' ' * indent}{name:<{width}}  {value}".rstrip() + "\n" for name, value in facts)


def block(header: Sequence[str], lines: Sequence[Sequence[object]], right: Sequence[int] = ()) -> str:
    """A small table under a header; the columns numbered in ``right`` are aligned to the right."""
    cells = [[str(value) for value in line] for line in (header, *lines)]
    widths = [max(len(line[index]) for line in cells) for index in range(len(header))]
    drawn = (
        "  ".join(
            value.rjust(width) if index in right else value.ljust(width)
            for index, (value, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    )
    return "".join(f"{line}\n" for line in drawn)


def homely(path: Path | str) -> str:
    """The path with the home folder as ``~``."""
    absolute, home = str(path), str(Path.home())
    return "~" + absolute[len(home) :] if absolute == home or absolute.startswith(home + os.sep) else absolute
