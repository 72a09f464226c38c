"""Archives: what is wanted comes out, byte for byte, and nothing leads out of the folder or beyond its size."""

from __future__ import annotations

import gzip
import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from bench.downloads import unpack as module
from bench.downloads.unpack import unpack
from bench.errors import DataError
from bench.sources import Download, File
from tests.bench.downloads.serving import noise

CORPUS, QRELS = b'{"_id": "1"}\n' * 1000, b"q\td\t1\n"
CONTENT = {"set/corpus.jsonl": CORPUS, "set/qrels/test.tsv": QRELS, "set/readme.htm": b"unwanted"}
FILES = (File("corpus.jsonl", "set/corpus.jsonl"), File("qrels/test.tsv", "set/qrels/test.tsv"))
KINDS = ("set.tar.gz", "set.zip")


def source(name: str, files: tuple[File, ...] = FILES, unpacked: int = 1_000_000) -> Download:
    return Download(f"https://example.org/{name}", files, 100, exact=False, unpacked=unpacked)


def tar_of(members: list[tuple[tarfile.TarInfo, bytes]], **form: object) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz", **form) as tar:  # type: ignore[call-overload]
        for info, content in members:
            info.size = len(content) if info.isreg() else 0
            tar.addfile(info, io.BytesIO(content))
    return held.getvalue()


