"""One file over HTTP: resumed where it was cut, tried again where that helps, and never taken for what it is not.

A download lies in ``NAME.part`` until it is whole and its digest is right; ``NAME.part.json`` says of which version of
the file it is (the server's ETag or date), so that two versions are never joined. What lies there goes on in the next
attempt, and in the next process. requests does the HTTP, and so takes proxies from the environment.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import urljoin, urlsplit

import requests
import urllib3

from bench.errors import DataError
from bench.sources import Download

CHUNK = 1 << 18
REDIRECTS = 10
PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Answers after which another try may help."""
UNREACHED = 3
"""Tries where the server was not reached at all."""
MOST_TRIES = 1_000
PROGRESS = 1 << 20
"""Bytes after which a try counts as one that got on, and the tries begin anew."""
SLOWEST = 512
"""Bytes a second below which a connection is given up."""
LARGEST = 64 << 30
"""Bytes of any download at most."""
SLACK = 4
"""How many times larger than about its size a file may be whose size is not known to the byte."""


@dataclass(frozen=True)
class Rules:
    """How patient and how trusting a download is."""

    allow_http: bool = False
    """Unencrypted addresses: anyone on the way can change what comes."""
    connect: float = 10.0
    """Seconds to wait for a connection."""
    read: float = 30.0
    """Seconds to wait for the next bytes."""
    tries: int = 6
    """Without getting on."""
    wait: float = 1.0
    """Seconds before the second try; doubled each time."""
    longest_wait: float = 120.0
    """Seconds; a server that asks for a longer pause is not waited for."""
    sleep: Callable[[float], None] = time.sleep


class Watch(Protocol):
    """Is told how a download goes."""

    def progress(self, name: str, done: int, total: int | None) -> None: ...

    def said(self, text: str) -> None: ...


class UnreachableError(DataError):
    """The server cannot be reached at all, as on a machine without a network."""


class _PassingError(Exception):
    """Another try may help."""

    def __init__(self, what: str, *, after: float | None = None, reached: bool = True) -> None:
        super().__init__(what)
        self.after, self.reached = after, reached


class _StaleError(Exception):
    """What lies there is no part of what the server has now."""


@dataclass(frozen=True)
class Part:
    """An unfinished download on the disk."""

    path: Path

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.is_file() else 0

    @property
    def _about(self) -> Path:
        return self.path.with_name(f"{self.path.name}.json")

    def validator(self, url: str) -> str | None:
        """What ``If-Range`` takes to know the file by; None where nothing is known. A part of another address, or one
        that nothing is known of, is discarded."""
        try:
            about = json.loads(self._about.read_bytes())
            if about["url"] == url:
                return str(about["validator"]) or None
        except (OSError, ValueError, KeyError, TypeError):
            pass
        self.discard()
        return None

    def begin(self, url: str, validator: str) -> None:
        """An empty part of this version of the file."""
        self.discard()
        self._about.write_text(json.dumps({"url": url, "validator": validator}))

    def discard(self) -> None:
        for path in (self.path, self._about):
            path.unlink(missing_ok=True)

    def finish(self, place: Path) -> None:
        with self.path.open("rb") as stream:
            os.fsync(stream.fileno())
        self.path.replace(place)
        self._about.unlink(missing_ok=True)


def fetch(source: Download, place: Path, rules: Rules, watch: Watch) -> None:
    """Downloads ``source`` to ``place``, going on where an earlier attempt stopped.

    Raises ``DataError`` in one line where it cannot be had (``UnreachableError`` where no server answers) or is not
    what the source says; the part that came stays for the next attempt, unless it is wrong.
    """
    part = Part(place.with_name(f"{place.name}.part"))
    failures, before = 0, part.size
    with requests.Session() as session:
        for _ in range(MOST_TRIES):
            resumed = part.size
            try:
                _attempt(session, source, part, rules, watch)
            except _StaleError:
                part.discard()
                continue
            except _PassingError as trouble:
                failures, before = (failures + 1, before) if part.size - before < PROGRESS else (1, part.size)
                if failures >= (rules.tries if trouble.reached else min(UNREACHED, rules.tries)):
                    raise _given_up(source, trouble, part) from trouble
                pause = rules.wait * 2 ** (failures - 1) if trouble.after is None else trouble.after
                _check_pause(source, trouble, pause, rules)
                watch.said(f"{source.filename}: {trouble}; trying again in {pause:g} s")
                rules.sleep(pause)
                continue
            problem = mismatch(source, part.path)
            if problem is None:
                part.finish(place)
                return
            part.discard()
            if not resumed:
                raise DataError(problem, where=source.url, mend=_WRONG)
            watch.said(
                f"{source.filename}: what was joined from two attempts is not the file; fetching it from its start"
            )
            failures = 0
    raise _given_up(source, _PassingError("the connection breaks again and again"), part)


