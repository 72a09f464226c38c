"""A data set's way into a data folder: all files or none, nothing written over, one clear line where it cannot be."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import lzma
import os
import shutil
import socket
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.downloads import install as module
from bench.downloads import manifest
from bench.downloads.install import get
from bench.errors import DataError
from bench.sources import DataSet, Download, File
from tests.bench.downloads.serving import Answer, Listening, Site, noise, rules, serving

POINTS, LABELS, MORE = noise(30_000), b"1\n2\n3\n" * 1000, b"extra\n"


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def zipped(content: dict[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, inner in content.items():
            archive.writestr(zipfile.ZipInfo(name), inner)
    return held.getvalue()


ARCHIVE = zipped({"set/points.bin": POINTS, "set/more/extra.txt": MORE})
PACKED = gzip.compress(LABELS, mtime=0)


def dataset(site: Site | None, *, optional: bool = True, **known: str) -> DataSet:
    """Two downloads: an archive with an optional file, and a compressed file by itself."""
    address = site.address if site is not None else "http://127.0.0.1:9"
    members = (
        File("points.bin", "set/points.bin", sha256=known.get("points", "")),
        File("more/extra.txt", "set/more/extra.txt", optional=optional),
    )
    return DataSet(
        "group/set",
        "A set",
        "Free.",
        "https://example.org",
        (
            Download(
                f"{address}/set.zip", members, len(ARCHIVE), unpacked=100_000, sha256=known.get("zip", sha256(ARCHIVE))
            ),
            Download(
                f"{address}/labels.gz",
                (File("labels", suffix=".gz", sha256=known.get("labels", sha256(LABELS))),),
                len(PACKED),
                exact=False,
            ),
        ),
    )


@pytest.fixture
def site() -> Iterator[Site]:
    with serving({"/set.zip": [Answer(ARCHIVE)], "/labels.gz": [Answer(PACKED)]}) as found:
        yield found


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def files(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file() and path.name != manifest.NAME)
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def root(tmp_path: Path) -> Path:
    return tmp_path / "data"


WHOLE = {"points.bin": POINTS, "more/extra.txt": MORE, "labels.gz": PACKED}


def test_a_data_set_comes_whole_with_a_note_of_where_it_is_from(site: Site, tmp_path: Path) -> None:
    outcome = get(dataset(site), root(tmp_path), rules(), Listening())
    assert outcome.folder == root(tmp_path) / "group" / "set"
    assert files(outcome.folder) == WHOLE
    assert set(outcome.new) == {"points.bin", "more/extra.txt", "labels"}
    told = manifest.read(outcome.folder)
    assert told is not None
    assert told.files == {"points.bin": sha256(POINTS), "more/extra.txt": sha256(MORE), "labels": sha256(LABELS)}
    assert [(one.size, one.sha256, one.checked) for one in told.downloads] == [
        (len(ARCHIVE), sha256(ARCHIVE), "sha256"),
        (len(PACKED), sha256(PACKED), "sha256"),
    ]
    assert [path.name for path in (root(tmp_path) / module.WORK).iterdir()] == ["group_set.lock"]


def test_a_digest_that_nobody_states_is_recorded_and_said(site: Site, tmp_path: Path) -> None:
    outcome = get(dataset(site, zip="", labels=""), root(tmp_path), rules(), Listening())
    assert [(one.url, one.sha256) for one in outcome.unchecked] == [
        (site.url("/set.zip"), sha256(ARCHIVE)),
        (site.url("/labels.gz"), sha256(PACKED)),
    ]
    told = manifest.read(outcome.folder)
    assert told is not None and {one.checked for one in told.downloads} == {manifest.RECORDED}


def test_the_same_again_asks_no_server(site: Site, tmp_path: Path) -> None:
    get(dataset(site), root(tmp_path), rules(), Listening())
    asked = len(site.asked)
    assert get(dataset(site), root(tmp_path), rules(), Listening()).new == ()
    assert len(site.asked) == asked


def test_only_what_is_missing_is_fetched(site: Site, tmp_path: Path) -> None:
    get(dataset(site), root(tmp_path), rules(), Listening())
    (root(tmp_path) / "group/set/labels.gz").unlink()
    asked = len(site.asked)
    assert get(dataset(site), root(tmp_path), rules(), Listening()).new == ("labels",)
    assert [path for path, _ in site.asked[asked:]] == ["/labels.gz"]
    told = manifest.read(root(tmp_path) / "group/set")
    assert told is not None and len(told.downloads) == 2 and len(told.files) == 3


def test_a_file_of_ones_own_with_the_same_content_stays_as_it_is(site: Site, tmp_path: Path) -> None:
    folder = root(tmp_path) / "group/set"
    folder.mkdir(parents=True)
    (folder / "points.bin.xz").write_bytes(lzma.compress(POINTS))
    (folder / "notes.txt").write_text("mine")
    outcome = get(dataset(site, optional=False), root(tmp_path), rules(), Listening())
    assert set(outcome.new) == {"more/extra.txt", "labels"}
    assert files(folder) == {
        "points.bin.xz": lzma.compress(POINTS), "notes.txt": b"mine", "more/extra.txt": MORE, "labels.gz": PACKED,
    }  # fmt: skip


@pytest.mark.parametrize("known", [True, False])
def test_a_file_with_other_content_is_never_written_over(site: Site, tmp_path: Path, known: bool) -> None:
    folder = root(tmp_path) / "group/set"
    folder.mkdir(parents=True)
    (folder / "points.bin").write_bytes(b"a subset")
    found = dataset(site, optional=False, points=sha256(POINTS) if known else "")
    with pytest.raises(DataError, match=r"points\.bin: is there, and is not the official file") as caught:
        get(found, root(tmp_path), rules(), Listening())
    assert "\n" not in str(caught.value)
    assert files(folder) == {"points.bin": b"a subset"}
    assert bool(site.asked) is not known, "where a digest is known, nothing is fetched to find that out"


def test_a_file_that_nothing_is_known_of_and_that_needs_no_download_is_said_to_be_uncompared(
    site: Site, tmp_path: Path
) -> None:
    folder = root(tmp_path) / "group/set"
    folder.mkdir(parents=True)
    (folder / "points.bin").write_bytes(b"whose?")
    outcome = get(dataset(site), root(tmp_path), rules(), Listening())
    assert outcome.new == ("labels",) and outcome.uncompared == ("points.bin",)
    assert get(dataset(site), root(tmp_path), rules(), Listening()).uncompared == ("points.bin",)


def test_wrong_content_inside_a_right_archive_installs_nothing(site: Site, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"labels: is not the official file"):
        get(dataset(site, labels="0" * 64), root(tmp_path), rules(), Listening())
    assert not (root(tmp_path) / "group").exists()


def test_a_cut_download_leaves_nothing_in_the_folder_and_is_kept_for_the_next_time(tmp_path: Path) -> None:
    answers = {"/set.zip": [Answer(ARCHIVE, stop_after=9_000), Answer(ARCHIVE)], "/labels.gz": [Answer(PACKED)]}
    with serving(answers) as site:
        with pytest.raises(DataError, match=r"9,000 bytes are kept"):
            get(dataset(site), root(tmp_path), rules(tries=1), Listening())
        assert not (root(tmp_path) / "group").exists()
        get(dataset(site), root(tmp_path), rules(), Listening())
        assert site.ranges()[1] == "bytes=9000-"
    assert files(root(tmp_path) / "group/set") == WHOLE


def test_without_a_network_one_line_says_which_files_go_where(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    found = dataset(Site({}, f"http://127.0.0.1:{port}"))
    with pytest.raises(DataError) as caught:
        get(found, root(tmp_path), rules(), Listening())
    said = str(caught.value)
    assert "\n" not in said and "cannot be reached" in said
    place = root(tmp_path) / "group/set"
    assert f"Put into {place}: points.bin, more/extra.txt (out of http://127.0.0.1:{port}/set.zip); " in said
    assert f"labels.gz (from http://127.0.0.1:{port}/labels.gz)" in said
    assert "bench data get group/set --from FOLDER" in said


def test_downloads_fetched_elsewhere_are_taken_from_a_folder(tmp_path: Path) -> None:
    carried = tmp_path / "carried"
    carried.mkdir()
    (carried / "set.zip").write_bytes(ARCHIVE)
    with pytest.raises(DataError, match=r"labels\.gz: no such file\. Fetch http://.*/labels\.gz and put it there"):
        get(dataset(None), root(tmp_path), rules(), Listening(), carried)
    (carried / "labels.gz").write_bytes(PACKED)
    get(dataset(None), root(tmp_path), rules(), Listening(), carried)
    assert files(root(tmp_path) / "group/set") == WHOLE
    assert sorted(path.name for path in carried.iterdir()) == ["labels.gz", "set.zip"]


def test_a_wrong_download_from_a_folder_is_refused(tmp_path: Path) -> None:
    carried = tmp_path / "carried"
    carried.mkdir()
    (carried / "set.zip").write_bytes(ARCHIVE[:-1] + b"\1")
    with pytest.raises(DataError, match=r"set\.zip: is not the official file"):
        get(dataset(None), root(tmp_path), rules(), Listening(), carried)
    assert not (root(tmp_path) / "group").exists()


def test_a_second_process_is_told_that_the_first_is_at_it(site: Site, tmp_path: Path) -> None:
    with (
        module._locked(root(tmp_path), dataset(site)),
        pytest.raises(DataError, match=r"group/set: another process is fetching it"),
    ):
        get(dataset(site), root(tmp_path), rules(), Listening())
    get(dataset(site), root(tmp_path), rules(), Listening())


def test_a_disk_that_is_too_small_is_said_before_anything_is_fetched(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda path: usage._replace(free=50_000))
    with pytest.raises(DataError, match=r"0\.0 GB are free, and up to 0\.1 GB are needed|are free"):
        get(dataset(site), root(tmp_path), rules(), Listening())
    assert site.asked == []


def test_a_disk_that_fills_up_is_one_line(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "unpack", full)
    with pytest.raises(DataError, match=r"no space left on the disk\. Free some space and run again"):
        get(dataset(site), root(tmp_path), rules(), Listening())
    assert not (root(tmp_path) / "group").exists()
    monkeypatch.undo()
    asked = len(site.asked)
    get(dataset(site), root(tmp_path), rules(), Listening())
    assert [path for path, _ in site.asked[asked:]] == ["/labels.gz"], "the archive that had come is kept"


@pytest.mark.parametrize("existing", [False, True])
def test_a_crash_at_any_step_leaves_a_set_that_is_complete_or_not_there(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, existing: bool
) -> None:
    """Every step that changes the disk is made to fail once, and what lies there is looked at each time."""

    class CrashError(Exception):
        pass

    steps = ("rename", "replace", "link", "fsync")
    reached, place = 0, root(tmp_path) / "group/set"
    for at in range(1, 100):
        shutil.rmtree(root(tmp_path), ignore_errors=True)
        if existing:
            place.mkdir(parents=True)
            (place / "labels.gz").write_bytes(PACKED)
        count = 0

        def crashing(honest: object, now: int) -> object:
            def step(*arguments: object, **more: object) -> object:
                nonlocal count
                count += 1
                if count == now:
                    raise CrashError
                return honest(*arguments, **more)  # type: ignore[operator]

            return step

        with monkeypatch.context() as patched:
            for name in steps:
                patched.setattr(os, name, crashing(getattr(os, name), at))
            patched.setattr(Path, "rename", crashing(Path.rename, at))
            patched.setattr(Path, "replace", crashing(Path.replace, at))
            try:
                get(dataset(site), root(tmp_path), rules(), Listening())
                break
            except CrashError:
                reached = at
        there = files(place) if place.is_dir() else {}
        if "points.bin" in there and "labels.gz" in there:
            assert there == WHOLE
        else:
            assert there.keys() <= {"labels.gz", "more/extra.txt"}
        get(dataset(site), root(tmp_path), rules(), Listening())
        assert files(place) == WHOLE
    assert reached > 5


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"files": {"a": "x"}, "downloads": []}', b"[" * 100_000])
def test_a_damaged_note_of_the_source_counts_for_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / manifest.NAME).write_bytes(content)
    assert manifest.read(tmp_path) is None


def test_the_note_of_the_source_is_plain_json(site: Site, tmp_path: Path) -> None:
    outcome = get(dataset(site), root(tmp_path), rules(), Listening())
    body = json.loads((outcome.folder / manifest.NAME).read_text())
    assert body.keys() == {"downloads", "files"}
    assert str(tmp_path) not in json.dumps(body)


@pytest.mark.parametrize("folder", ["../set", "/set", "a//b", "", "a/..", ".hidden", "a b"])
def test_a_source_that_names_a_path_outside_cannot_be_declared(folder: str) -> None:
    with pytest.raises(ValueError, match="no path of plain names"):
        DataSet(folder, "", "", "", (Download("https://example.org/x", (File("x"),), 1),))
    with pytest.raises(ValueError, match="no path of plain names"):
        File(folder)
