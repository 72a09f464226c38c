"""What is called whole: as much as the official release, with its content where that is known."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pytest

from bench.data import Folder, Memory, release_kind
from bench.sources import DataSet, Download, File
from reports.layout import data_kind

CONTENT = {"a.txt": b"first\n", "b.txt": b"second\n", "c.txt": b"of no known digest\n"}


def release() -> DataSet:
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()} | {"c.txt": ""}
    files = [File(name, sha256=digest) for name, digest in digests.items()]
    return DataSet("toy", "", "", "", tuple(Download(f"https://toy/{file.name}", (file,), 9) for file in files))


def kind(contents: dict[str, bytes], complete: bool = True, used: tuple[str, ...] = tuple(CONTENT)) -> str:
    return release_kind(Memory("toy", contents, kind="real"), used, release(), complete=complete)


def test_content_decides_where_a_digest_is_known() -> None:
    assert kind(CONTENT) == "whole"
    assert kind({**CONTENT, "b.txt": b"sec0nd\n"}) == "changed"
    assert kind({**CONTENT, "c.txt": b"other\n"}) == "whole", "counts are all there is to go by"


def test_a_file_that_is_not_used_decides_nothing_and_a_part_has_other_digests() -> None:
    assert kind({**CONTENT, "b.txt": b"sec0nd\n"}, used=("a.txt", "c.txt")) == "whole"
    assert kind({**CONTENT, "b.txt": b"\n"}, complete=False) == "subset"
    assert release_kind(Memory("toy", {}), (), release(), complete=True) == "sample"


@pytest.mark.parametrize("changed", [False, True])
def test_a_compressed_copy_is_the_same_content(tmp_path: Path, changed: bool) -> None:
    for name, content in CONTENT.items():
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content + b"more\n" * changed))
    found = release_kind(Folder(tmp_path), tuple(CONTENT), release(), complete=True)
    assert found == ("changed" if changed else "whole")


def test_the_header_does_not_call_other_content_official() -> None:
    assert data_kind("Toy", "changed") == "Toy, as many rows as the official release, other content"


@pytest.mark.data
def test_multi30k_with_one_word_changed_is_not_the_release(real_data: Path, tmp_path: Path) -> None:
    from bench import registry
    from bench.downloads.catalogue import catalogue
    from bench.downloads.verify import verify

    folder = tmp_path / "multi30k"
    folder.mkdir()
    for path in (real_data / "multi30k").iterdir():
        (folder / path.name).symlink_to(path)
    lines = gzip.decompress((folder / "val.en.gz").read_bytes()).replace(b"man", b"men", 1)
    (folder / "val.en.gz").unlink()
    (folder / "val.en").write_bytes(lines)
    task = registry.task("multi30k")
    assert task(Folder(folder), task.presets["small"].options).identity().kind == "changed"
    said = verify(catalogue()["multi30k"], folder).problems
    assert said == ("val.en: as many rows as the official release and other content",)
