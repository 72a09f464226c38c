"""Who is computing what: several runs on one results folder compute nothing twice.

    leases/KEY.N.json     the lease of generation N on what begins at the node KEY

A lease is taken by creating its file, which the storage lets one process do. Its owner rewrites it every few seconds,
with a number that grows. Who finds it unchanged for ``EXPIRY`` seconds of *his own* clock takes it over by creating
generation N + 1: no two clocks are compared. An owner that ran on this machine and is gone is taken over from at once.

Leases save work, and nothing else depends on them: what two processes compute after all is the same bytes under the
same name. Imports no torch.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from bench.errors import UsageError
from bench.storage.processes import machine, runs, started
from bench.store import Store, unwritable

BEAT = 10.0
"""Seconds between two signs of life."""
EXPIRY = 60.0
"""Seconds without one after which a lease is taken over."""
HOST = 253
"""Characters of a host's name at most."""


@dataclass(frozen=True)
class Owner:
    """A process that may hold leases."""

    id: str
    host: str
    machine: str
    started: str
    """What tells the process from another of its number."""
    process: int

    @staticmethod
    def this() -> Owner:
        """This process, under an id that no other has."""
        process = os.getpid()
        return Owner(uuid.uuid4().hex[:12], socket.gethostname(), machine(), started(process), process)

    def __str__(self) -> str:
        here = self.machine == machine()
        host = "".join(sign if sign.isprintable() else "?" for sign in self.host[:HOST])
        return f"process {self.process}" + ("" if here else f" on {host}")

    @property
    def gone(self) -> bool:
        """Whether it ran on this machine and runs no longer; False where that cannot be said from here."""
        if self.machine != machine():
            return False
        return not runs(self.process) or started(self.process) != self.started


@dataclass(frozen=True)
class Lease:
    """A lease as it was read."""

    key: str
    generation: int
    owner: Owner | None
    """None where the file says nothing readable: it is being written, or was never finished."""
    nodes: frozenset[str]
    """All that is computed under it."""
    content: bytes

    @property
    def name(self) -> str:
        return _name(self.key, self.generation)


