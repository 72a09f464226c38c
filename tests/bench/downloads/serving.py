"""A web server on this machine that misbehaves as it is told, one answer after the other."""

from __future__ import annotations

import hashlib
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from bench.downloads.fetch import Rules

PATIENT = 30.0
"""Seconds: more than any test waits."""


@dataclass
class Answer:
    """How one request is answered. Ranges are honoured where ``If-Range`` names the file's version."""

    content: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    etag: str | None = '"one"'
    modified: str | None = None
    stop_after: int | None = None
    """Bytes of the body after which the connection is closed."""
    stall_after: int | None = None
    """Bytes of the body after which nothing more comes."""
    ranges: bool = True
    heeds: bool = True
    """Whether ``If-Range`` is looked at."""
    first_byte: int | None = None
    """Where a range is said to begin, if not where it was asked to."""
    length: bool = True


@dataclass
class Site:
    """Answers by path, the last one for all further requests; and the requests that came."""

    answers: dict[str, list[Answer]]
    address: str = ""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)

    def url(self, path: str = "/data.bin") -> str:
        return f"{self.address}{path}"

    def ranges(self) -> list[str | None]:
        return [headers.get("range") for _, headers in self.asked]


@contextmanager
def serving(answers: dict[str, list[Answer]], context: ssl.SSLContext | None = None) -> Iterator[Site]:
    site = Site(answers)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(site))
    server.daemon_threads = True
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    site.address = f"http{'s' if context else ''}://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield site
    finally:
        site.released.set()
        server.shutdown()
        server.server_close()


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            headers = {name.lower(): value for name, value in self.headers.items()}
            site.asked.append((self.path, headers))
            waiting = site.answers.get(self.path)
            answer = Answer(status=404) if not waiting else waiting.pop(0) if len(waiting) > 1 else waiting[0]
            self._send(answer, headers)

        def _send(self, answer: Answer, headers: dict[str, str]) -> None:
            status, body, extra = answer.status, answer.content, dict(answer.headers)
            version = answer.etag or answer.modified
            begin = int(headers.get("range", "bytes=0-").removeprefix("bytes=").partition("-")[0])
            wanted = not answer.heeds or headers.get("if-range", version) == version
            if status == 200 and begin and answer.ranges and wanted:
                if begin >= len(body):
                    status, extra["Content-Range"], body = 416, f"bytes */{len(body)}", b""
                else:
                    said = begin if answer.first_byte is None else answer.first_byte
                    status, extra["Content-Range"] = 206, f"bytes {said}-{len(body) - 1}/{len(body)}"
                    body = body[begin:]
            self.send_response(status)
            for name, value in (("ETag", answer.etag), ("Last-Modified", answer.modified)):
                if value is not None:
                    self.send_header(name, value)
            for name, value in extra.items():
                self.send_header(name, value)
            if answer.length:
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            cut = answer.stop_after if answer.stop_after is not None else answer.stall_after
            try:
                self.wfile.write(body if cut is None else body[:cut])
                self.wfile.flush()
            except OSError:
                pass
            if answer.stall_after is not None:
                site.released.wait(PATIENT)
            if cut is not None or not answer.length:
                self.close_connection = True

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler


class Listening:
    """Keeps what a download said."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.bytes: list[int] = []

    def progress(self, name: str, done: int, total: int | None) -> None:
        self.bytes.append(done)

    def said(self, text: str) -> None:
        self.lines.append(text)


def rules(sleep: Callable[[float], None] | None = None, **changes: object) -> Rules:
    """Local http, short patience, and pauses that are noted and not waited for."""
    usual: dict[str, object] = {
        "allow_http": True,
        "connect": 5.0,
        "read": 5.0,
        "sleep": sleep or (lambda seconds: None),
    }
    return Rules(**{**usual, **changes})  # type: ignore[arg-type]


def noise(size: int, seed: bytes = b"a") -> bytes:
    """Bytes that no compression shortens, the same every time."""
    return hashlib.shake_256(seed).digest(size)


def in_(seconds: float) -> str:
    """An HTTP date so many seconds from now."""
    return time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + seconds))
