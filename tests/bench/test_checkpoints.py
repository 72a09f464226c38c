"""Checkpoints by name: folders, hub ids, packaged ones."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bench.checkpoints import resolve
from bench.errors import UsageError

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONTENTS = {
    "config.json": b'{"model_type": "bert"}',
    "model.safetensors": b"weights",
    "tokenizer.json": b"{}",
    "flax_model.msgpack": b"not wanted",
}


class Hub(BaseHTTPRequestHandler):
    """A model hub with one repository, as far as its client asks."""

    asked: list[str]

    def _answer(self, body: bytes, **headers: str) -> None:
        self.send_response(200)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def do_GET(self) -> None:
        self.asked.append(f"{self.command} {self.path}")
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/org/model"):
            siblings = [{"rfilename": name} for name in CONTENTS]
            files = [{"type": "file", "path": name, "size": len(b), "oid": "0" * 40} for name, b in CONTENTS.items()]
            found = files if "/tree/" in path else {"id": "org/model", "sha": COMMIT, "siblings": siblings}
            self._answer(json.dumps(found).encode(), Content_Type="application/json")
        elif path.startswith("/org/model/resolve/") and path.rsplit("/", 1)[1] in CONTENTS:
            body = CONTENTS[path.rsplit("/", 1)[1]]
            self._answer(body, ETag=f'"{hashlib.sha1(body).hexdigest()}"', X_Repo_Commit=COMMIT)
        else:
            self.send_error(404)

    do_HEAD = do_GET  # noqa: N815 - the name that the server calls

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[str]:
    """The address of a hub on this machine."""
    Hub.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


ASK = """
import json, sys
from bench.checkpoints import resolve
from bench.errors import UsageError
try:
    found = resolve(sys.argv[1])
    names = sorted(path.name for path in found.folder.iterdir()) if "fetch" in sys.argv else []
    print(json.dumps([found.label, found.digest, names]))
except UsageError as error:
    print(json.dumps(str(error)))
"""


def _ask(address: str, cache: Path, name: str, *more: str) -> object:
    """What a fresh process finds, as the hub's client reads its settings when imported."""
    environment = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1"}
    environment.pop("HF_HUB_OFFLINE", None)
    done = subprocess.run(
        [sys.executable, "-c", ASK, name, *more], env=environment, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def test_a_hub_id_is_known_by_its_commit_and_fetched_when_it_is_needed(hub: str, tmp_path: Path) -> None:
    assert _ask(hub, tmp_path, "org/model") == ["org/model", COMMIT, []]
    assert not any("model.safetensors" in line for line in Hub.asked), "planning fetches no weights"
    label, digest, names = _ask(hub, tmp_path, "org/model", "fetch")  # type: ignore[misc]
    assert (label, digest) == ("org/model", COMMIT)
    assert names == ["config.json", "model.safetensors", "tokenizer.json"]


def test_what_is_in_the_hubs_cache_needs_no_hub(hub: str, tmp_path: Path) -> None:
    _ask(hub, tmp_path, "org/model", "fetch")
    asked = len(Hub.asked)
    assert _ask(hub, tmp_path, "org/model", "fetch")[1] == COMMIT  # type: ignore[index]
    assert Hub.asked[asked:] == []


def test_a_repository_that_is_not_there_is_one_line(hub: str, tmp_path: Path) -> None:
    said = _ask(hub, tmp_path, "org/other")
    assert isinstance(said, str) and "org/other" in said and "\n" not in said and "hub id" in said


def test_a_hub_that_cannot_be_reached_is_one_line(tmp_path: Path) -> None:
    said = _ask("http://127.0.0.1:9", tmp_path, "org/model")
    assert isinstance(said, str) and "org/model" in said and "online" in said


def _folder(path: Path, weights: bytes = b"weights") -> Path:
    path.mkdir()
    (path / "config.json").write_text("{}")
    (path / "model.safetensors").write_bytes(weights)
    return path


def test_a_folder_is_known_by_its_content_wherever_it_lies(tmp_path: Path) -> None:
    here = resolve(str(_folder(tmp_path / "here")))
    there = resolve(str(_folder(tmp_path / "there")))
    other = resolve(str(_folder(tmp_path / "other", b"other weights")))
    assert here.label == "here" and here.folder == tmp_path / "here"
    assert here.digest == there.digest != other.digest


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no config\.json"):
        resolve(str(tmp_path))


def test_what_can_be_no_name_is_refused_without_asking_a_hub() -> None:
    with pytest.raises(UsageError, match="no such folder"):
        resolve("/no/such/folder")
