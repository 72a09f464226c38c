"""A results folder with records and states, for the tests of the store."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

from bench.record import Record
from bench.state import State, load, save
from bench.store import Store

KEY = "ab" * 32
OTHER = "cd" * 32


def record_of(key: str = KEY, **changes: object) -> Record:
    made = Record(
        key=key,
        status="done",
        task="toy",
        task_version=1,
        model="mlp",
        pruner="grasp",
        when="init",
        allocation="global",
        structure="weights",
        variant="",
        target_sparsity=0.9,
        seed=0,
        preset="smoke",
        options={"width": 16},
        path=[{"step": "Init"}],
        data={"name": "toy", "kind": "sample", "counts": {"points": 256}, "digest": "0" * 64},
        provenance={"torch": "2.13.0"},
        metrics={"accuracy": 0.75},
    )
    return replace(made, **changes)


def state_of(value: float) -> State:
    return State({"weight": torch.full((3, 4), value)}, {"weight": torch.eye(3, 4) > 0})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results", create=True)


def put_state(store: Store, value: float, *, partial_: bool = False) -> None:
    store.put_state(KEY, partial(save, state_of(value)), partial=partial_)


def held(store: Store, *, partial_: bool = False) -> float | None:
    path = store.state(KEY, partial=partial_)
    return None if path is None else float(load(path).weights["weight"][0, 0])


def dead_process() -> int:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return process.pid
