"""Text from records made harmless in each format: names, titles and errors are anyone's, and may hold anything."""

from __future__ import annotations

import re
import unicodedata

_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_MARKDOWN = re.compile(r"[\\`*_{}\[\]<>|~$#&]")
_MARKDOWN_START = re.compile(r"^(?:[-+=](?=[-+=\s]|$)|\d+(?=[.)](?:\s|$)))")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_LIGATURE = re.compile("(?<=-)(?=-)|(?<=')(?=')|(?<=,)(?=,)")
"""Between two hyphens, apostrophes or commas, which LaTeX would set as one other sign."""
_LATEX = {
    "\N{ZERO WIDTH SPACE}": "{}",
    **{character: f"\\{character}" for character in "{}$&#%_"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"{\char34}", "`": r"{\char96}"},
    # After \\ a bracket or a star would be its argument.
    **{"[": "{[}", "]": "{]}", "*": "{*}"},
    **{"±": r"$\pm$", "×": r"$\times$", "↑": r"$\uparrow$", "↓": r"$\downarrow$", "→": r"$\to$", "Δ": r"$\Delta$"},
    **{"∞": r"$\infty$", "≤": r"$\leq$", "≥": r"$\geq$", "·": r"$\cdot$", "−": "$-$"},
    **{"†": r"$\dagger$", "°": r"$^\circ$"},
    **{"–": "--", "—": "---", "…": r"\ldots{}", "‘": "`{}", "’": "'{}", "“": "``{}", "”": "''{}", "✗": r"\textsf{x}"},
    **{"\u00a0": "~", "ß": r"\ss{}", "æ": r"\ae{}", "Æ": r"\AE{}", "ø": r"\o{}", "Ø": r"\O{}"},
    **{"ł": r"\l{}", "Ł": r"\L{}"},
    **{"α": r"$\alpha$", "β": r"$\beta$", "γ": r"$\gamma$", "δ": r"$\delta$", "ε": r"$\epsilon$", "λ": r"$\lambda$"},
    **{"μ": r"$\mu$", "µ": r"$\mu$", "σ": r"$\sigma$", "τ": r"$\tau$", "ρ": r"$\rho$", "θ": r"$\theta$"},
}  # fmt: skip
_ACCENTS = {
    **{"\u0300": "`", "\u0301": "'", "\u0302": "^", "\u0303": "~", "\u0304": "=", "\u0306": "u", "\u0307": "."},
    **{"\u0308": '"', "\u030a": "r", "\u030b": "H", "\u030c": "v", "\u0327": "c", "\u0328": "k"},
}


def printable(text: str) -> str:
    """One line without control characters, which could move a terminal's cursor or turn the direction of text."""
    return _UNPRINTABLE.sub(" ", text)


def clipped(text: str, most: int) -> str:
    """``printable`` text of at most so many characters, an ellipsis in the place of the rest."""
    if len(text) <= most and text.isascii() and text.isprintable():
        return text
    shown = printable(text[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def markdown(text: str) -> str:
    """Text that GitHub's Markdown shows as it is, in a table's cell, a list or a heading."""
    escaped = _MARKDOWN.sub(lambda found: "\\" + found[0], printable(text))
    return _MARKDOWN_START.sub(lambda found: "\\" + found[0] if not found[0].isdigit() else found[0] + "\\", escaped)


def csv_field(value: object) -> object:
    """A text that a spreadsheet would compute as a formula with an apostrophe before it; numbers as they are."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def latex(text: str) -> str:
    """Text as ASCII commands of plain LaTeX; a character that those cannot say reads ``[U+4E2D]``."""
    apart = _LIGATURE.sub("\N{ZERO WIDTH SPACE}", unicodedata.normalize("NFC", printable(text)))
    return "".join(_latex(character) for character in apart)


def _latex(character: str) -> str:
    if character in _LATEX:
        return _LATEX[character]
    if character.isascii():
        return character
    apart = unicodedata.normalize("NFD", character)
    base, marks = apart[0], apart[1:]
    if base.isascii() and base.isalpha() and len(marks) == 1 and marks[0] in _ACCENTS:
        dotless = {"i": r"\i", "j": r"\j"}.get(base, base)
        return f"\\{_ACCENTS[marks[0]]}{{{dotless if marks[0] not in 'ck' else base}}}"
    return f"{{[}}U+{ord(character):04X}{{]}}"
