"""Which part of an official release the files of a data set are."""

from __future__ import annotations

from collections.abc import Sequence

from bench.data.files import SAMPLE, Files, digest_of_digests
from bench.sources import DataSet


def release_kind(files: Files, used: Sequence[str], release: DataSet, *, complete: bool) -> str:
    """The ``kind`` of ``DataIdentity``. ``complete``: there is as much as in the release. It is ``whole`` then, unless
    one of the files ``used`` has a known digest and another content: ``changed``."""
    if files.kind == SAMPLE:
        return SAMPLE
    if not complete:
        return "subset"
    known = {file.name: file.sha256 for file in release.files if file.sha256 and file.name in used}
    there = {name: digest for name, digest in known.items() if files.has(name)}
    return "whole" if files.digest(list(there)) == digest_of_digests(there) else "changed"
