"""``--executor ray`` on a cluster of three nodes of this machine, one of which is lost."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import api
from bench.errors import UsageError
from bench.grid import Request
from bench.plan import make
from bench.store import Store
from tests.bench.executors.grids import asked, compute, contents, litter, steps

pytest.importorskip("ray", reason="ray is not installed: pip install 'prunebench[ray]'")

FORTY = {"sparsities": tuple(round(0.05 * step, 2) for step in range(1, 14)), "seeds": (0,)}
MEMORY = 80 * 2**20
"""Bytes of Ray's own object store, in which nothing of ours lies."""


class Watcher(api.Silent):
    """Notes when each cell was finished; does something after some of them."""

    def __init__(self, after: int = 0, act: Any = None) -> None:
        self.times: list[float] = []
        self.lines: list[str] = []
        self._after, self._act = after, act

    def finished(self, record: Any) -> None:
        self.times.append(time.monotonic())
        if self._act is not None and len(self.times) == self._after:
            threading.Thread(target=self._act).start()

    def said(self, text: str) -> None:
        self.lines.append(text)

    @property
    def pace(self) -> float:
        """Seconds a cell, from the first to the last."""
        return (self.times[-1] - self.times[0]) / (len(self.times) - 1)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """A head and two more nodes, one CPU each: Ray's own nodes, on one machine."""
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    from ray.cluster_utils import Cluster

    settings = {"num_cpus": 1, "object_store_memory": MEMORY}
    made = Cluster(initialize_head=True, head_node_args={**settings, "include_dashboard": False})
    made.add_node(**settings)
    made.add_node(**settings)
    made.wait_for_nodes()
    yield made
    made.shutdown()


def on(cluster: Any, out: Path, request: Request, watcher: Watcher, **execution: Any) -> None:
    settings = api.Execution("cpu", 1, executor="ray", ray_address=cluster.address, **execution)
    api.execute(make(request), Store(out, create=True), settings, request.dtype, watcher)


@pytest.mark.slow
def test_forty_cells_on_three_nodes_one_of_them_lost_are_the_records_of_one_process(
    cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    request = asked(**FORTY)
    here = Watcher()
    api.execute(make(request), Store(tmp_path / "here", create=True), api.Execution("cpu", 1), request.dtype, here)
    lost = next(iter(cluster.worker_nodes))
    watcher = Watcher(10, lambda: cluster.remove_node(lost, allow_graceful=False))
    on(cluster, tmp_path / "out", request, watcher)
    assert len(watcher.times) == len(here.times) == 40
    assert contents(tmp_path / "out") == contents(tmp_path / "here")
    Store(tmp_path / "out", create=True)  # which removes what the lost node was writing
    assert litter(tmp_path / "out") == []
    assert len({path.name for path in (tmp_path / "out" / "logs").iterdir()}) == 3
    assert sum(line.startswith("Train") for line in steps(tmp_path / "out")) >= 40
    with capsys.disabled():
        print(
            f"\nRay, 3 nodes, one lost: {watcher.pace:.2f} s a cell from the first to the last, "
            f"in one process {here.pace:.2f} s: at most {max(0.0, watcher.pace - here.pace):.2f} s more"
        )
    assert watcher.pace < 30 * here.pace


@pytest.mark.slow
def test_a_run_on_the_cluster_goes_on_where_one_here_stopped(cluster: Any, tmp_path: Path) -> None:
    request = asked(seeds=(0,), pruners=("magnitude", "toy-broken"))
    compute(tmp_path / "out", request, limit=2)
    watcher = Watcher()
    on(cluster, tmp_path / "out", request, watcher, jobs=2)
    assert len(watcher.times) == 3
    compute(tmp_path / "apart", request)
    assert contents(tmp_path / "out") == contents(tmp_path / "apart")
    failed = [record for record in Store(tmp_path / "out").records() if record.failure]
    assert {record.pruner for record in failed} == {"toy-broken"}


def test_what_no_node_has_room_for_is_one_line(cluster: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--executor ray: no node of the cluster has 1 CPUs and 0\.5 GPUs for one"):
        on(cluster, tmp_path / "out", asked(), Watcher(), gpus_per_job=0.5)


def test_where_no_cluster_is_there_is_one_line(tmp_path: Path) -> None:
    import ray

    if ray.is_initialized():
        ray.shutdown()
    with pytest.raises(UsageError, match=r"--ray-address .*: no Ray cluster there .*Start one \('ray start --head'\)"):
        compute(tmp_path / "out", asked(), executor="ray", ray_address="no-such-scheme://127.0.0.1:1")
