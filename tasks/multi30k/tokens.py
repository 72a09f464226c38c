"""Words of a sentence, and sentences of words.

The source's tokenizers are spaCy's; the rule here stands in for them without its models.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

UNKNOWN, PAD, BEGIN, END = 0, 1, 2, 3
SPECIALS = ("<unk>", "<pad>", "<bos>", "<eos>")
"""In the source's order."""

_WORD = re.compile(r"(?<=\w)['’]\w+|\w+|[^\w\s]")
_CLOSING = frozenset(".,;:!?)]}%…")
_OPENING = frozenset("([{$£€#")
_JOINING = frozenset("-/–")


def words(text: str) -> list[str]:
    """Runs of letters and digits, endings that begin with an apostrophe (``'s``), and every other mark by itself."""
    return _WORD.findall(text)


def sentence(tokens: Sequence[str]) -> str:
    """Readable text of ``tokens``: marks stand where they belong, hyphens and slashes join, quotes open and close."""
    parts: list[str] = []
    glued, quoted = True, False
    for token in tokens:
        closes = token == '"' and quoted
        attached = token in _CLOSING or token in _JOINING or (token[0] in "'’" and len(token) > 1) or closes
        parts.append(token if glued or attached else f" {token}")
        quoted ^= token == '"'
        glued = token in _OPENING or token in _JOINING or (token == '"' and quoted)
    return "".join(parts)
