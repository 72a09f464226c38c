"""``bench data`` as a person types it."""

from __future__ import annotations

import gzip
import hashlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import registry
from bench.cli import main
from bench.downloads import manifest
from bench.sources import DataSet, Download, File
from tests.bench.downloads.serving import Answer, Site, serving


def points(rows: int = 64) -> bytes:
    """The toy task's file: label, x, y."""
    return b"".join(b"%d\t%d\t%d\n" % (row % 4, row % 4, -(row % 4)) for row in range(rows))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The toy task's data, on a server of this machine."""
    packed = gzip.compress(points(), mtime=0)
    with serving({"/points.tsv.gz": [Answer(packed)]}) as found:
        offer(monkeypatch, found.address, len(packed))
        yield found


def offer(monkeypatch: pytest.MonkeyPatch, address: str, size: int, known: str | None = None) -> None:
    file = File("points.tsv", suffix=".gz", sha256=sha256(points()) if known is None else known)
    download = Download(f"{address}/points.tsv.gz", (file,), size, exact=False)
    dataset = DataSet("toy", "Toy clouds", "Free for all.", "https://example.org", (download,), note="A toy.")
    monkeypatch.setattr(registry.task("toy"), "sources", staticmethod(lambda: (dataset,)), raising=False)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def bench(*words: object) -> int:
    return main([str(word) for word in words])


def one_line(capsys) -> str:
    shown = capsys.readouterr()
    (line,) = [line for line in shown.err.splitlines() if line.startswith("bench: ")]
    return line


def test_get_then_run_then_verify(site: Site, data: Path, tmp_path: Path, capsys) -> None:
    assert bench("data", "get", "toy", "--data", data, "--allow-http") == 0
    shown = capsys.readouterr()
    assert shown.out == f"{data / 'toy'}: points.tsv\n"
    assert "toy: Toy clouds. Free for all." in shown.err
    assert bench("data", "get", "toy", "--data", data, "--allow-http") == 0
    assert "all files are there already" in capsys.readouterr().out
    asked = ("--task", "toy", "--pruner", "random", "--grid", "0.5", "--data", data, "--out", tmp_path / "out")
    assert bench("run", *asked, "--threads", 1, "--set", "train.steps=5") == 0
    capsys.readouterr()
    assert bench("data", "verify", "--data", data) == 0
    out = capsys.readouterr().out
    assert out.startswith("ok toy\n") and "official" in out and "64" in out


def test_what_a_run_misses_is_fetched_by_the_command_that_it_names(site: Site, data: Path, tmp_path, capsys) -> None:
    assert bench("run", "--task", "toy", "--pruner", "random", "--data", data, "--out", tmp_path / "out") == 2
    line = one_line(capsys)
    assert f"lacks toy/points.tsv (plain, .gz or .xz). 'bench data get toy --data {data}' fetches them." in line
    command = line.split("'")[1].split()[1:]
    assert bench(*command, "--allow-http") == 0
    capsys.readouterr()
    assert bench("plan", "--task", "toy", "--pruner", "random", "--data", data) == 0


def test_a_run_on_the_sample_says_how_to_get_the_real_data(site: Site, tmp_path: Path, capsys) -> None:
    flags = ("--task", "toy", "--pruner", "random", "--grid", "0.5", "--out", tmp_path / "out")
    assert bench("plan", *flags) == 0
    assert "toy stands on its embedded sample: 'bench data get toy' fetches the real data." in capsys.readouterr().out
    assert bench("plan", *flags, "--data", "sample") == 0
    assert "bench data get" not in capsys.readouterr().out


