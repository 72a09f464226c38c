"""Where a results folder may lie: the same behaviour on a path, in memory, behind fsspec, and on an S3 server."""

from __future__ import annotations

import errno
import io
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch

from bench.errors import StoreError, UsageError
from bench.leases import Leases
from bench.state import load, save
from bench.storage import Storage, is_url, storage_of
from bench.storage.processes import scratch_name
from bench.store import Store
from tests.bench.executors.grids import asked, compute
from tests.bench.storing import KEY, OTHER, dead_process, record_of, state_of

moto_server = pytest.importorskip("moto.server", reason="moto is not installed: pip install 'prunebench[dev]'")
pytest.importorskip("s3fs", reason="s3fs is not installed: pip install 'prunebench[dev]'")


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    """A bucket on an S3 server of this machine."""
    import s3fs

    server = moto_server.ThreadedMotoServer(port=0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    patch = pytest.MonkeyPatch()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
    }.items():
        patch.setenv(name, value)
    s3fs.S3FileSystem(skip_instance_cache=True).mkdir("results")
    yield "s3://results"
    server.stop()
    patch.undo()


KINDS = ["path", "file", "memory", "dir", "s3"]


@pytest.fixture(params=KINDS)
def address(request, tmp_path: Path) -> str:
    kind = request.param
    if kind == "s3":
        return f"{request.getfixturevalue('bucket')}/{tmp_path.name}"
    return {
        "path": str(tmp_path / "out"),
        "file": f"file://{tmp_path}/out",
        "memory": f"memory://{tmp_path.name}",
        "dir": f"dir::file://{tmp_path}/out",
    }[kind]


@pytest.fixture
def storage(address: str) -> Storage:
    made = storage_of(address)
    made.prepare(["a", "b", "leases"])
    return made


def test_a_file_is_there_as_it_was_written_and_gone_when_removed(storage: Storage) -> None:
    with pytest.raises(FileNotFoundError):
        storage.read("a/one")
    storage.write("a/one", b"first")
    storage.write("a/one", b"second")
    storage.write("b/two", b"")
    assert (storage.read("a/one"), storage.read("b/two")) == (b"second", b"")
    assert storage.has("a/one") and not storage.has("a/two") and not storage.has("a")
    assert (storage.names("a"), storage.names("b"), storage.names("c")) == (["one"], ["two"], [])
    storage.move("a/one", "b/two")
    assert storage.read("b/two") == b"second" and storage.names("a") == []
    for _ in range(2):
        storage.remove("b/two")
    assert storage.names("b") == []
    assert storage.sizes().get("b", 0) == 0


def test_of_two_that_create_a_file_the_first_is_told_that_it_did(storage: Storage) -> None:
    assert [storage.create("a/one", content) for content in (b"first", b"second")] == [True, False]
    assert storage.read("a/one") == b"first"


