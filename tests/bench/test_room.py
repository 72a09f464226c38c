"""Memory and disk are looked at before anything is computed: what cannot fit is refused, what may not is said."""

from __future__ import annotations

import errno
import os
import shutil
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from bench import execution, machine
from bench.api import Silent
from bench.cli import main
from bench.errors import StoreError, UsageError
from bench.execution import Execution, execute, pending
from bench.executors.segments import divide
from bench.grid import Request
from bench.plan import make
from bench.room import BESIDE_A_STATE, Need, Sizes, check, check_disk, check_memory, disk, memory, sizes_of
from bench.steps import Schedule
from bench.storage.local import Local
from bench.store import Store
from bench.tree import Node

MB = 1_000_000
ADAM, SGD = Schedule(1e-3, 8, 10), Schedule(1e-3, 8, 10, optimizer="sgd")
SIZES = Sizes(weights=100 * MB, trained=90 * MB, prunable=80 * MB)
Usage = namedtuple("Usage", "total used free")


class Heard(Silent):
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.steps: list[Node] = []

    def said(self, text: str) -> None:
        self.lines.append(text)

    def started(self, node: Node, worker: int = 0) -> None:
        self.steps.append(node)


def test_training_takes_the_model_its_state_gradients_and_moments() -> None:
    assert memory(SIZES, [ADAM]).least == (2 * 100 + 3 * 90) * MB
    assert memory(SIZES, [SGD]).least == (2 * 100 + 90) * MB
    assert memory(SIZES, [SGD, ADAM]) == memory(SIZES, [ADAM])
    assert memory(SIZES, []).least == 2 * 100 * MB
    assert memory(SIZES, [ADAM]).likely == (3 * 100 + 6 * 90 + 3 * 80) * MB


def test_dense_models_stay_on_the_disk_and_branches_for_a_while() -> None:
    asked = Request(tasks=("toy",), pruners=("magnitude", "snip"), sparsities=(0.5, 0.9), seeds=(0, 1), when="trained")
    plan = make(asked)
    segments = divide(plan, lambda key: True)
    assert len(plan.cells) == 10
    need = disk(SIZES, segments, (), workers=1)
    assert need.least == 2 * 100 * MB + 10 * BESIDE_A_STATE
    state = (100 + 20) * MB  # with a byte for each mask
    # each score is a branch of its own; one training may be saved on its way
    assert need.likely == need.least + state + state + 2 * 90 * MB
    assert disk(SIZES, segments, (), workers=3).likely == need.least + 3 * (need.likely - need.least)
    trunks = [node.key for segment in segments if segment.trunk for node in segment.steps]
    done = [cell.key for cell in plan.cells[:4]]
    assert disk(SIZES, segments, [*trunks, *done], workers=1).least == 6 * BESIDE_A_STATE


def test_memory_that_cannot_do_is_refused_and_such_that_may_not_is_said() -> None:
    said: list[str] = []
    need = Need(400 * MB, 900 * MB)
    check_memory(need, 900 * MB, "toy", 1, "cpu", said.append)
    assert said == []
    check_memory(need, 899 * MB, "toy", 3, "cpu", said.append)
    assert said == [
        "toy takes about 900.0 MB of memory for each worker, and 899.0 MB are free. "
        "Give fewer --jobs than 3, or a smaller --model."
    ]
    with pytest.raises(UsageError) as refused:
        check_memory(need, 399 * MB, "toy", 1, "cuda", said.append)
    assert str(refused.value) == (
        "toy: needs at least 400.0 MB of the GPU's memory, and 399.0 MB are free. "
        "Give a smaller --model or --device cpu."
    )


