"""One download: resumed, tried again, refused; against a server that does what servers do."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.downloads.fetch import Rules, UnreachableError, fetch
from bench.errors import DataError
from bench.sources import Download, File
from tests.bench.downloads.serving import Answer, Listening, Site, in_, noise, rules, serving

CONTENT = noise(300_000)
SHA256, MD5 = hashlib.sha256(CONTENT).hexdigest(), hashlib.md5(CONTENT).hexdigest()


def source(site: Site, **changes: object) -> Download:
    usual: dict[str, object] = {"url": site.url(), "files": (File("data.bin"),), "size": len(CONTENT), "sha256": SHA256}
    return Download(**{**usual, **changes})  # type: ignore[arg-type]


def bring(found: Download, folder: Path, **changes: object) -> tuple[bytes, list[str], list[float]]:
    """What was fetched, what was said, and the pauses that were asked for."""
    pauses: list[float] = []
    watch = Listening()
    fetch(found, folder / "data.bin", rules(pauses.append, **changes), watch)
    assert sorted(path.name for path in folder.iterdir()) == ["data.bin"]
    return (folder / "data.bin").read_bytes(), watch.lines, pauses


def refused(found: Download, folder: Path, **changes: object) -> str:
    """The one line that says why nothing was fetched."""
    with pytest.raises(DataError) as caught:
        fetch(found, folder / "data.bin", rules(**changes), Listening())
    assert not (folder / "data.bin").exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def left(folder: Path) -> int:
    part = folder / "data.bin.part"
    return part.stat().st_size if part.exists() else 0


def test_a_file_comes_whole_and_its_progress_is_told(tmp_path: Path) -> None:
    with serving({"/data.bin": [Answer(CONTENT)]}) as site:
        watch = Listening()
        fetch(source(site), tmp_path / "data.bin", rules(), watch)
    assert (tmp_path / "data.bin").read_bytes() == CONTENT
    assert watch.bytes == sorted(watch.bytes) and watch.bytes[-1] == len(CONTENT)
    assert site.asked[0][1]["accept-encoding"] == "identity"


def test_a_cut_connection_is_resumed_where_it_broke(tmp_path: Path) -> None:
    with serving({"/data.bin": [Answer(CONTENT, stop_after=100_000), Answer(CONTENT)]}) as site:
        found, said, pauses = bring(source(site), tmp_path)
    assert found == CONTENT
    assert site.ranges() == [None, "bytes=100000-"]
    assert site.asked[1][1]["if-range"] == '"one"'
    assert "after 100,000 bytes" in said[0] and pauses == [1.0]


def test_a_server_that_stalls_is_left_and_asked_for_the_rest(tmp_path: Path) -> None:
    with serving({"/data.bin": [Answer(CONTENT, stall_after=50_000), Answer(CONTENT)]}) as site:
        found, said, _ = bring(source(site), tmp_path, read=0.5)
    assert found == CONTENT and "nothing came for 0.5 s" in said[0]
    assert site.ranges() == [None, "bytes=50000-"]


def test_a_server_that_never_answers_is_left(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        found = Download(
            f"http://127.0.0.1:{silent.getsockname()[1]}/data.bin", (File("data.bin"),), len(CONTENT), sha256=SHA256
        )
        assert "no answer within 0.3 s" in refused(found, tmp_path, read=0.3, tries=2)


def test_a_part_goes_on_in_the_next_process(tmp_path: Path) -> None:
    with serving({"/data.bin": [Answer(CONTENT, stop_after=120_000), Answer(CONTENT)]}) as site:
        said = refused(source(site), tmp_path, tries=1)
        assert "120,000 bytes are kept: the same command goes on from there" in said
        assert left(tmp_path) == 120_000
        found, _, _ = bring(source(site), tmp_path)
    assert found == CONTENT and site.ranges()[-1] == "bytes=120000-"


def test_a_killed_process_leaves_a_part_that_the_next_one_ends(tmp_path: Path) -> None:
    with serving({"/data.bin": [Answer(CONTENT, stall_after=200_000), Answer(CONTENT)]}) as site:
        program = (
            "import sys\nfrom pathlib import Path\nfrom bench.downloads.fetch import Rules, fetch\n"
            "from bench.sources import Download, File\n"
            "class Watch:\n"
            "    def progress(self, name, done, total): print(done, flush=True)\n"
            "    def said(self, text): pass\n"
            "url, size, digest, place = sys.argv[1:]\n"
            "fetch(Download(url, (File('data.bin'),), int(size), sha256=digest), Path(place), Rules(True), Watch())\n"
        )
        command = [sys.executable, "-c", program, site.url(), str(len(CONTENT)), SHA256, str(tmp_path / "data.bin")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if int(line) >= 200_000:
                    break
            process.kill()
        assert not (tmp_path / "data.bin").exists()
        found, _, _ = bring(source(site), tmp_path)
    assert found == CONTENT
    again = site.ranges()[-1]
    assert again is not None and 0 < int(again.removeprefix("bytes=").rstrip("-")) <= 200_000


def test_a_server_without_ranges_sends_all_again(tmp_path: Path) -> None:
    answers = [Answer(CONTENT, stop_after=100_000), Answer(CONTENT, ranges=False)]
    with serving({"/data.bin": answers}) as site:
        assert bring(source(site), tmp_path)[0] == CONTENT


def test_a_file_that_changed_between_attempts_is_never_joined(tmp_path: Path) -> None:
    other = noise(len(CONTENT), b"b")
    answers = [Answer(other, stop_after=100_000, etag='"old"'), Answer(CONTENT, etag='"new"')]
    with serving({"/data.bin": answers}) as site:
        found, _, _ = bring(source(site, sha256="", md5=""), tmp_path)
    assert found == CONTENT and site.asked[1][1]["if-range"] == '"old"'


def test_a_file_that_changed_behind_the_same_etag_is_fetched_anew(tmp_path: Path) -> None:
    """A server whose validator lies: the digest says so, and the second attempt starts from nothing."""
    other = noise(len(CONTENT), b"b")
    with serving({"/data.bin": [Answer(other, stop_after=100_000), Answer(CONTENT)]}) as site:
        found, said, _ = bring(source(site), tmp_path)
    assert found == CONTENT and site.ranges() == [None, "bytes=100000-", None]
    assert any("joined" in line for line in said)


def test_a_range_of_another_version_or_place_is_not_taken(tmp_path: Path) -> None:
    for wrong in (Answer(CONTENT, first_byte=7), Answer(CONTENT, etag='"two"', heeds=False)):
        folder = tmp_path / str(wrong.first_byte)
        folder.mkdir()
        with serving({"/data.bin": [Answer(CONTENT, stop_after=100_000), wrong, Answer(CONTENT)]}) as site:
            assert bring(source(site), folder)[0] == CONTENT
            assert site.ranges()[-1] is None


def test_a_weak_etag_is_no_validator_and_the_date_is(tmp_path: Path) -> None:
    date = "Mon, 02 Jan 2023 03:04:05 GMT"
    answer = {"etag": None, "modified": date, "headers": {"ETag": 'W/"weak"'}}
    with serving({"/data.bin": [Answer(CONTENT, stop_after=9_000, **answer), Answer(CONTENT, **answer)]}) as site:  # type: ignore[arg-type]
        assert bring(source(site), tmp_path)[0] == CONTENT
    assert site.asked[1][1]["if-range"] == date


def test_without_validator_and_digest_a_download_begins_anew(tmp_path: Path) -> None:
    answers = [Answer(CONTENT, stop_after=9_000, etag=None), Answer(CONTENT, etag=None)]
    with serving({"/data.bin": answers}) as site:
        assert bring(source(site, sha256=""), tmp_path)[0] == CONTENT
    assert site.ranges() == [None, None]


def test_without_validator_a_known_digest_allows_to_go_on(tmp_path: Path) -> None:
    answers = [Answer(CONTENT, stop_after=9_000, etag=None), Answer(CONTENT, etag=None)]
    with serving({"/data.bin": answers}) as site:
        assert bring(source(site), tmp_path)[0] == CONTENT
    assert site.ranges() == [None, "bytes=9000-"]


def test_a_part_longer_than_the_file_now_is_discarded(tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(CONTENT)
    with serving({"/data.bin": [Answer(CONTENT[:100_000])]}) as site:
        (tmp_path / "data.bin.part.json").write_text(json.dumps({"url": site.url(), "validator": '"one"'}))
        found = source(site, size=100_000, exact=False, sha256=hashlib.sha256(CONTENT[:100_000]).hexdigest())
        assert bring(found, tmp_path)[0] == CONTENT[:100_000]


@pytest.mark.parametrize("about", [b"", b"{}", b"[]", b"\xff", b'{"url": "http://elsewhere", "validator": "x"}'])
def test_a_part_that_nothing_is_known_of_is_discarded(tmp_path: Path, about: bytes) -> None:
    (tmp_path / "data.bin.part").write_bytes(b"of another file")
    (tmp_path / "data.bin.part.json").write_bytes(about)
    with serving({"/data.bin": [Answer(CONTENT)]}) as site:
        assert bring(source(site), tmp_path)[0] == CONTENT
    assert site.ranges() == [None]


@pytest.mark.parametrize("digests", [{"sha256": SHA256}, {"sha256": "", "md5": MD5}])
def test_wrong_bytes_are_not_kept(tmp_path: Path, digests: dict[str, str]) -> None:
    with serving({"/data.bin": [Answer(noise(len(CONTENT), b"wrong"))]}) as site:
        said = refused(source(site, **digests), tmp_path)
    assert "is not the official file: " in said and "which should be" in said and "--from" in said
    assert list(tmp_path.iterdir()) == [] and len(site.asked) == 1


@pytest.mark.parametrize("size", [len(CONTENT) - 1, len(CONTENT) + 1])
def test_another_length_than_the_official_one_is_refused_before_it_comes(tmp_path: Path, size: int) -> None:
    with serving({"/data.bin": [Answer(noise(size))]}) as site:
        said = refused(source(site), tmp_path)
    assert f"the server's file has {size:,} bytes, the official one 300,000" in said and left(tmp_path) == 0


def test_a_body_without_end_is_stopped_at_the_size(tmp_path: Path) -> None:
    with serving({"/data.bin": [Answer(noise(5_000_000), length=False)]}) as site:
        assert "goes on beyond 300,000 bytes" in refused(source(site), tmp_path)


def test_a_body_without_length_that_ends_early_is_noticed(tmp_path: Path) -> None:
    with serving({"/data.bin": [Answer(CONTENT[:70_000], length=False), Answer(CONTENT)]}) as site:
        assert bring(source(site), tmp_path)[0] == CONTENT


def test_a_text_of_unknown_length_and_digest_is_not_taken(tmp_path: Path) -> None:
    with serving({"/data.bin": [Answer(CONTENT, length=False)]}) as site:
        said = refused(source(site, sha256="", exact=False), tmp_path)
    assert "does not say how long the file is" in said


def test_a_size_that_is_known_roughly_bounds_what_comes(tmp_path: Path) -> None:
    with serving({"/data.bin": [Answer(noise(3_000_000))]}) as site:
        said = refused(source(site, size=100_000, exact=False), tmp_path)
    assert "far more than about 100,000" in said


@pytest.mark.parametrize(
    "answer",
    [
        Answer(b"<html><body>Log in</body></html>", headers={"Content-Type": "text/html; charset=utf-8"}),
        Answer(b"\n <!DOCTYPE html><html>Moved", headers={"Content-Type": "application/octet-stream"}, length=False),
    ],
)
def test_a_web_page_in_the_files_place_is_said_to_be_one(tmp_path: Path, answer: Answer) -> None:
    with serving({"/data.bin": [answer]}) as site:
        assert "a web page came in the file's place" in refused(source(site), tmp_path)
    assert left(tmp_path) == 0


def test_an_unasked_coding_is_refused(tmp_path: Path) -> None:
    with serving({"/data.bin": [Answer(CONTENT, headers={"Content-Encoding": "br"})]}) as site:
        assert "comes in the coding 'br'" in refused(source(site), tmp_path)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_an_answer_that_is_final_is_not_asked_for_again(tmp_path: Path, status: int) -> None:
    with serving({"/data.bin": [Answer(status=status)]}) as site:
        said = refused(source(site), tmp_path)
    assert f"answer {status}" in said and "--from" in said and len(site.asked) == 1


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_an_answer_that_passes_is_asked_for_again_with_growing_pauses(tmp_path: Path, status: int) -> None:
    with serving({"/data.bin": [Answer(status=status), Answer(status=status), Answer(CONTENT)]}) as site:
        found, said, pauses = bring(source(site), tmp_path)
    assert found == CONTENT and pauses == [1.0, 2.0] and f"answer {status}" in said[0]


def test_patience_ends(tmp_path: Path) -> None:
    with serving({"/data.bin": [Answer(status=500)]}) as site:
        assert "cannot be fetched (answer 500" in refused(source(site), tmp_path, tries=4)
    assert len(site.asked) == 4


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_kept_as_a_number_and_as_a_date(tmp_path: Path, status: int) -> None:
    answers = [
        Answer(status=status, headers={"Retry-After": "17"}),
        Answer(status=status, headers={"Retry-After": in_(40)}),
        Answer(status=status, headers={"Retry-After": "soon"}),
        Answer(CONTENT),
    ]
    with serving({"/data.bin": answers}) as site:
        _, _, pauses = bring(source(site), tmp_path)
    assert pauses[0] == 17 and 20 < pauses[1] <= 40 and pauses[2] == 4


def test_a_pause_that_is_too_long_is_said_and_not_waited_for(tmp_path: Path) -> None:
    with serving({"/data.bin": [Answer(status=503, headers={"Retry-After": "86400"})]}) as site:
        assert "asks to come back in 86,400 seconds" in refused(source(site), tmp_path)


def test_tries_begin_anew_where_a_download_gets_on(tmp_path: Path) -> None:
    content = noise(5 << 20)
    answers = [Answer(content, stop_after=(1 << 20) + 1) for _ in range(4)]
    with serving({"/data.bin": [*answers, Answer(content)]}) as site:
        found = source(site, size=len(content), sha256=hashlib.sha256(content).hexdigest())
        assert bring(found, tmp_path, tries=2)[0] == content


def test_redirects_are_followed_and_loops_are_not(tmp_path: Path) -> None:
    answers = {
        "/data.bin": [Answer(status=302, headers={"Location": "/there/data.bin"})],
        "/there/data.bin": [Answer(CONTENT, stop_after=1_000), Answer(CONTENT)],
        "/loop.bin": [Answer(status=301, headers={"Location": "/loop.bin"})],
    }
    with serving(answers) as site:
        assert bring(source(site), tmp_path)[0] == CONTENT
        assert [path for path, _ in site.asked] == ["/data.bin", "/there/data.bin"] * 2
        (tmp_path / "data.bin").unlink()
        assert "leads on more than 10 times" in refused(source(site, url=site.url("/loop.bin")), tmp_path)


@pytest.mark.parametrize("target", ["ftp://127.0.0.1/data.bin", "file:///etc/passwd"])
def test_a_redirect_to_no_web_address_is_refused(tmp_path: Path, target: str) -> None:
    with serving({"/data.bin": [Answer(status=302, headers={"Location": target})]}) as site:
        assert "is no web address" in refused(source(site), tmp_path)


def test_http_is_refused_unless_it_is_allowed(tmp_path: Path) -> None:
    with serving({"/data.bin": [Answer(CONTENT)]}) as site:
        said = refused(source(site), tmp_path, allow_http=False)
        assert "is not encrypted" in said and "--allow-http" in said and site.asked == []


def test_a_redirect_from_https_to_http_is_refused_unless_it_is_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A local certificate is made for the test; the client is told to trust it."""
    import ssl

    key, certificate = certified(tmp_path)
    with serving({"/data.bin": [Answer(CONTENT)]}) as plain:
        answers = {"/data.bin": [Answer(status=302, headers={"Location": plain.url()})]}
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
        folder = tmp_path / "to"
        folder.mkdir()
        with serving(answers, context) as secure:
            found = source(secure, url=secure.url().replace("127.0.0.1", "localhost"))
            said = refused(found, folder, allow_http=False)
            assert "leads from https to http://127.0.0.1" in said and "--allow-http" in said and plain.asked == []
            assert bring(found, folder, allow_http=True)[0] == CONTENT
            monkeypatch.delenv("REQUESTS_CA_BUNDLE")
            (folder / "data.bin").unlink()
            assert "no trustworthy connection" in refused(found, folder)