@pytest.mark.parametrize("address", ["path", "dir"], indirect=True)
def test_of_several_that_create_a_file_at_once_one_is_told_that_it_did(storage: Storage) -> None:
    told, start = [], threading.Barrier(6)

    def create(content: bytes) -> None:
        start.wait()
        told.append((storage.create("a/one", content), content))

    threads = [threading.Thread(target=create, args=[bytes([number])]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [content for won, content in told if won]
    assert storage.read("a/one") == winner


def test_a_large_file_is_adopted_whole_and_read_from_this_machine(storage: Storage) -> None:
    for content in (b"x" * 100_000, b"y"):
        with storage.scratch("a/large") as folder:
            (folder / "made").write_bytes(content)
            storage.adopt(folder / "made", "a/large")
        assert storage.local("a/large").read_bytes() == content
    with pytest.raises(FileNotFoundError):
        storage.local("a/none")
    assert storage.names("a") == ["large"]
    assert storage.sizes()["a"] == 1


def test_what_a_dead_process_left_half_written_is_removed_and_the_livings_kept(address: str, storage: Storage) -> None:
    process = dead_process()
    machine = scratch_name("x").rpartition("-")[2]
    halves = {f"one.writing-{process}-{machine}", f"one.writing-{process}-00000000", f"one.writing-1-{machine}"}
    for half in halves:
        storage.write(f"a/{half}", b"half")
    again = storage_of(address)
    again.prepare(["a", "b"])
    assert set(again.names("a")) == halves - {f"one.writing-{process}-{machine}"}


def test_a_store_behaves_alike_everywhere(address: str) -> None:
    with pytest.raises(StoreError, match="is not a results folder"):
        Store(address)
    store = Store(address, create=True)
    name = store.put_file(KEY, "run", b"1 Q0 2\n")
    store.put_record(record_of(files={"run": name}), {"Train": 1.5})
    store.put_record(record_of(OTHER), {})
    again = Store(address, mends=True)
    assert [record.key for record in again.records()] == again.keys() == [KEY, OTHER]
    assert again.keys("cd") == [OTHER] and again.timing(KEY) == {"Train": 1.5} and again.file(name) == b"1 Q0 2\n"
    store.storage.write(f"records/{OTHER}.json", b"{}")
    reader = Store(address)
    assert reader.record(OTHER) is None and reader.damaged() == [] and [*reader.left_out] == [f"records/{OTHER}.json"]
    assert again.record(OTHER) is None and again.damaged() == [f"records.{OTHER}.json"]
    assert again.has_record(KEY) and not again.has_record(OTHER)
    store.put_reference(KEY, {"task": "toy"})
    assert again.references() == [{"task": "toy"}]
    assert store.storage.read(store.put_log(KEY, "a traceback")) == b"a traceback"
    for value in (1.0, 2.0):
        store.put_state(KEY, partial(save, state_of(value)))
    path = again.state(KEY)
    assert path is not None
    assert torch.equal(load(path).weights["weight"], state_of(2.0).weights["weight"])
    assert again.state_keys() == {KEY} and again.partials() == []
    store.drop_state(KEY)
    assert again.state(KEY) is None


def test_a_damaged_state_is_set_aside_everywhere(address: str) -> None:
    store = Store(address, create=True)
    store.put_state(KEY, partial(save, state_of(1.0)))
    (name,) = store.storage.names("states")
    store.storage.write(f"states/{name}", store.storage.read(f"states/{name}")[:-1] + b"?")
    assert store.state(KEY) is None
    assert store.damaged() == [f"states.{name}"]


def test_a_place_that_holds_other_things_is_refused_and_left_alone(address: str) -> None:
    storage = storage_of(address)
    storage.prepare([""])
    storage.write("thesis.tex", b"mine")
    with pytest.raises(StoreError, match=r"is not empty and not a results folder\. Give another --out\."):
        Store(address, create=True)
    assert storage.names("") == ["thesis.tex"]


def test_a_grid_leaves_the_same_bytes_everywhere(address: str, tmp_path: Path) -> None:
    request = asked(seeds=(0,), pruners=("magnitude",))
    compute(tmp_path / "local", request)
    here, there = Store(tmp_path / "local").storage, Store(address, create=True).storage
    told = compute(address, request)
    assert len(told.records) == 3
    for folder in ("records", "files"):
        assert there.names(folder) == here.names(folder)
        assert [there.read(f"{folder}/{name}") for name in there.names(folder)] == [
            here.read(f"{folder}/{name}") for name in here.names(folder)
        ]
    assert there.names("leases") == there.names("partial") == []
    assert not compute(address, request).records


@pytest.mark.parametrize("kind", ["dir", "s3"])
def test_worker_processes_share_a_store_behind_a_url(kind: str, request, tmp_path: Path) -> None:
    place = f"{request.getfixturevalue('bucket')}/jobs" if kind == "s3" else f"dir::file://{tmp_path}/out"
    compute(tmp_path / "local", asked(seeds=(0,)))
    assert len(compute(place, asked(seeds=(0,)), jobs=2).records) == 7
    here, there = Store(tmp_path / "local").storage, Store(place).storage
    assert there.names("files") == here.names("files")
    assert all(there.read(f"records/{name}") == here.read(f"records/{name}") for name in here.names("records"))
    assert len(there.names("logs")) == 2 and b"Train" in there.read(f"logs/{there.names('logs')[0]}")


def test_what_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"zzz://here: cannot be reached \(ValueError: Protocol not known: zzz\)"):
        Store("zzz://here", create=True)
    with pytest.raises(UsageError, match=r"gs://here: cannot be reached"):
        Store("gs://here", create=True)
    with pytest.raises(StoreError, match="is no folder of this machine"):
        _ = Store(f"memory://{tmp_path.name}", create=True).root


def test_a_server_that_refuses_is_one_line(bucket: str) -> None:
    with pytest.raises(StoreError, match=r"s3://no-such-bucket/out/results\.json: cannot be written \(.*[Bb]ucket"):
        Store("s3://no-such-bucket/out", create=True)


def test_a_file_system_that_lets_two_create_one_file_holds_no_leases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(f"memory://{tmp_path.name}", create=True)
    monkeypatch.setattr(store.storage, "_create", lambda name, content: True)
    with pytest.raises(UsageError, match=r"memory://.*: cannot hold leases \(a file can be created twice\)"):
        Leases(store).take(KEY, [KEY])


@pytest.mark.parametrize("url", ["s3://bucket/out", "memory://x", "dir::file:///tmp/x", "file:///tmp/x"])
def test_urls_are_told_from_paths(url: str) -> None:
    assert is_url(url)
    assert not any(is_url(path) for path in ("results", "/tmp/out", "./a:b", "C:out", "a/b://c", Path("s3://x")))


@pytest.mark.parametrize("address", ["s3://", "gs:///", "s3:", "s3:/bucket/results", "memory://"])
def test_a_url_without_a_place_is_no_folder_called_like_it(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="is no URL of a folder"):
        storage_of(address)
    assert not [*tmp_path.iterdir()]


def test_a_file_that_a_full_disk_refuses_is_not_left_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = storage_of(tmp_path)

    class Full(io.FileIO):
        def write(self, content: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "open", lambda path, mode, **more: Full(path, mode.replace("b", "")))
    with pytest.raises(OSError, match="No space left"):
        storage.create("lease.json", b"{}")
    assert not [*tmp_path.iterdir()]
