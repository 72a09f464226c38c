"""What was downloaded into a data set's folder: addresses, digests, and against what they were checked.

Lies as ``.source.json`` in the folder. Where a source states no digest, this is the record of the first download: a
later change of the files shows against it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

NAME = ".source.json"
LARGEST = 1 << 20
RECORDED = "recorded on the first download: the source states none"
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Fetched:
    """One download."""

    url: str
    size: int
    sha256: str
    checked: str
    """``sha256``, ``md5``, or that nothing was there to check against."""


@dataclass(frozen=True)
class Manifest:
    """All of a data set."""

    downloads: tuple[Fetched, ...]
    files: Mapping[str, str]
    """Name of each file, as readers call it, to the SHA-256 of its uncompressed content."""


def dumps(manifest: Manifest) -> str:
    return json.dumps(asdict(manifest), indent=1, sort_keys=True) + "\n"


def read(folder: Path) -> Manifest | None:
    """The manifest of a folder; None where there is none that can be read."""
    path = folder / NAME
    try:
        if path.stat().st_size > LARGEST:
            return None
        body = json.loads(path.read_bytes())
        files = {str(name): str(digest) for name, digest in body["files"].items()}
        if not all(_DIGEST.fullmatch(digest) for digest in files.values()):
            return None
        downloads = tuple(
            Fetched(str(one["url"]), int(one["size"]), str(one["sha256"]), str(one["checked"]))
            for one in body["downloads"]
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return Manifest(downloads, files)