def test_a_disk_that_cannot_do_is_refused_and_one_that_may_not_is_said() -> None:
    said: list[str] = []
    check_disk(Need(4 * MB, 9 * MB), 9 * MB, "out", said.append)
    assert said == []
    check_disk(Need(4 * MB, 9 * MB), 8 * MB, "out", said.append)
    assert said == [
        "out: takes about 9.0 MB for a while, and 8.0 MB are free. Free some space, or give another folder with --out."
    ]
    with pytest.raises(StoreError, match=r"^out: needs at least 4\.0 MB for models and .* 3\.0 MB are free\."):
        check_disk(Need(4 * MB, 9 * MB), 3 * MB, "out", said.append)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_run_without_memory_computes_nothing(tmp_path: Path, monkeypatch, capsys, jobs: int) -> None:
    monkeypatch.setattr(execution, "free_memory", lambda: 2000)
    grid = ["run", "--task", "toy", "--pruner", "random", "--grid", "0.5", "--device", "cpu", "--threads", "1"]
    assert main([*grid, "--jobs", str(jobs), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "bench: toy: needs at least" in said and f"and {2000 // jobs // 1000}.0 kB are free" in said
    assert Store(tmp_path / "out").keys() == [] and Store(tmp_path / "out").state_keys() == frozenset()


def test_a_run_on_a_disk_that_is_too_small_computes_nothing(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(MB, MB, 5000))
    heard = Heard()
    plan = make(Request(tasks=("toy",), pruners=("random",), sparsities=(0.5,)))
    store = Store(tmp_path / "out", create=True)
    with pytest.raises(StoreError, match=r"needs at least .* and 5\.0 kB are free"):
        execute(plan, store, Execution(device="cpu", threads=1), "float32", heard)
    assert heard.steps == []


def test_samples_give_no_alarm(tmp_path: Path) -> None:
    heard = Heard()
    plan = make(Request(tasks=("toy",), pruners=("random",), sparsities=(0.5,)))
    store = Store(tmp_path / "out", create=True)
    execute(plan, store, Execution(device="cpu", threads=1), "float32", heard)
    assert pending(plan, store) == []
    assert not [line for line in heard.lines if "free" in line]


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC])
def test_a_folder_that_takes_nothing_is_told_before_any_step(tmp_path: Path, monkeypatch, number: int) -> None:
    plan = make(Request(tasks=("toy",), pruners=("random",), sparsities=(0.5,)))
    store = Store(tmp_path / "out", create=True)
    execute(plan, store, Execution(device="cpu", threads=1, limit=1), "float32", Silent())

    def refused(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    for name in ("write", "create", "adopt"):
        monkeypatch.setattr(Local, name, refused)
    heard = Heard()
    with pytest.raises(StoreError, match=r"cannot be written|no space left"):
        execute(plan, store, Execution(device="cpu", threads=1), "float32", heard)
    assert heard.steps == []


def test_on_a_gpu_its_own_memory_counts_with_what_this_process_holds_there(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 10**9))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 500)
    model = torch.nn.Linear(10, 20)
    bench = SimpleNamespace(
        model=model,
        prunable=lambda: {"weight": model.weight},
        environment=SimpleNamespace(device=torch.device("cuda")),
        task=SimpleNamespace(name="toy"),
    )
    assert memory(sizes_of(bench), []).least == 2 * 4 * 220  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"1\.8 kB of the GPU's memory, and 1\.5 kB are free\..* --device cpu"):
        check(bench, [], Store(tmp_path / "out", create=True), None, 1, print)  # type: ignore[arg-type]


MEMINFO = "MemTotal: 8000 kB\nMemAvailable:    4000 kB\nSwapFree: 100 kB\n"
V2, V1 = "sys/fs/cgroup", "sys/fs/cgroup/memory"


@pytest.mark.parametrize(
    ("files", "kilobytes"),
    [
        ({}, None),
        ({"proc/meminfo": MEMINFO}, 4100),
        ({"proc/meminfo": MEMINFO, f"{V2}/memory.max": "max\n", f"{V2}/memory.current": "1024\n"}, 4100),
        ({"proc/meminfo": MEMINFO, f"{V2}/memory.max": "2048000", f"{V2}/memory.current": "1024000"}, 1100),
        (
            {
                "proc/meminfo": MEMINFO,
                f"{V2}/memory.max": "2048000",
                f"{V2}/memory.current": "1024000",
                f"{V2}/memory.stat": "anon 5\ninactive_file 512000\n",
            },
            1600,
        ),
        ({f"{V1}/memory.limit_in_bytes": "1024000", f"{V1}/memory.usage_in_bytes": "2048000"}, 0),
        ({"proc/meminfo": "nonsense\nMemAvailable:\n"}, None),
    ],
)
def test_free_memory_is_the_systems_within_a_containers_limit(tmp_path: Path, files, kilobytes) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert machine.free_memory(tmp_path) == (None if kilobytes is None else 1024 * kilobytes)
