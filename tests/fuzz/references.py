"""Slow, literal readings of the formats, written without a look at ours and sharing no code with them.

Each returns what a file holds, or None where it is not of the format.
"""

from __future__ import annotations

import re
import struct
from typing import Any

BLANKS = " \t\r\x0b\x0c"
DIGITS = "0123456789"


def lines(content: bytes) -> list[str] | None:
    """Lines of UTF-8 text without their ends; None for what is no UTF-8."""
    try:
        text = content.decode("utf-8", "strict")
    except UnicodeDecodeError:
        return None
    if text.startswith("\ufeff"):
        text = text[1:]
    found = text.split("\n")
    if content.endswith(b"\n") or not content:
        found.pop()
    elif found == [""]:  # nothing but a byte-order mark: one line, and it is empty
        found = [""]
    return [line.rstrip("\r") for line in found]


def blank_separated(line: str) -> list[str]:
    fields, current = [], ""
    for letter in line + " ":
        if letter in BLANKS:
            fields += [current] if current else []
            current = ""
        else:
            current += letter
    return fields


def natural(text: str) -> int | None:
    """A number as ids are written: digits, no sign, no zeros before it; below 2^63."""
    if not text or any(letter not in DIGITS for letter in text) or len(text) > 19 or (text[0] == "0" and len(text) > 1):
        return None
    return int(text) if int(text) < 2**63 else None


def relevance(text: str) -> int | None:
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not digits or len(digits) > 4 or any(letter not in DIGITS for letter in digits) or int(digits) > 1000:
        return None
    return int(text)


