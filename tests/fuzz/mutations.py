"""Seeded mutations of valid files: the same seed and number give the same bytes on every machine."""

from __future__ import annotations

import gzip
import lzma
import random
import re
from collections.abc import Callable, Sequence

Mutation = Callable[[bytes, random.Random], bytes]

NUMBERS = (
    "nan", "NaN", "-nan", "inf", "-inf", "Infinity", "-Infinity", "1e999", "-1e999", "1e-999", "1e38", "3.5e38",
    "1e308", "-1", "-0", "+1", "0", "00", "007", "1_000", "0x10", "1e3", "1.5", ".5", "5.", "1,5", "1.",
    "\u0661\u0662\u0663", "\uff11", "\u00b2", "\u00bd", "", " ", "9" * 18, "9" * 19, "9" * 25, "9" * 5_000, str(2**31),
    str(2**63 - 1), str(2**63), str(-(2**63)), str(2**64), "true", "null", "None",
)  # fmt: skip
INSERTED = (
    "\u00a0", "\u2028", "\u2029", "\u0085", "\u200b", "\ufeff", "\u3000", "\u202e", "\u00e9", "e\u0301", "\U0001f600",
    "\U0010ffff", "\x1c", "\x1f", "\x7f", "\x0b", "\x0c", "\b", "\t", " ", "\r", "\n", "\r\n", '"', "'", "\\", ",", "[",
    "{", "}", "]", ":", "#", "=", "\\u0000", "\\ud800", "\\ud83d\\ude00", "\\x41",
)  # fmt: skip
BROKEN = (b"\xff", b"\xc3", b"\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\xfe\xff", b"\0", b"\0" * 64)
_NUMBER = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?")


def _cut(content: bytes, draw: random.Random) -> tuple[int, int]:
    first, second = sorted(draw.randrange(len(content) + 1) for _ in range(2))
    return first, second


def flip(content: bytes, draw: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 8))):
        if changed:
            changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def truncate(content: bytes, draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content) + 1)]


def behead(content: bytes, draw: random.Random) -> bytes:
    return content[draw.randrange(len(content) + 1) :]


def delete(content: bytes, draw: random.Random) -> bytes:
    first, last = _cut(content, draw)
    return content[:first] + content[min(last, first + draw.choice((1, 2, 9, 400))) :]


def duplicate(content: bytes, draw: random.Random) -> bytes:
    first, last = _cut(content, draw)
    return content[:last] + content[first:]


def insert(content: bytes, draw: random.Random) -> bytes:
    at = draw.randrange(len(content) + 1)
    what = draw.choice((draw.choice(INSERTED).encode(), draw.choice(BROKEN), draw.randbytes(draw.choice((1, 4, 32)))))
    return content[:at] + what * draw.choice((1, 1, 1, 3, 200)) + content[at:]


def renumber(content: bytes, draw: random.Random) -> bytes:
    """Replaces numbers by what is none, or a very large or small one, or one in another script."""
    found = [*_NUMBER.finditer(content)]
    if not found:
        return insert(content, draw)
    for match in sorted(draw.sample(found, min(len(found), draw.choice((1, 1, 2)))), key=lambda m: -m.start()):
        content = content[: match.start()] + draw.choice(NUMBERS).encode() + content[match.end() :]
    return content


def _by_lines(change: Callable[[list[bytes], random.Random], None]) -> Mutation:
    def changed(content: bytes, draw: random.Random) -> bytes:
        lines = content.split(b"\n")
        change(lines, draw)
        return b"\n".join(lines)

    return changed


def _repeat_line(lines: list[bytes], draw: random.Random) -> None:
    lines.insert(draw.randrange(len(lines) + 1), draw.choice(lines))


def _drop_line(lines: list[bytes], draw: random.Random) -> None:
    del lines[draw.randrange(len(lines))]


def _swap_lines(lines: list[bytes], draw: random.Random) -> None:
    one, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]


def _empty_line(lines: list[bytes], draw: random.Random) -> None:
    lines.insert(draw.randrange(len(lines) + 1), draw.choice((b"", b" ", b"\t", b"\r")))


def _mix_line(lines: list[bytes], draw: random.Random) -> None:
    at = draw.randrange(len(lines))
    one, other = lines[at], draw.choice(lines)
    lines[at] = one[: draw.randrange(len(one) + 1)] + other[draw.randrange(len(other) + 1) :]


def separators(content: bytes, draw: random.Random) -> bytes:
    old, new = draw.sample((b"\t", b" ", b"  ", b",", b"\t\t", b"\xc2\xa0", b"\n", b"\r\n", b"\r", b'"', b'""'), 2)
    return content.replace(old, new, draw.choice((1, 3, -1)))


