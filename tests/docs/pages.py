"""The pages that users read, and what in them can be run: commands, snippets, files, flags."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
PROGRAMS = ("bench", "make", "pip", "pytest", "python")
SHELL = ("", "sh", "console")
_TITLE = re.compile(r'title="([^"]+)"')
_OPTIONAL = re.compile(r"\[[^]]*\]")
_COMMENT = re.compile(r"# (\w+\.py)\n")


@dataclass(frozen=True)
class Block:
    """A code block, fenced or indented."""

    page: str
    line: int
    """Of its first line of code, from 1."""
    language: str
    title: str | None
    """The file that it is: in the fence, or a comment in its first line."""
    text: str


@dataclass(frozen=True)
class Command:
    """One command line as a page shows it."""

    page: str
    line: int
    words: tuple[str, ...]
    """Without what stands in brackets, and without the dots of what is left out."""
    flags: frozenset[str]
    """All of them, those in brackets too."""
    elided: bool
    """Something is left out: three dots."""
    named: bool
    """It stands in a sentence, not in a block of its own."""

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {' '.join(self.words)}"


@cache
def blocks(page: Path) -> tuple[Block, ...]:
    found = []
    for token in MarkdownIt("commonmark").parse(page.read_text()):
        if token.type not in ("fence", "code_block"):
            continue
        title = _TITLE.search(token.info) or _COMMENT.match(token.content)
        line = (token.map or [0])[0] + (2 if token.type == "fence" else 1)
        language = token.info.split()[0] if token.info.strip() else ""
        found.append(Block(page.name, line, language, title[1] if title else None, token.content))
    return tuple(found)


@cache
def spans(page: Path) -> tuple[tuple[int, str], ...]:
    """Line of the paragraph and text of each span of code."""
    return tuple(
        ((token.map or [0])[0] + 1, child.content)
        for token in MarkdownIt("commonmark").parse(page.read_text())
        for child in token.children or ()
        if child.type == "code_inline"
    )


def commands(page: Path) -> Iterator[Command]:
    """Every command line of a page, in blocks and in spans; alternatives (``md|csv``) are a command each."""
    for block in blocks(page):
        if block.language in SHELL:
            for number, line in _joined(block.text):
                yield from _read(page, block.line + number, line, named=False)
    for number, span in spans(page):
        yield from _read(page, number, span, named=True)


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """Lines with those that a backslash goes on with, and where each begins."""
    began, held = 0, ""
    for number, line in enumerate(text.splitlines()):
        if not held:
            began = number
        held += line.removesuffix("\\")
        if not line.endswith("\\"):
            yield began, held
            held = ""


def _read(page: Path, line: int, text: str, named: bool) -> Iterator[Command]:
    program = text.split()[:1]
    if not program or program[0].removeprefix(".venv/bin/") not in PROGRAMS:
        return
    whole = shlex.split(text, comments=True)
    flags = frozenset(word.strip("[]").split("=")[0] for word in whole if word.strip("[]").startswith("--"))
    needed = _OPTIONAL.sub("", text) if program == ["bench"] else text
    words = [word.removeprefix(".venv/bin/") for word in shlex.split(needed, comments=True) if word != "..."]
    for chosen in product(*(word.split("|") for word in words)):
        yield Command(page.name, line, chosen, flags, "..." in whole, named)
