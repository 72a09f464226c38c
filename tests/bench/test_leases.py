"""Leases: one of several takes what begins at a node, the others learn who, and what died is taken over."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench.errors import StoreError
from bench.leases import Leases, Owner
from bench.store import Store
from tests.bench.storing import KEY, OTHER

ELSEWHERE = Owner("id", "far", "0" * 8, "", 1)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=["path", "memory", "dir"])
def store(request, tmp_path: Path) -> Iterator[Store]:
    address = {
        "path": str(tmp_path / "out"),
        "memory": f"memory://{tmp_path.name}",
        "dir": f"dir::file://{tmp_path}/out",
    }
    yield Store(address[request.param], create=True)


def of(store: Store, clock: Clock | None = None, owner: Owner | None = None) -> Leases:
    leases = Leases(store, beat=1000.0, expiry=60.0, clock=clock or Clock())
    if owner is not None:
        leases.owner = owner
    return leases


def test_one_takes_it_and_the_other_learns_who(store: Store) -> None:
    with of(store) as first, of(store) as second:
        assert first.take(KEY, [KEY]) is None
        assert second.take(KEY, [KEY]) == first.owner
        assert second.take(OTHER, [OTHER]) is None
        first.release(KEY)
        assert second.take(KEY, [KEY]) is None
    assert store.storage.names("leases") == []


def test_a_lease_covers_all_that_is_computed_under_it(store: Store) -> None:
    with of(store) as first, of(store) as second:
        first.take(KEY, [KEY, "ef" * 32])
        assert second.take("ef" * 32, []) == first.owner
        assert second.take(OTHER, [OTHER, "ef" * 32]) == first.owner


def test_of_many_that_try_at_once_one_has_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "out", create=True)
    for turn in range(20):
        several = [of(store) for _ in range(8)]
        start, got = threading.Barrier(8), []

        def take(leases: Leases, start=start, got=got, turn=turn) -> None:
            start.wait()
            got.append(leases.take(f"{turn:064x}", []))

        threads = [threading.Thread(target=take, args=[leases]) for leases in several]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert got.count(None) == 1


def test_a_silent_owner_elsewhere_is_taken_over_by_the_observers_own_clock(store: Store) -> None:
    clock = Clock()
    silent, waiting, third = of(store, owner=ELSEWHERE), of(store, clock), of(store, clock)
    silent.take(KEY, [KEY])
    assert waiting.take(KEY, [KEY]) == ELSEWHERE
    clock.now = 59.0
    assert waiting.take(KEY, [KEY]) == ELSEWHERE
    clock.now = 60.0
    assert third.take(KEY, [KEY]) == ELSEWHERE  # it has not watched for long itself
    assert waiting.take(KEY, [KEY]) is None
    assert third.take(KEY, [KEY]) == waiting.owner
    silent.beat()  # it comes back, and learns that it has lost
    assert third.take(KEY, [KEY]) == waiting.owner
    silent.release(KEY)
    assert third.take(KEY, [KEY]) == waiting.owner


def test_an_owner_that_gives_signs_of_life_keeps_it_however_long_it_takes(store: Store) -> None:
    clock = Clock()
    slow, waiting = of(store, owner=ELSEWHERE), of(store, clock)
    slow.take(KEY, [KEY])
    for _ in range(10):
        clock.now += 50.0
        slow.beat()
        assert waiting.take(KEY, [KEY]) == ELSEWHERE


def test_signs_of_life_are_given_while_the_owner_works(tmp_path: Path) -> None:
    store = Store(tmp_path / "out", create=True)
    with Leases(store, beat=0.01) as leases:
        leases.take(KEY, [KEY])
        (name,) = store.storage.names("leases")
        seen = set()
        while len(seen) < 3:
            seen.add(json.loads(store.storage.read(f"leases/{name}"))["beat"])


def test_an_owner_that_died_on_this_machine_is_taken_over_from_at_once(store: Store) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    dead = of(store, owner=replace(Owner.this(), id="dead", process=process.pid))
    dead.take(KEY, [KEY, OTHER])
    with of(store) as leases:
        assert leases.take(OTHER, [OTHER]) is None
    assert store.storage.names("leases") == []


def test_who_holds_how_many_is_told_without_a_change(store: Store) -> None:
    dead, far = of(store, owner=replace(Owner.this(), id="dead", started="long ago")), of(store, owner=ELSEWHERE)
    dead.take(KEY, [KEY])
    for key in (OTHER, "ef" * 32):
        far.take(key, [key])
    before = store.storage.names("leases")
    assert of(store).holders() == {"process 1 on far": 2}
    assert store.storage.names("leases") == before


def test_a_process_of_the_same_number_is_not_the_one_that_died(store: Store) -> None:
    dead = of(store, owner=replace(Owner.this(), id="dead", started="long ago"))
    dead.take(KEY, [KEY])
    with of(store) as leases:
        assert leases.take(KEY, [KEY]) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"id": 1}', b"\xff", b"[" * 100_000])
def test_what_was_never_finished_counts_until_it_has_been_silent_for_long(store: Store, content: bytes) -> None:
    store.storage.write(f"leases/{KEY}.0.json", content)
    clock = Clock()
    with of(store, clock) as leases:
        assert leases.take(KEY, [KEY]) is not None
        clock.now = 60.0
        assert leases.take(KEY, [KEY]) is None


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "out", create=True)

    def refuse(*args: object) -> bool:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(store.storage, "create", refuse)
    with pytest.raises(StoreError, match=r"leases: cannot be written \(Read-only file system\)\. Give a folder"):
        of(store).take(KEY, [KEY])