def zip_of(members: list[tuple[zipfile.ZipInfo | str, bytes]]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for info, content in members:
            archive.writestr(info, content)
    return held.getvalue()


def made(name: str, content: dict[str, bytes]) -> bytes:
    if name.endswith(".zip"):
        return zip_of([("set/", b""), *content.items()])
    folder = tarfile.TarInfo("set")
    folder.type = tarfile.DIRTYPE
    return tar_of([(folder, b""), *((tarfile.TarInfo(member), held) for member, held in content.items())])


def out_of(tmp_path: Path, name: str, archive: bytes, found: Download | None = None) -> dict[str, bytes]:
    """What was unpacked, by name; nothing may lie beside the folder."""
    (tmp_path / name).write_bytes(archive)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    try:
        unpack(found or source(name), tmp_path / name, tmp_path / "to")
    finally:
        beside = {path for path in tmp_path.rglob("*") if path.is_file()} - before
        assert all(path.is_relative_to(tmp_path / "to") for path in beside)
    there = [path for path in (tmp_path / "to").rglob("*") if path.is_file()]
    return {str(path.relative_to(tmp_path / "to")): path.read_bytes() for path in there}


def refused(tmp_path: Path, name: str, archive: bytes, found: Download | None = None) -> str:
    with pytest.raises(DataError) as caught:
        out_of(tmp_path, name, archive, found)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", KINDS)
def test_the_wanted_files_come_out_and_no_others(tmp_path: Path, name: str) -> None:
    assert out_of(tmp_path, name, made(name, CONTENT)) == {"corpus.jsonl": CORPUS, "qrels/test.tsv": QRELS}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_every_form_of_tar_and_long_names_are_read(tmp_path: Path, form: int) -> None:
    long = "/".join(["set", *["folder" * 5] * 6, "corpus.jsonl"])[-150:].lstrip("/")
    files = (File("corpus.jsonl", long),)
    archive = tar_of([(tarfile.TarInfo(f"./{long}"), noise(5_000))], format=form)
    assert out_of(tmp_path, "set.tar.gz", archive, source("set.tar.gz", files)) == {"corpus.jsonl": noise(5_000)}


@pytest.mark.parametrize("name", KINDS)
def test_a_missing_member_is_named_unless_it_is_optional(tmp_path: Path, name: str) -> None:
    archive = made(name, {"set/corpus.jsonl": CORPUS})
    required, optional = tmp_path / "required", tmp_path / "optional"
    required.mkdir()
    optional.mkdir()
    assert "holds no set/qrels/test.tsv" in refused(required, name, archive)
    files = (FILES[0], File("qrels/test.tsv", "set/qrels/test.tsv", optional=True))
    assert out_of(optional, name, archive, source(name, files)) == {"corpus.jsonl": CORPUS}


BAD = [
    "../outside",
    "/tmp/outside",
    "set/../../outside",
    "C:/outside",
    "set\\..\\outside",
    "..",
    "set/x/../../../x",
]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("path", BAD)
def test_a_path_that_leads_outside_refuses_the_archive(tmp_path: Path, name: str, path: str) -> None:
    assert "a path that leads outside" in refused(tmp_path, name, made(name, {**CONTENT, path: b"x"}))


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_refuse_it(tmp_path: Path, kind: bytes) -> None:
    info = tarfile.TarInfo("set/corpus.jsonl")
    info.type, info.linkname = kind, "/etc/passwd"
    assert "which is no plain file" in refused(tmp_path, "set.tar.gz", tar_of([(info, b"")]))


def test_links_and_encrypted_members_of_a_zip_refuse_it(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("set/corpus.jsonl")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    assert "which is no plain file" in refused(tmp_path, "set.zip", zip_of([(link, b"/etc/passwd")]))
    archive = bytearray(zip_of([("set/corpus.jsonl", CORPUS)]))
    for at in (archive.index(b"PK\x01\x02") + 8, archive.index(b"PK\x03\x04") + 6):
        archive[at] |= 1
    assert "which is no plain file" in refused(tmp_path, "set.zip", bytes(archive))


@pytest.mark.parametrize("name", KINDS)
def test_a_member_that_comes_twice_refuses_the_archive(tmp_path: Path, name: str) -> None:
    if name.endswith(".zip"):
        with pytest.warns(UserWarning, match="Duplicate"):
            archive = zip_of([("set/corpus.jsonl", CORPUS), ("set/corpus.jsonl", b"other")])
    else:
        archive = tar_of([(tarfile.TarInfo("set/corpus.jsonl"), c) for c in (CORPUS, b"other")])
    assert "twice" in refused(tmp_path, name, archive)


@pytest.mark.parametrize("name", KINDS)
def test_too_many_members_refuse_the_archive(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEMBERS", 2)
    assert "holds more than 2 members" in refused(tmp_path, name, made(name, CONTENT))


@pytest.mark.parametrize("name", KINDS)
def test_more_than_the_source_allows_is_never_written(tmp_path: Path, name: str) -> None:
    said = refused(tmp_path, name, made(name, {"set/corpus.jsonl": noise(2_000_000)}))
    assert "unpacks to more than 1,000,000 bytes" in said
    written = sum(path.stat().st_size for path in (tmp_path / "to").rglob("*") if path.is_file())
    assert written <= 1_000_000 + module.BLOCK


@pytest.mark.parametrize("name", KINDS)
def test_a_bomb_is_refused_by_its_ratio(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SMALL", 1000)
    archive = made(name, {"set/corpus.jsonl": bytes(50_000_000)})
    said = refused(tmp_path, name, archive, source(name, unpacked=10**12))
    assert f"unpacks to more than {module.RATIO * len(archive):,} bytes" in said


def test_what_a_tar_skips_counts_too(tmp_path: Path) -> None:
    members = [(tarfile.TarInfo("set/unwanted"), bytes(3_000_000)), (tarfile.TarInfo("set/corpus.jsonl"), CORPUS)]
    assert "unpacks to more than" in refused(tmp_path, "set.tar.gz", tar_of(members))


def test_a_header_that_asks_for_memory_is_refused(tmp_path: Path) -> None:
    """A pax header of 64 MiB, which tarfile would hold in memory whole."""
    info = tarfile.TarInfo("set/corpus.jsonl")
    info.pax_headers = {"comment": "x" * (64 << 20)}
    archive = tar_of([(info, CORPUS)], format=tarfile.PAX_FORMAT)
    assert "has a header of" in refused(tmp_path, "set.tar.gz", archive, source("set.tar.gz", unpacked=1 << 30))


@pytest.mark.parametrize("kind", [b"0", b"x", b"L", b"5", b"g"])
def test_a_negative_size_does_not_send_the_reader_round_in_circles(tmp_path: Path, kind: bytes) -> None:
    """CVE-2025-8194: an offset that leads back to the header that it stands in."""
    block = bytearray(tarfile.TarInfo("set/corpus.jsonl").tobuf())
    block[124:136] = (-512).to_bytes(12, "big", signed=True)
    block[156:157] = kind
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    assert "the archive" in refused(tmp_path, "set.tar.gz", gzip.compress(bytes(block) + bytes(10_240)))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.99])
def test_a_cut_archive_is_one_line(tmp_path: Path, name: str, share: float) -> None:
    archive = made(name, {**CONTENT, "set/corpus.jsonl": noise(300_000)})
    assert "the archive " in refused(tmp_path, name, archive[: int(share * len(archive))])


@pytest.mark.parametrize("name", KINDS)
def test_a_changed_byte_never_gives_other_content(tmp_path: Path, name: str) -> None:
    whole = made(name, CONTENT)
    for place in range(0, len(whole), 7):
        changed = bytearray(whole)
        changed[place] ^= 0x55
        folder = tmp_path / str(place)
        folder.mkdir()
        try:
            found = out_of(folder, name, bytes(changed))
        except DataError as error:
            assert "\n" not in str(error)
        else:
            assert found == {"corpus.jsonl": CORPUS, "qrels/test.tsv": QRELS}


def test_a_zip_whose_sizes_lie_is_refused(tmp_path: Path) -> None:
    archive = bytearray(made("set.zip", CONTENT))
    entry = archive.index(b"PK\x01\x02", archive.index(b"PK\x01\x02") + 1)
    archive[entry + 24 : entry + 28] = (10).to_bytes(4, "little")
    assert "the archive" in refused(tmp_path, "set.zip", bytes(archive))
