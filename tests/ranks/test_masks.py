"""From the same weights two processes find one process's scores: the same masks, for every criterion."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace

import pytest

from bench import registry
from bench.api import Execution, Silent, execute
from bench.grid import Request
from bench.plan import make
from bench.record import DENSE, Record
from bench.steps import Train
from bench.store import Store
from bench.tree import Node, Plan
from pruners.recipes import one_shot
from tests.ranks.launching import PATIENCE, ROOT, surroundings

CRITERIA = [
    name
    for name in registry.names("pruners")
    if registry.pruner(name).recipe is one_shot and not registry.distribution("pruners", name).startswith("toy-plugin")
]
SETTINGS = {
    "width": "4",
    "train.steps": "4",
    "train.batch_size": "20",
    "recover.steps": "1",
    "recover.batch_size": "20",
    "score_batches": "3",
    "score_batch_size": "9",
}
"""Three scoring batches for two processes: one has two of them."""
REQUEST = Request(("cifar10",), tuple(CRITERIA), (0.5, 0.9), models=("resnet20",), settings=SETTINGS, when="trained")


Folders = tuple[Store, Store, subprocess.CompletedProcess[str]]


def dense(plan: Plan) -> Node:
    """The node whose state is the trained dense model."""
    return next(node for node in plan.roots[0].node.walk() if isinstance(node.step, Train))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """The grid by one process, and by two from the dense model that the one has trained."""
    one = Store(tmp_path_factory.mktemp("one") / "out", create=True)
    plan = make(REQUEST)
    execute(plan, one, Execution("cpu", 1), "float32", Silent())
    two = Store(tmp_path_factory.mktemp("two") / "out", create=True)
    stored = one.state(dense(plan).key)
    assert stored is not None
    other = dense(make(replace(REQUEST, processes=2))).key
    two.put_state(other, lambda path: shutil.copyfile(stored, path) and None)
    flags = ["--task", "cifar10", "--model", "resnet20", "--pruner", ",".join(CRITERIA), "--grid", "0.5,0.9"]
    flags += [part for name, value in SETTINGS.items() for part in ("--set", f"{name}={value}")]
    flags += ["--when", "trained", "--device", "cpu", "--threads", "1", "--out", str(two.root)]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "bench", "run"]
    done = subprocess.run(
        [sys.executable, *launcher, *flags],
        env=surroundings(), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    return one, two, done


def by_cell(store: Store) -> dict[tuple[str, float], Record]:
    return {(record.pruner, record.goal): record for record in store.records()}


def test_the_catalogue_has_all_criteria() -> None:
    assert {"random", "magnitude", "snip", "grasp", "synflow", "wanda", "fisher"} <= set(CRITERIA)


def test_rank_zero_alone_speaks(folders: Folders) -> None:
    _, _, done = folders
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("cifar10 · CIFAR-10 image classification") == 1
    assert "cpu, 2 processes, 1 thread" in done.stdout
    cells = 1 + 2 * len(CRITERIA)
    assert [line for line in done.stderr.splitlines() if line.startswith("[")] == [
        line for line in done.stderr.splitlines() if f"/{cells}] cifar10/resnet20" in line
    ]
    assert done.stderr.count(f"/{cells}] cifar10/resnet20") == cells


@pytest.mark.parametrize("sparsity", [0.5, 0.9])
@pytest.mark.parametrize("pruner", CRITERIA)
def test_the_mask_of_two_processes_is_that_of_one(folders: Folders, pruner: str, sparsity: float) -> None:
    one, two, _ = folders
    single, joint = by_cell(one)[pruner, sparsity], by_cell(two)[pruner, sparsity]
    assert single.status == joint.status == "done"
    assert joint.mask_digest == single.mask_digest
    assert joint.provenance["processes"] == 2 and "processes" not in single.provenance
    assert joint.key != single.key


def test_the_same_weights_are_measured_the_same(folders: Folders) -> None:
    one, two, _ = folders
    single, joint = by_cell(one)[DENSE, 0.0], by_cell(two)[DENSE, 0.0]
    assert joint.metrics == single.metrics
    assert two.file(joint.files["examples"]) == one.file(single.files["examples"])