def boundary(content: bytes, draw: random.Random) -> bytes:
    """Marks at the start or the end that mean nothing, or nearly nothing."""
    return draw.choice(
        (
            b"\xef\xbb\xbf" + content,
            b"\xef\xbb\xbf" * 2 + content,
            b"\n" + content,
            content + b"\n",
            content.rstrip(b"\n"),
            content + b"\x00",
            content + b"\x1a",
            content.replace(b"\n", b"\r\n"),
            b"",
            content * 2,
            content.decode("utf-8", "replace").encode("utf-16"),
            content.decode("utf-8", "replace").encode("latin-1", "replace"),
        )
    )


def nest(content: bytes, draw: random.Random) -> bytes:
    """Brackets as deep as no parser goes, in the place of a value."""
    depth = draw.choice((3, 100, 5_000, 100_000))
    opened, closed = draw.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"{a=", b"}"), (b"(", b")")))
    what = opened * depth + b"1" + closed * draw.choice((depth, depth - 1, 0))
    values = [*re.finditer(rb'"[^"\n]*"|[0-9.]+', content)]
    if not values:
        return content + what
    match = draw.choice(values)
    return content[: match.start()] + what + content[match.end() :]


def lengthen(content: bytes, draw: random.Random) -> bytes:
    """One stretch many times over: a line, a number or a text of a megabyte."""
    first, last = _cut(content, draw)
    piece = content[first : min(last, first + 40)] or b"x"
    return content[:first] + piece * (draw.choice((2_000, 200_000, 1_000_000)) // len(piece)) + content[last:]


def value(content: bytes, draw: random.Random) -> bytes:
    """Another kind of value in the place of a quoted one, or a second one of the same name."""
    values = [*re.finditer(rb'"[^"\n]*"', content)]
    if not values:
        return renumber(content, draw)
    match = draw.choice(values)
    other = draw.choice(
        (b"null", b"true", b"3", b"-1.5", b"[]", b"{}", b'["a"]', b'{"a": 1}', b"NaN", b"1e999", b'""', b'" "',
         b'"\\ud800"', b'"\\u0000"', b"1979-05-27", b"'''a'''", b'"a\\nb"', b'"a\tb"', b"9" * 5_000,
         draw.choice(values)[0])
    )  # fmt: skip
    return content[: match.start()] + other + content[match.end() :]


TEXT: tuple[Mutation, ...] = (
    flip, truncate, behead, delete, duplicate, insert, insert, renumber, renumber, renumber, _by_lines(_repeat_line),
    _by_lines(_drop_line), _by_lines(_swap_lines), _by_lines(_empty_line), _by_lines(_mix_line), separators, boundary,
    nest, lengthen, value, value,
)  # fmt: skip
BINARY: tuple[Mutation, ...] = (flip, flip, flip, truncate, behead, delete, duplicate, insert, boundary)


def mutated(seeds: Sequence[bytes], number: int, kinds: Sequence[Mutation] = TEXT, salt: str = "") -> bytes:
    """Mutation ``number`` of one of the seeds: one to three changes, or a splice of two seeds."""
    draw = random.Random(f"{salt} {number}")
    content = draw.choice(seeds)
    if len(seeds) > 1 and draw.random() < 0.05:
        other = draw.choice(seeds)
        content = content[: draw.randrange(len(content) + 1)] + other[draw.randrange(len(other) + 1) :]
    for _ in range(draw.choice((1, 1, 1, 2, 3))):
        content = draw.choice(kinds)(content, draw)
    return content


def packed(content: bytes, draw: random.Random) -> tuple[str, bytes]:
    """The content compressed, and the archive changed as well in half of the cases: suffix and bytes."""
    suffix, pack = draw.choice(((".gz", gzip.compress), (".xz", lzma.compress)))
    archive = pack(content)
    if draw.random() < 0.5:
        archive = draw.choice((flip, truncate, delete, duplicate, insert))(archive, draw)
    return suffix, archive


def same(content: bytes, draw: random.Random) -> tuple[str, bytes]:
    """The same text in another dress: line ends, a byte-order mark, no last line end, compressed, in parts."""
    if draw.random() < 0.5:
        content = content.replace(b"\n", b"\r\n")
    if draw.random() < 0.3:
        content = b"\xef\xbb\xbf" + content
    if draw.random() < 0.5:
        content = content.rstrip(b"\r\n")
    return dressed(content, draw)


def dressed(content: bytes, draw: random.Random) -> tuple[str, bytes]:
    """The same bytes plain or compressed: suffix and bytes."""
    suffix = draw.choice(("", ".gz", ".xz"))
    if not suffix:
        return suffix, content
    half = draw.randrange(len(content) + 1)
    pack = gzip.compress if suffix == ".gz" else lzma.compress
    padding = bytes(4 * draw.randrange(3)) if suffix == ".xz" else b""
    return suffix, pack(content[:half]) + padding + pack(content[half:]) + padding