def certified(folder: Path) -> tuple[Path, Path]:
    """A key, and a certificate for localhost that it signs itself."""
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "key.pem", folder / "certificate.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for path, content in zip(paths, (private, made.public_bytes(serialization.Encoding.PEM)), strict=True):
        path.write_bytes(content)
    return paths


def test_a_server_that_is_not_there_is_unreachable(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    found = Download(f"http://127.0.0.1:{port}/data.bin", (File("data.bin"),), 10)
    with pytest.raises(UnreachableError, match=r"cannot be reached \(.*refused"):
        fetch(found, tmp_path / "data.bin", rules(), Listening())


def test_the_environments_proxy_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving({"http://far.example/data.bin": [Answer(CONTENT)]}) as proxy:
        monkeypatch.setenv("http_proxy", proxy.address)
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        found = Download("http://far.example/data.bin", (File("data.bin"),), len(CONTENT), sha256=SHA256)
        assert bring(found, tmp_path)[0] == CONTENT
    assert proxy.asked[0][0] == "http://far.example/data.bin"


def test_the_headers_that_a_server_wants_are_sent(tmp_path: Path) -> None:
    with serving({"/data.bin": [Answer(CONTENT)]}) as site:
        bring(source(site, headers={"X-Ms-Version": "2019-12-12"}), tmp_path)
    assert site.asked[0][1]["x-ms-version"] == "2019-12-12"


def test_a_connection_that_only_drips_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is turned forward: a drip would take a test too long."""
    from bench.downloads import fetch as module

    ticks = iter(range(0, 1_000_000, 1_000))
    monkeypatch.setattr(module.time, "monotonic", lambda: next(ticks))
    with serving({"/data.bin": [Answer(CONTENT)]}) as site:
        assert "less than 512 bytes a second" in refused(source(site), tmp_path, tries=1)


def test_pauses_are_real_by_default() -> None:
    assert Rules().sleep is time.sleep and not Rules().allow_http