_WRONG = "Nothing was kept. The source may have changed: look at its page, or fetch the file elsewhere and give --from."


def mismatch(source: Download, path: Path) -> str | None:
    """How the file is not what the source says, or None."""
    size = path.stat().st_size
    if source.exact and size != source.size:
        return f"has {size:,} bytes, the official file {source.size:,}"
    for algorithm, wanted in (("sha256", source.sha256), ("md5", source.md5)):
        if wanted:
            found = digest(path, algorithm)
            return (
                None if found == wanted else f"is not the official file: {algorithm} {found}, which should be {wanted}"
            )
    return None


def digest(path: Path, algorithm: str = "sha256") -> str:
    """Hexadecimal digest of a file as it lies there. MD5 serves where a source states no other."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def _given_up(source: Download, trouble: _PassingError, part: Part) -> DataError:
    kept = f" {part.size:,} bytes are kept: the same command goes on from there." if part.size else ""
    if not trouble.reached:
        return UnreachableError(f"cannot be reached ({trouble})", where=source.url, mend=kept.strip() or None)
    return DataError(f"cannot be fetched ({trouble})", where=source.url, mend=kept.strip() or "Try again later.")


def _check_pause(source: Download, trouble: _PassingError, pause: float, rules: Rules) -> None:
    if pause > rules.longest_wait:
        raise DataError(
            f"the server asks to come back in {pause:,.0f} seconds ({trouble})",
            where=source.url,
            mend="Run the same command then: what has come is kept.",
        ) from trouble


def _attempt(session: requests.Session, source: Download, part: Part, rules: Rules, watch: Watch) -> None:
    """One request, and what comes of it appended to the part. Returns once the part is as long as it should be."""
    known = part.validator(source.url)
    if part.size and known is None and not (source.sha256 or source.md5):
        part.discard()  # nothing would tell a file that has changed since
    have = part.size
    if have > _most(source):
        raise _StaleError
    if have and source.exact and have == source.size:
        return
    headers = {"Accept-Encoding": "identity", "User-Agent": "prunebench", **source.headers}
    if have:
        headers["Range"] = f"bytes={have}-"
        if known is not None:
            headers["If-Range"] = known
    with _answered(session, source.url, headers, rules) as response:
        total = _expected(response, source, have)
        if response.status_code == 200:
            part.begin(source.url, _validator(response))
            have = 0
        elif known is not None and _validator(response) not in ("", known):
            raise _StaleError
        _receive(response, source, part, have, total, rules, watch)


@contextmanager
def _answered(
    session: requests.Session, url: str, headers: dict[str, str], rules: Rules
) -> Iterator[requests.Response]:
    """The answer, redirects followed."""
    for _ in range(REDIRECTS + 1):
        _check_scheme(url, rules)
        try:
            response = session.get(
                url, headers=headers, stream=True, allow_redirects=False, timeout=(rules.connect, rules.read)
            )
        except requests.exceptions.SSLError as error:
            raise DataError(
                f"no trustworthy connection ({_said(error)})",
                where=url,
                mend="Mend the machine's certificates (SSL_CERT_FILE, REQUESTS_CA_BUNDLE) or its clock.",
            ) from error
        except requests.exceptions.ReadTimeout as error:
            raise _PassingError(f"no answer within {rules.read:g} s") from error
        except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
            raise _PassingError(_said(error), reached=False) from error
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise DataError(f"cannot be asked for ({_said(error)})", where=url) from error
        if not response.is_redirect:
            with response:
                yield response
            return
        target = urljoin(url, response.headers["location"])
        response.close()
        if urlsplit(url).scheme == "https" and urlsplit(target).scheme == "http" and not rules.allow_http:
            raise DataError(
                f"leads from https to {target[:200]}, where anyone on the way can change the file",
                where=url,
                mend="--allow-http takes it all the same.",
            )
        url = target
    raise DataError(f"leads on more than {REDIRECTS} times", where=url)


def _check_scheme(url: str, rules: Rules) -> None:
    scheme = urlsplit(url).scheme
    if scheme == "https" or (scheme == "http" and rules.allow_http):
        return
    if scheme == "http":
        raise DataError(
            "is not encrypted: anyone on the way can change the file",
            where=url,
            mend="--allow-http takes it all the same.",
        )
    raise DataError(f"is no web address (scheme {scheme!r})", where=url)


def _expected(response: requests.Response, source: Download, have: int) -> int | None:
    """Length of the whole file as the answer gives it. Raises where the answer is not the file, or its rest."""
    status = response.status_code
    if status in PASSING:
        raise _PassingError(f"answer {status} {response.reason or ''}".strip(), after=_pause(response))
    if status == 416 and have:
        raise _StaleError
    if status not in (200, 206) or (status == 206 and not have):
        raise DataError(
            f"answer {status} {response.reason or ''}".strip(),
            where=source.url,
            mend="The source has moved or is closed: look at its page, or fetch the file elsewhere and give --from.",
        )
    coding = response.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("", "identity") and not source.filename.endswith((".gz", ".tgz")):
        raise DataError(f"comes in the coding {coding!r}, which was not asked for", where=source.url)
    if "html" in response.headers.get("content-type", "").lower():
        raise _no_file(source)
    total = _range_total(response, have) if status == 206 else _length(response)
    if total is None and not source.exact and not (source.sha256 or source.md5 or source.archive):
        raise DataError("the server does not say how long the file is, and nothing else does", where=source.url)
    _check_length(source, total)
    return total


def _no_file(source: Download) -> DataError:
    return DataError(
        "a web page came in the file's place",
        where=source.url,
        mend="A network's log-in page does that, or a source that has moved: look at the address in a browser.",
    )


def _length(response: requests.Response) -> int | None:
    length = response.headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdigit() else None


def _range_total(response: requests.Response, have: int) -> int | None:
    """``Content-Range: bytes 100-199/200`` must go on where the part ends."""
    unit, _, said = response.headers.get("content-range", "").partition(" ")
    span, _, total = said.partition("/")
    first, _, _ = span.partition("-")
    if unit.lower() != "bytes" or first.strip() != str(have):
        raise _StaleError
    return int(total) if total.isascii() and total.isdigit() else None


def _check_length(source: Download, total: int | None) -> None:
    if total is None:
        return
    if source.exact and total != source.size:
        raise DataError(
            f"the server's file has {total:,} bytes, the official one {source.size:,}", where=source.url, mend=_WRONG
        )
    if total > _most(source):
        raise DataError(
            f"the server's file has {total:,} bytes, far more than about {source.size:,}", where=source.url, mend=_WRONG
        )


def _most(source: Download) -> int:
    return source.size if source.exact else min(LARGEST, max(SLACK * source.size, PROGRESS))


def _validator(response: requests.Response) -> str:
    """What names this version of the file in ``If-Range``: a strong ETag, else the date; empty where there is none."""
    etag = response.headers.get("etag", "").strip()
    return etag if etag and not etag.startswith("W/") else response.headers.get("last-modified", "").strip()


def _pause(response: requests.Response) -> float | None:
    """Seconds that ``Retry-After`` asks for, given as a number or as a date."""
    asked = response.headers.get("retry-after", "").strip()
    if asked.isascii() and asked.isdigit():
        return float(asked[:9])
    with suppress(TypeError, ValueError, OverflowError):
        return max(0.0, parsedate_to_datetime(asked).timestamp() - time.time())
    return None


def _receive(
    response: requests.Response, source: Download, part: Part, have: int, total: int | None, rules: Rules, watch: Watch
) -> None:
    """Appends what comes to the part. Raises ``_PassingError`` where it ends early, or comes too slowly."""
    most, since, counted = _most(source), time.monotonic(), have
    with part.path.open("ab" if have else "wb") as stream:
        try:
            while block := response.raw.read1(CHUNK, decode_content=False):
                if not have and block.lstrip()[:14].lower().startswith((b"<!doctype html", b"<html")):
                    raise _no_file(source)
                have += len(block)
                if have > (most if total is None else total):
                    raise DataError(
                        f"goes on beyond {most if total is None else total:,} bytes", where=source.url, mend=_WRONG
                    )
                stream.write(block)
                watch.progress(source.filename, have, total or (source.size if source.exact else None))
                now = time.monotonic()
                if now - since > 2 * rules.read:
                    if have - counted < SLOWEST * (now - since):
                        raise _PassingError(f"less than {SLOWEST} bytes a second")
                    since, counted = now, have
        except urllib3.exceptions.ReadTimeoutError as error:
            raise _PassingError(f"nothing came for {rules.read:g} s") from error
        except (urllib3.exceptions.HTTPError, requests.RequestException, ConnectionError) as error:
            raise _PassingError(f"the connection broke after {have:,} bytes") from error
    if have < (total if total is not None else source.size if source.exact else 0):
        raise _PassingError(f"the connection ended after {have:,} bytes")


def _said(error: BaseException) -> str:
    """The innermost reason, in a few words."""
    while True:
        inner = getattr(error, "reason", None) or next((a for a in error.args if isinstance(a, BaseException)), None)
        if not isinstance(inner, BaseException) or inner is error:
            break
        error = inner
    text = " ".join(str(error).split()) or type(error).__name__
    return text.rpartition(">: ")[2][:160]