def run(content: bytes) -> dict[int, list[int]] | None:
    """TREC run: by query, documents by falling score, equal ones as they stand in the file."""
    rows = lines(content)
    if not rows:
        return None
    found: dict[int, list[tuple[float, int]]] = {}
    for row in rows:
        fields = blank_separated(row)
        if len(fields) != 6:
            return None
        query, document = natural(fields[0]), natural(fields[2])
        if not re.fullmatch(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", fields[4], re.ASCII):
            return None
        score = float(fields[4])
        if query is None or document is None or not abs(score) < 3.5e38:
            return None
        ranked = found.setdefault(query, [])
        if any(document == other for _, other in ranked):
            return None
        place = len(ranked)
        while place and ranked[place - 1][0] < score:
            place -= 1
        ranked.insert(place, (score, document))
    return {query: [document for _, document in ranked] for query, ranked in found.items()}


def trec_qrels(content: bytes) -> list[tuple[int, int, int]] | None:
    rows = lines(content)
    if not rows:
        return None
    found = []
    for row in rows:
        fields = blank_separated(row)
        if len(fields) != 4:
            return None
        query, passage, grade = natural(fields[0]), natural(fields[2]), relevance(fields[3])
        if query is None or passage is None or grade is None:
            return None
        found.append((query, passage, grade))
    return found


def numbered(content: bytes) -> list[tuple[int, str]] | None:
    """MS MARCO's collection and queries: number, tab, text; no number twice."""
    rows = lines(content)
    if not rows:
        return None
    found: list[tuple[int, str]] = []
    for row in rows:
        number, tab, text = row.partition("\t")
        known = natural(number)
        if not tab or known is None or not text.strip() or known in {other for other, _ in found}:
            return None
        found.append((known, text))
    return found


def beir_qrels(content: bytes, queries: set[str], documents: set[str]) -> list[tuple[str, str, int]] | None:
    rows = lines(content)
    if not rows or rows[0] != "query-id\tcorpus-id\tscore" or len(rows) < 2:
        return None
    found: list[tuple[str, str, int]] = []
    for row in rows[1:]:
        fields = row.split("\t")
        if len(fields) != 3 or fields[0] not in queries or fields[1] not in documents:
            return None
        grade = relevance(fields[2])
        if grade is None or any(fields[:2] == [query, document] for query, document, _ in found):
            return None
        found.append((fields[0], fields[1], grade))
    return found


def json_rows(content: bytes) -> list[dict[str, Any]] | None:
    """An object a line."""
    rows = lines(content)
    if not rows:
        return None
    found = []
    for row in rows:
        value = json_value(row)
        if not isinstance(value, dict):
            return None
        found.append(value)
    return found


DEEPEST = 400


def json_value(text: str) -> Any:
    """One JSON value by RFC 8259, letter by letter; Ellipsis where it is none, or nested deeper than ``DEEPEST``."""
    found = _value(text, _blank(text, 0), 0)
    if found is None or _blank(text, found[1]) != len(text):
        return ...
    return found[0]


def _blank(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _value(text: str, at: int, depth: int) -> tuple[Any, int] | None:
    if depth > DEEPEST:
        return None
    for word, meaning in (("null", None), ("true", True), ("false", False)):
        if text.startswith(word, at):
            return meaning, at + len(word)
    letter = text[at : at + 1]
    if letter == '"':
        return _string(text, at)
    if letter in ("[", "{"):
        return _container(text, at, depth)
    match = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?", re.ASCII).match(text, at)
    if match is None or (match[0].lstrip("-").isdigit() and len(match[0]) > 4_300):
        return None
    return ("number", match[0]), match.end()


def _container(text: str, at: int, depth: int) -> tuple[Any, int] | None:
    opened = text[at]
    closed = "]" if opened == "[" else "}"
    found: Any = [] if opened == "[" else {}
    at = _blank(text, at + 1)
    if text[at : at + 1] == closed:
        return found, at + 1
    while True:
        name = None
        if opened == "{":
            key = _string(text, at) if text[at : at + 1] == '"' else None
            if key is None:
                return None
            name, at = key[0], _blank(text, key[1])
            if text[at : at + 1] != ":":
                return None
            at = _blank(text, at + 1)
        inner = _value(text, at, depth + 1)
        if inner is None:
            return None
        if name is None:
            found.append(inner[0])
        else:
            found[name] = inner[0]
        at = _blank(text, inner[1])
        if text[at : at + 1] == closed:
            return found, at + 1
        if text[at : at + 1] != ",":
            return None
        at = _blank(text, at + 1)


ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


def _string(text: str, at: int) -> tuple[str, int] | None:
    units: list[int] = []
    at += 1
    while at < len(text):
        letter = text[at]
        if letter == '"':
            raw = b"".join(struct.pack("<H", unit) for unit in units)
            return raw.decode("utf-16-le", "surrogatepass"), at + 1
        if letter < " ":
            return None
        if letter != "\\":
            encoded = letter.encode("utf-16-le")
            units += struct.unpack(f"<{len(encoded) // 2}H", encoded)
            at += 1
            continue
        escape = text[at + 1 : at + 2]
        if escape == "u":
            digits = text[at + 2 : at + 6]
            if len(digits) < 4 or any(digit not in "0123456789abcdefABCDEF" for digit in digits):
                return None
            units.append(int(digits, 16))
            at += 6
        elif escape in ESCAPES and escape:
            units.append(ord(ESCAPES[escape]))
            at += 2
        else:
            return None
    return None


def is_whole(text: str) -> bool:
    return not any(0xD800 <= ord(letter) <= 0xDFFF for letter in text)


def beir_id(value: Any) -> bool:
    return isinstance(value, str) and is_whole(value) and bool(value) and not any(letter.isspace() for letter in value)


def beir_documents(content: bytes) -> dict[str, tuple[str, str]] | None:
    rows = json_rows(content)
    if rows is None:
        return None
    found: dict[str, tuple[str, str]] = {}
    for row in rows:
        number, text, title = row.get("_id"), row.get("text"), row.get("title")
        title = "" if title is None else title
        if not beir_id(number) or not isinstance(text, str) or not isinstance(title, str) or number in found:
            return None
        if not is_whole(text + title) or not f"{title} {text}".strip():
            return None
        found[str(number)] = (title, text)
    return found


def beir_queries(content: bytes) -> dict[str, str] | None:
    rows = json_rows(content)
    if rows is None:
        return None
    found: dict[str, str] = {}
    for row in rows:
        number, text = row.get("_id"), row.get("text")
        if (
            not beir_id(number)
            or not isinstance(text, str)
            or not is_whole(text)
            or not text.strip()
            or number in found
        ):
            return None
        found[str(number)] = text
    return found


def comma_separated(content: bytes) -> list[tuple[str, str]] | None:
    """AG News: class and joined text of each row; fields in quotes may hold line ends and doubled quotes."""
    rows = lines(content)
    if rows is None:
        return None
    text = "".join(row + "\n" for row in rows)
    records: list[list[str]] = []
    fields: list[str] = []
    current, state = "", "start"
    for letter in text:
        if state == "quoted":
            if letter == '"':
                state = "quote"
            else:
                current += letter
            continue
        if letter == '"' and state == "quote":
            current, state = current + '"', "quoted"
        elif letter == '"' and state == "start":
            state = "quoted"
        elif letter == ",":
            fields, current, state = [*fields, current], "", "start"
        elif letter == "\n":
            if state == "start" and not fields and not current:
                records.append([])
            else:
                records.append([*fields, current])
            fields, current, state = [], "", "start"
        elif state == "quote" or letter == "\r":
            return None  # something behind a closing quote, or a bare carriage return
        else:
            current, state = current + letter, "plain"
        if len(current) > 131_072:
            return None
    if state == "quoted" or not records:
        return None
    if any(len(record) != 3 or record[0] not in ("1", "2", "3", "4") for record in records):
        return None
    return [(label, f"{title} {body}" if title else body) for label, title, body in records]


def idx(images: bytes, labels: bytes) -> tuple[bytes, bytes] | None:
    """MNIST: labels and pixels."""
    if len(images) < 16 or len(labels) < 8:
        return None
    kind, count, rows, columns = struct.unpack(">IIII", images[:16])
    other, labelled = struct.unpack(">II", labels[:8])
    if (kind, rows, columns, other) != (0x803, 28, 28, 0x801) or count != labelled or not 0 < count <= 1_000_000:
        return None
    if len(images) != 16 + 784 * count or len(labels) != 8 + count or any(label > 9 for label in labels[8:]):
        return None
    return labels[8:], images[16:]


def rows_of_pixels(content: bytes) -> list[tuple[int, bytes]] | None:
    """CIFAR-10's binary version: label and pixels of each row."""
    found = []
    while content:
        row, content = content[:3073], content[3073:]
        if len(row) < 3073 or row[0] > 9:
            return None
        found.append((row[0], row[1:]))
    return found or None


def sentences(source: bytes, target: bytes) -> list[tuple[str, str]] | None:
    """Multi30k: pairs of lines, none of them empty."""
    left, right = lines(source), lines(target)
    if not left or not right or len(left) != len(right):
        return None
    pairs = [(one.strip(), other.strip()) for one, other in zip(left, right, strict=True)]
    return pairs if all(one and other for one, other in pairs) else None
