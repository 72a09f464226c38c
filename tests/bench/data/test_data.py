"""Data files: found in a stated order, read alike however compressed, and named with their line when they are wrong."""

from __future__ import annotations

import gzip
import lzma
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.data import Folder, Memory, archives, cache_folder, columns, find, lines, read
from bench.data import cache as caching
from bench.data import files as reading
from bench.errors import DataError, UsageError

TEXT = "1\tone\n2\tzwölf\n3\tthree\tand more\n"
CONTENT = TEXT.encode()
PACK: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}
LONG_AGO = 1_600_000_000


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("BENCH_DATA", raising=False)
    return tmp_path / "cache" / "prunebench"


def folder_of(root: Path, content: bytes = CONTENT, suffix: str = "", name: str = "points.tsv") -> Folder:
    root.mkdir(parents=True, exist_ok=True)
    (root / f"{name}{suffix}").write_bytes(PACK[suffix](content))
    return Folder(root)


# Reading


@pytest.mark.parametrize("suffix", PACK)
def test_plain_gz_and_xz_read_alike(tmp_path: Path, suffix: str) -> None:
    files = folder_of(tmp_path / "d", suffix=suffix)
    assert files.has("points.tsv")
    assert read(files, "points.tsv") == CONTENT
    assert list(lines(files, "points.tsv")) == [(1, "1\tone"), (2, "2\tzwölf"), (3, "3\tthree\tand more")]
    assert list(columns(files, "points.tsv", 2, what="id, text"))[2] == ["3", "three\tand more"]
    with files.open("points.tsv") as stream:
        assert stream.readline() == b"1\tone\n"


def test_the_digest_is_of_the_content_and_not_of_the_compression(tmp_path: Path) -> None:
    digests = {folder_of(tmp_path / f"d{suffix}", suffix=suffix).digest(["points.tsv"]) for suffix in PACK}
    memory = Memory("toy", {"points.tsv": CONTENT})
    assert digests == {memory.digest(["points.tsv"])}
    assert memory.digest(["points.tsv", "absent.tsv"]) in digests
    assert folder_of(tmp_path / "other", CONTENT + b"x").digest(["points.tsv"]) not in digests
    assert folder_of(tmp_path / "renamed", name="p.tsv").digest(["p.tsv"]) not in digests