def test_bench_data_is_where_data_is_put_and_found_without_flags(
    site: Site, data: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setenv("BENCH_DATA", str(data))
    assert bench("plan", "--task", "toy", "--pruner", "random") == 2
    assert "'bench data get toy' fetches it." in one_line(capsys)
    assert bench("data", "get", "toy", "--allow-http") == 0
    assert (data / "toy" / "points.tsv.gz").is_file()
    capsys.readouterr()
    assert bench("plan", "--task", "toy", "--pruner", "random", "--json") == 0
    assert json.loads(capsys.readouterr().out)["data"][0]["kind"] != "sample"


def test_the_cache_is_the_place_where_no_other_is_named(site: Site, data: Path, capsys) -> None:
    assert bench("data", "get", "toy", "--allow-http") == 0
    assert (data.parent / "cache/prunebench/data/toy/points.tsv.gz").is_file()


def test_list_tells_size_licence_source_and_place(site: Site, data: Path, capsys) -> None:
    assert bench("data", "list", "--data", data) == 0
    out = capsys.readouterr().out
    assert any(line.split()[0] == "toy" and line.split()[-1] == "absent" for line in out.splitlines())
    assert any(line.startswith("msmarco-passage") and "1.1 GB" in line for line in out.splitlines())
    assert bench("data", "list", "toy", "--data", data) == 0
    out = capsys.readouterr().out
    for said in ("Free for all.", "https://example.org", "A toy.", site.url("/points.tsv.gz"), "points.tsv.gz"):
        assert said in out
    assert bench("data", "list", "--json", "toy") == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["folder"] == "toy" and entry["here"] is None and entry["tasks"] == ["toy"]


def test_a_dry_run_fetches_nothing(site: Site, data: Path, capsys) -> None:
    assert bench("data", "get", "toy", "--data", data / "new", "--dry-run") == 0
    assert site.url("/points.tsv.gz") in capsys.readouterr().out
    assert site.asked == [] and not (data / "new").exists()


def test_a_digest_that_is_not_known_is_printed(monkeypatch: pytest.MonkeyPatch, data: Path, capsys) -> None:
    packed = gzip.compress(points(), mtime=0)
    with serving({"/points.tsv.gz": [Answer(packed)]}) as site:
        offer(monkeypatch, site.address, len(packed), known="")
        assert bench("data", "get", "toy", "--data", data, "--allow-http") == 0
    assert f"sha256 {sha256(packed)}, {manifest.RECORDED}" in capsys.readouterr().out


def test_http_without_the_flag_is_one_line(site: Site, data: Path, capsys) -> None:
    assert bench("data", "get", "toy", "--data", data) == 2
    assert "is not encrypted" in one_line(capsys)


def test_without_a_network_the_line_says_which_files_go_where(monkeypatch, data: Path, capsys) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    offer(monkeypatch, f"http://127.0.0.1:{port}", 100)
    monkeypatch.setattr("bench.downloads.fetch.UNREACHED", 1)
    assert bench("data", "get", "toy", "--data", data, "--allow-http") == 2
    assert f"Put into {data / 'toy'}: points.tsv.gz (from http://127.0.0.1:{port}/points.tsv.gz)" in one_line(capsys)


def test_one_set_of_several_that_fails_does_not_keep_the_others(monkeypatch, site: Site, data: Path, capsys) -> None:
    monkeypatch.setattr("bench.downloads.fetch.UNREACHED", 1)
    carried = data.parent / "carried"
    carried.mkdir()
    (carried / "points.tsv.gz").write_bytes(gzip.compress(points(), mtime=0))
    assert bench("data", "get", "mnist", "toy", "--data", data, "--from", carried) == 2
    shown = capsys.readouterr()
    assert f"{data / 'toy'}: points.tsv\n" == shown.out
    assert "train-images-idx3-ubyte.gz: no such file" in shown.err
    assert "1 of 2 data sets were not fetched" in shown.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["get"], "no data set named"),
        (["get", "tou"], "no data set 'tou'. Did you mean 'toy'?"),
        (["get", "toy", "--data", "sample"], "is no folder to put data into"),
        (["get", "toy", "--from", "/no/such/folder"], "--from /no/such/folder: no such folder"),
        (["verify", "--data", "/no/such/folder"], "--data /no/such/folder: no such folder"),
        (["list", "--data", "/no/such/folder"], "--data /no/such/folder: no such folder"),
    ],
)
def test_bad_words_are_one_line(site: Site, capsys, words: list[str], said: str) -> None:
    assert bench("data", *words) == 2
    assert said in one_line(capsys)


def test_verify_where_nothing_is_says_so(site: Site, data: Path, capsys) -> None:
    assert bench("data", "verify", "--data", data) == 2
    assert "no data set is there" in one_line(capsys)
    assert bench("data", "verify", "toy", "--data", data) == 2
    assert "no file of toy is there" in one_line(capsys) and "bench data get toy"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(points())[:-20], "!! points.tsv: the compressed file is damaged or cut short"),
        (gzip.compress(points().replace(b"1\t1", b"1\t9", 1)), "!! points.tsv: changed since it was downloaded"),
        (gzip.compress(b"x\ty\n"), "!! toy: "),
    ],
)
def test_verify_finds_what_is_damaged_changed_or_unreadable(
    site: Site, data: Path, capsys, content: bytes, said: str
) -> None:
    assert bench("data", "get", "toy", "--data", data, "--allow-http") == 0
    (data / "toy" / "points.tsv.gz").write_bytes(content)
    capsys.readouterr()
    assert bench("data", "verify", "--data", data) == 1
    out = capsys.readouterr().out
    assert out.startswith("!! toy\n") and said in out
    assert bench("data", "verify", "--data", data, "--json") == 1
    (check,) = json.loads(capsys.readouterr().out)
    assert check["problems"]


def test_verify_names_missing_files_without_the_advice_of_a_run(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "mnist"
    folder.mkdir()
    (folder / "t10k-labels-idx1-ubyte").write_bytes(b"")
    (folder / "train-labels-idx1-ubyte").symlink_to("nowhere")
    for place in (tmp_path, folder):
        assert bench("data", "verify", "mnist", "--data", place) == 1
        out = capsys.readouterr().out
        assert "mnist: lacks train-images-idx3-ubyte, train-labels-idx1-ubyte (train-labels-idx1-ubyte is a link" in out
        assert "leave --data out" not in out


def test_an_interrupted_download_says_how_to_go_on(site: Site, data: Path, monkeypatch, capsys) -> None:
    def stopped(*arguments: object, **more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.downloads.install.fetch", stopped)
    assert bench("data", "get", "toy", "--data", data, "--allow-http") == 130
    assert "What has come is kept: the same command goes on from there." in one_line(capsys)
