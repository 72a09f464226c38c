"""How far each run on a results folder has come, for whoever watches it (``bench status --watch``).

    runs/ID.json          who it is, the steps in hand, and how long the rest takes
    runs/ID.cells.json    the cells that it is to compute

A run rewrites the first every few seconds and removes both once all its cells are there: what a run leaves that ends
before says how much is left. Nothing is decided by these files. Imports no torch.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from bench.leases import Owner
from bench.steps import Cut, Evaluate, Score, Train

if TYPE_CHECKING:
    from bench.foresight.forecast import Forecast
    from bench.storage import Storage
    from bench.tree import Node

BEAT = 3.0
"""Seconds between two looks at whether there is something to tell."""
FEWEST_BEATS = 10
"""Beats after which it is told that nothing has changed."""
SHOWN_KEY = 16
"""Digits of the keys in the list of a run's cells: enough to count by."""
LONGEST = 200
"""Characters of what is read of a run, at most."""
LATEST = 1e10
"""Seconds that a run needs at most: three centuries."""
_FILE = re.compile(r"([0-9a-f]{12})\.json")


@dataclass(frozen=True)
class Hand:
    """A step that a worker has in hand."""

    worker: int
    what: str
    """Of which cell or task."""
    step: str
    done: int = 0
    of: int = 0
    """Training steps; 0 where it is none."""


@dataclass(frozen=True)
class Run:
    """A run, as it last told of itself."""

    id: str
    owner: Owner
    over: bool
    """Whether it said that it ended."""
    workers: int
    hands: Sequence[Hand]
    seconds_left: float | None
    basis: str
    missing: Sequence[str]
    content: bytes

    @property
    def ended(self) -> bool:
        """Whether it ended, as far as this machine can tell."""
        return self.over or self.owner.gone


class Announced:
    """Tells of this run, from a thread of its own, while the context lasts."""

    def __init__(self, storage: Storage, forecast: Forecast, wanted: Collection[str], beat: float = BEAT) -> None:
        self._storage, self._forecast, self._wanted, self._beat = storage, forecast, wanted, beat
        self.owner = Owner.this()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._live_on, name="run", daemon=True)
        self._told: dict[str, Any] = {}
        self._beats, self._silent = 0, 0

    def __enter__(self) -> Announced:
        with suppress(OSError):
            self._clear_away()
            keys = sorted(key[:SHOWN_KEY] for key in self._wanted)
            self._storage.write(f"runs/{self.owner.id}.cells.json", json.dumps(keys).encode())
        self.tell()
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()
        if self._forecast.cells_left:
            self._write(over=True)
        else:
            self._remove(self.owner.id)

    def tell(self) -> None:
        """Writes how far the run has come, where that has changed."""
        self._write(over=False)

    def _write(self, *, over: bool) -> None:
        facts = {**self._facts(), "over": over}
        self._beats, self._silent = self._beats + 1, self._silent + 1
        if facts != self._told or self._silent >= FEWEST_BEATS:
            # A full disk or a server out of reach may pass; if not, writing a result will say so.
            with suppress(OSError):
                content = json.dumps({**facts, "beat": self._beats}).encode()
                self._storage.write(f"runs/{self.owner.id}.json", content)
            self._told, self._silent = facts, 0

    def _facts(self) -> dict[str, Any]:
        forecast = self._forecast
        left = forecast.left()
        return {
            "owner": vars(self.owner),
            "workers": forecast.workers,
            "hands": [vars(_hand(worker, node, forecast)) for worker, node in sorted([*forecast.at.items()])],
            "seconds_left": None if left is None else round(left.seconds, 1),
            "basis": "" if left is None else left.basis,
            "missing": [] if left is None else [*left.missing],
        }

    def _live_on(self) -> None:
        while not self._over.wait(self._beat):
            self.tell()

    def _clear_away(self) -> None:
        """Removes what runs left that are over: this one is to compute what they did not, or shall not."""
        for run in runs(self._storage):
            if run.ended:
                self._remove(run.id)

    def _remove(self, id_: str) -> None:
        with suppress(OSError):
            for kind in ("json", "cells.json"):
                self._storage.remove(f"runs/{id_}.{kind}")


def runs(storage: Storage) -> list[Run]:
    """The runs that have told of themselves, those that ended before their cells were there too."""
    found = []
    for name in storage.names("runs"):
        match = _FILE.fullmatch(name)
        with suppress(OSError):
            run = _run(match[1], storage.read(f"runs/{name}")) if match else None
            found += [run] if run is not None else []
    return found


def cells_of(storage: Storage, run: Run) -> frozenset[str]:
    """The keys, shortened to ``SHOWN_KEY`` digits, of the cells that the run is to compute; none where it is gone."""
    try:
        keys = json.loads(storage.read(f"runs/{run.id}.cells.json"))
        return frozenset(str(key) for key in keys)
    except (OSError, ValueError, TypeError, RecursionError):
        return frozenset()


def _run(id_: str, content: bytes) -> Run | None:
    """The run in a file, None where it is no such file."""
    try:
        facts = json.loads(content)
        left = float("nan") if facts["seconds_left"] is None else float(facts["seconds_left"])
        return Run(
            id_,
            Owner(**{entry.name: _OWNER[entry.name](facts["owner"][entry.name]) for entry in fields(Owner)}),
            bool(facts["over"]),
            int(facts["workers"]),
            tuple(_hand_of(hand) for hand in facts["hands"]),
            left if 0 <= left <= LATEST else None,
            _plain(facts["basis"]),
            tuple(map(_plain, facts["missing"])),
            content,
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None


_OWNER: Mapping[str, Callable[[Any], Any]] = {entry.name: str for entry in fields(Owner)} | {"process": int}


def _hand_of(facts: Mapping[str, Any]) -> Hand:
    numbers = {name: int(facts[name]) for name in ("worker", "done", "of")}
    return Hand(what=_plain(facts["what"]), step=_plain(facts["step"]), **numbers)


def _plain(text: object) -> str:
    """Text that a terminal only prints."""
    return "".join(sign if sign.isprintable() else "?" for sign in str(text)[:LONGEST])


def _hand(worker: int, node: Node, forecast: Forecast) -> Hand:
    below = [cell for _, cell in zip(range(2), node.cells(), strict=False)]
    of_one = below[0]
    pruner = f" {of_one.pruner.name}" if len(below) == 1 else ""
    name = f"{of_one.task.name}/{of_one.task.model}{pruner} seed {of_one.seed}"
    of = node.train_steps if isinstance(node.step, Train) else 0
    return Hand(worker, name, told(node), forecast.trained_steps.get(node, 0), of)


def told(node: Node) -> str:
    """The step in words, with the cut that it stands under: ``Train at 0.9``."""
    step = node.step
    cut = next((f" at {above.step.sparsity:g}" for above in reversed(node.chain) if isinstance(above.step, Cut)), "")
    if isinstance(step, Score):
        return f"Score {step.criterion}"
    return f"{type(step).__name__}{cut if isinstance(step, Train | Evaluate) else ''}"