@given(parts=st.lists(st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"])), max_size=8))
@settings(max_examples=50, deadline=None)
def test_lines_come_back_numbered_from_one_with_any_line_end(parts: list[str]) -> None:
    expected = [(number, part) for number, part in enumerate(parts, start=1)]
    for end in ("\n", "\r\n"):
        content = "".join(f"{part}{end}" for part in parts).encode()
        assert list(lines(Memory("toy", {"f": content}), "f")) == [
            (number, part.removeprefix("\ufeff") if number == 1 else part) for number, part in expected
        ]


def test_a_byte_order_mark_is_no_part_of_the_first_column() -> None:
    files = Memory("toy", {"f": b"\xef\xbb\xbf1\tone\n"})
    assert list(columns(files, "f", 2, what="id, text")) == [["1", "one"]]


def test_invalid_utf8_is_named_by_file_and_line(tmp_path: Path) -> None:
    files = folder_of(tmp_path / "d", b"1\tone\n2\tzw\xf6lf\n")
    with pytest.raises(DataError) as caught:
        list(lines(files, "points.tsv"))
    assert str(caught.value) == (
        f"{tmp_path}/d/points.tsv, line 2: invalid UTF-8 at byte 4 of the line. Save the file as UTF-8."
    )


@pytest.mark.parametrize(("text", "line", "found"), [("1\ta\n2\n", 2, 1), ("\n", 1, 1), ("1\ta\n2\tb\n3", 3, 1)])
def test_a_line_with_too_few_columns_is_named_by_file_and_line(
    tmp_path: Path, text: str, line: int, found: int
) -> None:
    files = folder_of(tmp_path / "d", text.encode(), ".gz")
    with pytest.raises(DataError) as caught:
        list(columns(files, "points.tsv", 2, what="id, text"))
    assert str(caught.value) == (
        f"{tmp_path}/d/points.tsv.gz, line {line}: {found} columns where 2 belong (id, text). Mend or delete the line."
    )


def test_columns_split_at_white_space_are_counted_exactly(tmp_path: Path) -> None:
    good = Memory("toy", {"qrels": b"1 0 7\t2\n2  0 8 1\n"})
    assert list(columns(good, "qrels", 4, what="qrels", separator=None)) == [["1", "0", "7", "2"], ["2", "0", "8", "1"]]
    bad = Memory("toy", {"qrels": b"1 0 7 2 9\n"})
    with pytest.raises(DataError, match=r"embedded sample of toy, qrels, line 1: 5 columns where 4 belong"):
        list(columns(bad, "qrels", 4, what="qrels", separator=None))


# Damaged archives


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_cut_archive_is_one_line_wherever_it_is_read(tmp_path: Path, suffix: str, share: float) -> None:
    files = folder_of(tmp_path / "d", os.urandom(2000).hex().encode(), suffix)
    path = tmp_path / "d" / f"points.tsv{suffix}"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    for use in (lambda: read(files, "points.tsv"), lambda: list(lines(files, "points.tsv")), lambda: digest(files)):
        with pytest.raises(DataError) as caught:
            use()
        message = str(caught.value)
        assert message.startswith(f"{path}: the compressed file is damaged or cut short")
        assert message.endswith("Fetch it again.") and "\n" not in message


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
def test_where_an_archive_was_cut_is_told_in_bytes_of_its_content(tmp_path: Path, suffix: str) -> None:
    files = folder_of(tmp_path / "d", os.urandom(1_000_000), suffix)  # which no archive makes smaller
    path = tmp_path / "d" / f"points.tsv{suffix}"
    path.write_bytes(path.read_bytes()[:250_000])
    with pytest.raises(DataError) as caught:
        read(files, "points.tsv")
    found = re.search(r"after byte (\d+) of its content", str(caught.value))
    assert found is not None and 240_000 < int(found[1]) <= 250_000


def digest(files: Folder) -> str:
    return files.digest(["points.tsv"])


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
@pytest.mark.parametrize("place", [0, 12, -6, -1])
def test_a_changed_byte_of_an_archive_never_gives_other_content(tmp_path: Path, suffix: str, place: int) -> None:
    files = folder_of(tmp_path / "d", suffix=suffix)
    path = tmp_path / "d" / f"points.tsv{suffix}"
    content = bytearray(path.read_bytes())
    content[place] ^= 0x55
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged or cut short"):
        read(files, "points.tsv")


def test_what_the_disk_refuses_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = folder_of(tmp_path / "d")

    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    for use in (lambda: read(files, "points.tsv"), lambda: list(lines(files, "points.tsv")), lambda: digest(files)):
        with pytest.raises(DataError, match=r"points\.tsv: cannot be read \(Permission denied\)"):
            use()


def test_a_missing_file_is_named_with_advice(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"points\.tsv: no such file, plain, \.gz or \.xz\. Put it there, or point --data"
    ):
        Folder(tmp_path).open("points.tsv")
    with pytest.raises(DataError, match=r"embedded sample of toy, points\.tsv: no such file"):
        Memory("toy", {}).open("points.tsv")


# Limits


def test_a_line_without_an_end_in_sight_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "LONGEST_LINE", 1_000)
    files = Memory("toy", {"f": b"short\n" + b"x" * 1_000 + b"\n"})
    with pytest.raises(DataError, match=r"f, line 2: longer than 1,000 bytes"):
        list(lines(files, "f"))
    assert len(list(lines(Memory("toy", {"f": b"x" * 999 + b"\n" + b"y" * 1_000}), "f"))) == 2


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
def test_an_archive_that_expands_beyond_measure_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    monkeypatch.setattr(archives, "EXPANDED", 1_000_000)
    files = folder_of(tmp_path / "d", bytes(50_000_000), suffix)
    for use in (lambda: read(files, "points.tsv"), lambda: list(lines(files, "points.tsv")), lambda: digest(files)):
        with pytest.raises(DataError, match=r"points\.tsv\..z: expands to more than 250 times its size"):
            use()


def test_an_archive_whose_decoder_wants_much_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A header of a hundred bytes can ask for gigabytes."""
    monkeypatch.setattr(archives, "XZ_MEMORY", 8 << 20)
    files = folder_of(tmp_path / "d", name="small.tsv")
    (tmp_path / "d" / "points.tsv.xz").write_bytes(
        lzma.compress(CONTENT, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 16 << 20}])
    )
    with pytest.raises(DataError, match="Memory usage limit"):
        read(files, "points.tsv")


def test_an_xz_of_several_streams_with_padding_is_read_whole_and_anything_else_behind_is_an_error(
    tmp_path: Path,
) -> None:
    files = folder_of(tmp_path / "d", suffix=".xz")
    path, half = tmp_path / "d" / "points.tsv.xz", len(CONTENT) // 2
    streams = lzma.compress(CONTENT[:half]), lzma.compress(CONTENT[half:])
    path.write_bytes(bytes(4).join(streams) + bytes(8))
    assert read(files, "points.tsv") == CONTENT
    for behind in (b"garbage", streams[1][:-4], bytes(4) + b"x"):
        path.write_bytes(streams[0] + behind)
        with pytest.raises(DataError, match="damaged or cut short"):
            read(files, "points.tsv")


def test_no_more_is_read_than_was_asked_for() -> None:
    files = Memory("toy", {"f": b"0123456789"})
    assert [read(files, "f", most) for most in (0, 4, 9, 10, 99)] == [b"0", b"01234", *[b"0123456789"] * 3]


# Finding


def test_data_sets_are_looked_for_in_the_stated_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(flag: str | None = None) -> Path | None:
        files = find("toy", ["points.tsv"], flag)
        return None if files is None else files.root  # type: ignore[attr-defined]

    assert found() is None
    cached = folder_of(cache_folder() / "data" / "toy").root
    assert found() == cached
    named = folder_of(tmp_path / "env" / "toy", suffix=".xz").root
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "env"))
    assert found() == named
    flagged = folder_of(tmp_path / "flag" / "toy", suffix=".gz").root
    assert found(str(tmp_path / "flag")) == flagged
    assert found("sample") is None
    (named / "points.tsv.xz").unlink()
    with pytest.raises(UsageError, match=r"BENCH_DATA=.*: lacks toy"):
        found()
    monkeypatch.setenv("BENCH_DATA", str(tmp_path / "misspelt"))
    with pytest.raises(UsageError, match=r"BENCH_DATA=.*misspelt: is no folder"):
        found()
    assert found("sample") is None


def test_the_data_sets_own_folder_may_be_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder_of(tmp_path / "beir" / "toy").root
    for flag in (root, tmp_path):
        files = find("beir/toy", ["points.tsv"], str(flag))
        assert files is not None and read(files, "points.tsv") == CONTENT
    monkeypatch.chdir(root)
    assert find("beir/toy", ["points.tsv"], ".") is not None


def test_files_missing_in_a_data_sets_own_folder_are_called_as_they_lie_there(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "beir" / "toy").root
    with pytest.raises(DataError) as caught:
        find("beir/toy", ["points.tsv", "b.tsv"], str(root), offered=True)
    said = str(caught.value)
    assert f"--data {root}: lacks b.tsv (plain" in said and f"'bench data get beir/toy --data {tmp_path}'" in said


def test_what_lies_in_a_files_place_is_said(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "toy").root
    (root / "b.tsv").mkdir()
    (root / "c.tsv.gz").symlink_to(root / "nowhere")
    with pytest.raises(DataError) as caught:
        find("toy", ["points.tsv", "b.tsv", "c.tsv"], str(tmp_path))
    said = "lacks toy/b.tsv (b.tsv is a folder), toy/c.tsv (c.tsv.gz is a link to nothing) (plain, .gz or .xz)"
    assert said in str(caught.value)
    with pytest.raises(DataError, match=r"no such file, plain, \.gz or \.xz \(b\.tsv is a folder\)"):
        read(Folder(root), "b.tsv")


def test_missing_files_are_listed_by_name_in_one_line(tmp_path: Path) -> None:
    folder_of(tmp_path / "toy", suffix=".gz", name="a.tsv")
    with pytest.raises(DataError) as caught:
        find("toy", ["a.tsv", "b.tsv", "c.tsv"], str(tmp_path))
    assert str(caught.value) == (
        f"--data {tmp_path}: lacks toy/b.tsv, toy/c.tsv (plain, .gz or .xz). "
        "Put the official files of toy there, or leave --data out to use the embedded sample."
    )
    with pytest.raises(DataError, match=r"lacks b\.tsv, c\.tsv \("):
        find("toy", ["a.tsv", "b.tsv", "c.tsv"], str(tmp_path / "toy"))


def test_a_flag_that_is_no_folder_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no such folder\. Give the folder that holds the data sets, or 'sample'"):
        find("toy", [], str(tmp_path / "nowhere"))


def test_a_user_without_a_home_still_finds_and_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME")

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert find("toy", ["points.tsv"], None) is None
    assert cache_folder().is_absolute()


# Remembering digests


def settled(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes the file look old enough for its digest to be remembered."""
    later = path.stat().st_ctime + 10
    monkeypatch.setattr(caching.time, "time", lambda: later)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    read_names: list[str] = []
    honest = reading._hash

    def hashed(files: Folder, name: str) -> str:
        read_names.append(name)
        return honest(files, name)

    monkeypatch.setattr(reading, "_hash", hashed)
    return read_names


def test_a_digest_is_computed_once_for_an_unchanged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, hashed = folder_of(tmp_path / "d"), counted(monkeypatch)
    settled(tmp_path / "d" / "points.tsv", monkeypatch)
    assert len({digest(files) for _ in range(3)}) == 1
    assert hashed == ["points.tsv"]


@pytest.mark.parametrize("how", ["longer", "same length", "same length and time", "replaced", "recompressed"])
def test_a_changed_file_has_another_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    files = folder_of(tmp_path / "d")
    path = tmp_path / "d" / "points.tsv"
    os.utime(path, (LONG_AGO, LONG_AGO))
    settled(path, monkeypatch)
    before = digest(files)
    other = CONTENT.replace(b"one", b"two")
    if how == "longer":
        path.write_bytes(CONTENT + b"4\tfour\n")
    elif how == "same length":
        path.write_bytes(other)
    elif how == "same length and time":
        path.write_bytes(other)
        os.utime(path, (LONG_AGO, LONG_AGO))
    elif how == "replaced":
        (tmp_path / "new").write_bytes(other)
        (tmp_path / "new").replace(path)
    else:
        path.unlink()
        folder_of(tmp_path / "d", other, ".xz")
    assert digest(files) != before


def test_a_file_that_just_changed_is_not_remembered(tmp_path: Path, cache: Path) -> None:
    """A second change within the clock's tick would leave size and times as they were."""
    files = folder_of(tmp_path / "d")
    first = digest(files)
    (tmp_path / "d" / "points.tsv").write_bytes(CONTENT.replace(b"one", b"two"))
    assert digest(files) != first
    assert not (cache / "digests").exists()


@pytest.mark.parametrize("content", [b"", b"x" * 64, b"\xff" * 64, b"0" * 63])
def test_a_damaged_memory_is_computed_again(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    files = folder_of(tmp_path / "d")
    settled(tmp_path / "d" / "points.tsv", monkeypatch)
    before = digest(files)
    (memo,) = (cache / "digests").iterdir()
    memo.write_bytes(content)
    assert digest(files) == before


@pytest.mark.parametrize("obstacle", ["a file in its place", "a read-only disk", "a full disk"])
def test_a_cache_that_cannot_be_written_costs_nothing_but_time(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, obstacle: str
) -> None:
    files = folder_of(tmp_path / "d")
    settled(tmp_path / "d" / "points.tsv", monkeypatch)

    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    if obstacle == "a file in its place":
        cache.parent.mkdir(parents=True)
        cache.write_text("")
    else:
        monkeypatch.setattr(Path, "mkdir" if obstacle == "a read-only disk" else "write_text", refuse)
    assert digest(files) == Memory("toy", {"points.tsv": CONTENT}).digest(["points.tsv"])
    assert obstacle == "a file in its place" or not list(cache.rglob("*.[0-9]*"))
