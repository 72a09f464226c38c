"""Finds, opens and identifies data sets: ``places`` says where they are looked for, ``files`` how they are read."""

from bench.data.cache import cache_folder, file_digest
from bench.data.files import SAMPLE, DataIdentity, Files, Folder, Memory, columns, content_digest, lines, read
from bench.data.places import find, located, source
from bench.data.release import release_kind

__all__ = [
    "SAMPLE",
    "DataIdentity",
    "Files",
    "Folder",
    "Memory",
    "cache_folder",
    "columns",
    "content_digest",
    "file_digest",
    "find",
    "lines",
    "located",
    "read",
    "release_kind",
    "source",
]