class Leases:
    """The leases of one results folder, as one process takes and sees them."""

    def __init__(
        self, store: Store, *, beat: float = BEAT, expiry: float = EXPIRY, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.owner = Owner.this()
        self._storage, self._where = store.storage, store.where
        self._beat, self._expiry, self._clock = beat, expiry, clock
        self._held: dict[str, frozenset[str]] = {}
        """Nodes of each lease of ours, by key."""
        self._seen: dict[str, tuple[bytes, float]] = {}
        """Content of others' leases and since when it is unchanged, by name."""
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._beats = 0
        self._beating: threading.Thread | None = None

    def __enter__(self) -> Leases:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def take(self, key: str, nodes: Collection[str], others: Collection[Lease] | None = None) -> Owner | None:
        """Takes the lease on what begins at ``key`` and computes ``nodes``: None, or who holds it or a part of it.

        ``others`` are the leases that ``live`` has just found. Raises ``StoreError`` where the folder cannot be
        written, ``UsageError`` where its storage cannot hold leases.
        """
        wanted = frozenset({key, *nodes})
        for lease in self.live() if others is None else others:
            if not lease.nodes.isdisjoint(wanted):
                return lease.owner or _UNKNOWN
        with self._explained():
            if self._take(key, wanted):
                self._start()
                return None
            holder = self._top(key)
        return holder.owner if holder is not None and holder.owner is not None else _UNKNOWN

    def live(self) -> list[Lease]:
        """Leases of other processes that have not expired. Those that have are removed: taken over and given back."""
        with self._explained():
            found = self._others()
            self._seen = {lease.name: self._watched(lease) for lease in found}
            for lease in found:
                if self._expired(lease) and self._take(lease.key, lease.nodes):
                    self.release(lease.key)
            return [lease for lease in found if not self._expired(lease)]

    def holders(self) -> dict[str, int]:
        """Who holds how many, as far as this look and those before can tell; nothing is changed."""
        found = []
        with suppress(OSError):
            found = self._others()
        self._seen = {lease.name: self._watched(lease) for lease in found}
        return dict(Counter(str(lease.owner or "another process") for lease in found if not self._expired(lease)))

    def release(self, key: str) -> None:
        """Gives the lease back; one that was lost meanwhile is no longer ours to give."""
        with self._lock:
            if self._held.pop(key, None) is not None:
                with suppress(OSError):
                    top = self._top(key)
                    if top is not None and self._ours(top):
                        self._storage.remove(top.name)

    def close(self) -> None:
        """Gives all leases back."""
        self._over.set()
        if self._beating is not None:
            self._beating.join()
        for key in [*self._held]:
            self.release(key)

    @contextmanager
    def held(self, key: str) -> Iterator[Owner | None]:
        """Holds the lease on ``key`` alone, or says who does."""
        holder = self.take(key, ())
        try:
            yield holder
        finally:
            if holder is None:
                self.release(key)

    # Taking

    def _take(self, key: str, nodes: frozenset[str]) -> bool:
        before = self._top(key)
        if before is not None and not self._expired(before):
            return False
        name = _name(key, 0 if before is None else before.generation + 1)
        with self._lock:
            if not self._storage.create(name, self._content(nodes)):
                return False
            # Someone may have given back or taken over what was read above.
            top = self._top(key)
            still = None if before is None else self._content_of(before.name)
            if top is None or top.name != name or (before is not None and still not in (None, before.content)):
                self._storage.remove(name)
                return False
            self._held[key] = nodes
        if before is not None:
            self._storage.remove(before.name)
        return True

    def _expired(self, lease: Lease) -> bool:
        if lease.owner is not None and lease.owner.gone:
            return True
        seen = self._seen.get(lease.name)
        return seen is not None and seen[0] == lease.content and self._clock() - seen[1] >= self._expiry

    def _watched(self, lease: Lease) -> tuple[bytes, float]:
        seen = self._seen.get(lease.name)
        return seen if seen is not None and seen[0] == lease.content else (lease.content, self._clock())

    # Reading

    def _others(self) -> list[Lease]:
        """The leases that count and are not ours, expired ones too."""
        found = [self._top(key, generations) for key, generations in self._generations().items()]
        return [lease for lease in found if lease is not None and not self._ours(lease)]

    def _ours(self, lease: Lease) -> bool:
        return lease.owner is not None and lease.owner.id == self.owner.id

    def _top(self, key: str, generations: Collection[int] | None = None) -> Lease | None:
        """The lease on ``key`` that counts: the latest."""
        known = self._generations().get(key, ()) if generations is None else generations
        for generation in sorted(known, reverse=True):
            content = self._content_of(_name(key, generation))
            if content is not None:
                return _lease(key, generation, content)
        return None

    def _generations(self) -> dict[str, list[int]]:
        """Generations of the leases on each key."""
        found: dict[str, list[int]] = {}
        for file in self._storage.names("leases"):
            key, _, rest = file.partition(".")
            number = rest.removesuffix(".json")
            if rest.endswith(".json") and number.isdecimal():
                found.setdefault(key, []).append(int(number))
        return found

    def _content_of(self, name: str) -> bytes | None:
        try:
            return self._storage.read(name)
        except FileNotFoundError:
            return None

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except NotImplementedError as error:
            raise UsageError(
                f"cannot hold leases ({error})", where=self._where(), mend="Give a folder, or a store such as s3://."
            ) from error
        except OSError as error:
            raise unwritable(self._where("leases"), error) from error

    # Signs of life

    def _content(self, nodes: frozenset[str]) -> bytes:
        return json.dumps({**vars(self.owner), "nodes": sorted(nodes), "beat": self._beats}).encode()

    def _start(self) -> None:
        if self._beating is None:
            self._beating = threading.Thread(target=self._live_on, name="leases", daemon=True)
            self._beating.start()

    def _live_on(self) -> None:
        while not self._over.wait(self._beat):
            self.beat()

    def beat(self) -> None:
        """Gives a sign of life for each lease that is held; one that another process took over is ours no longer."""
        with self._lock:
            self._beats += 1
            for key, nodes in [*self._held.items()]:
                # A full disk or a server out of reach may pass; if not, writing a result will say so.
                with suppress(OSError):
                    top = self._top(key)
                    if top is None or not self._ours(top):
                        del self._held[key]
                    else:
                        self._storage.write(top.name, self._content(nodes))


_UNKNOWN = Owner("", "another machine", "", "", 0)


def _name(key: str, generation: int) -> str:
    return f"leases/{key}.{generation}.json"


def _lease(key: str, generation: int, content: bytes) -> Lease:
    try:
        facts: Mapping[str, Any] = json.loads(content)
        id_, host, machine_, started_ = (str(facts[name]) for name in ("id", "host", "machine", "started"))
        owner = Owner(id_, host, machine_, started_, int(facts["process"]))
        return Lease(key, generation, owner, frozenset(map(str, facts["nodes"])), content)
    except (ValueError, KeyError, TypeError, RecursionError):
        return Lease(key, generation, None, frozenset({key}), content)
