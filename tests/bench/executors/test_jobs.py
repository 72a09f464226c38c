"""``--jobs N``: the records of one process, whatever becomes of the workers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from bench import execution
from bench.errors import CellError, StoreError, UsageError
from bench.execution import Execution
from bench.store import Store
from tests.bench.executors.grids import alive, asked, children, compute, contents, litter, run, start, steps, trained

ENDLESS = ("--set", "train.steps=100000000")

DEADLY = '''
import os, signal

class Deadly:
    """Kills the process that asks for its scores."""

    version, iterations, needs_data = 1, 1, False

    def score(self, view):
        os.kill(os.getpid(), signal.SIGKILL)
'''


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The grid, computed in one process."""
    out = tmp_path_factory.mktemp("whole") / "out"
    compute(out)
    return out


@pytest.fixture
def deadly(tmp_path: Path) -> Path:
    """A plug-in that kills its process."""
    folder = tmp_path / "plug-in"
    metadata = folder / "deadly-1.0.dist-info"
    metadata.mkdir(parents=True)
    (folder / "deadly_plugin.py").write_text(DEADLY)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: deadly\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[prunebench.pruners]\ndeadly = deadly_plugin:Deadly\n")
    return folder


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_two_workers_leave_the_records_of_one_process_bit_for_bit(whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert len(compute(out, jobs=2, limit=5).records) == 5
    assert len(compute(out, jobs=2).records) == 9
    assert contents(out) == contents(whole)
    assert litter(out) == []
    begun = Counter(line for line in steps(out) if not line.startswith(("Init", "Score")))
    assert set(begun.values()) == {1}
    assert Counter(line.split()[0] for line in begun) == {"Train": 2 * (1 + 6), "Cut": 2 * 6, "Evaluate": 14}
    assert len([*(out / "logs").glob("run-*-worker-*.txt")]) == 4


def test_a_finished_grid_starts_no_worker_and_prints_the_same_table(whole: Path) -> None:
    printed, said = run(whole, "--jobs", "2")
    assert said == ""
    assert run(whole)[0] == printed
    assert not [*(whole / "logs").iterdir()]


def test_a_cell_that_fails_is_told_with_its_log_and_the_rest_goes_on(tmp_path: Path) -> None:
    request = asked(pruners=("toy-broken", "random"), seeds=(0,), when="init")
    told = compute(tmp_path / "out", request, jobs=2)
    assert Counter((record.pruner, record.status) for record in told.records) == {
        ("dense", "done"): 1, ("random", "done"): 2, ("toy-broken", "failed"): 2,
    }  # fmt: skip
    failure = next(record.failure for record in Store(tmp_path / "out").records() if record.failure)
    assert failure.step == "Cut" and "0.weight" in failure.error
    assert (tmp_path / "out" / failure.log).read_text().startswith("Traceback")
    assert not compute(tmp_path / "out", request, jobs=2).records
    assert len(compute(tmp_path / "out", request, jobs=2, retry_failed=True).records) == 2
    with pytest.raises(CellError, match=r"a cell failed: 0\.weight"):
        compute(tmp_path / "fast", request, jobs=2, fail_fast=True)


def test_a_cell_that_kills_every_worker_fails_with_a_reason_and_the_rest_goes_on(deadly: Path, tmp_path: Path) -> None:
    grid = ("--task", "toy", "--pruner", "deadly,random", "--grid", "0.5,0.9")
    _, said = run(tmp_path / "out", *grid, "--jobs", "2", paths=(deadly,), code=1)
    records = [*Store(tmp_path / "out").records()]
    assert Counter((record.pruner, record.status) for record in records) == {
        ("dense", "done"): 1, ("random", "done"): 2, ("deadly", "failed"): 2,
    }  # fmt: skip
    failure = next(record.failure for record in records if record.failure)
    assert failure.error == "its worker died 3 times (killed by signal 9, SIGKILL)"
    assert failure.step == "Score"
    assert "Score" in (tmp_path / "out" / str(failure.log)).read_text()
    assert said.count("A worker was lost (killed by signal 9, SIGKILL)") == 2
    assert litter(tmp_path / "out") == []


def test_interrupted_once_the_workers_save_what_they_are_at_and_the_same_grid_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(out, "--jobs", "2", "--set", "train.steps=6000")
    trained(out, process)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "Stopping after this step. Once more to stop at once." in said
    assert "interrupted. Finished cells are kept: the same command goes on from there." in said
    assert len([*(out / "partial").iterdir()]) == 2  # both dense models, half-way
    assert not [*(out / "leases").iterdir()]
    request = asked(settings={"train.steps": "6000"})
    compute(out, request)
    compute(tmp_path / "apart", request)
    assert contents(out) == contents(tmp_path / "apart")
    assert litter(out) == []


def test_interrupted_twice_it_ends_at_once_with_all_its_workers(tmp_path: Path) -> None:
    out = tmp_path / "out"
    process = start(out, "--jobs", "2", *ENDLESS)
    trained(out, process)
    workers = children(process.pid)
    assert len(workers) == 2
    for worker in workers:  # they cannot answer
        os.kill(worker, signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    while "Once more to stop at once." not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert not any(alive(worker) for worker in workers)


def test_workers_end_with_the_run_that_started_them(tmp_path: Path) -> None:
    process = start(tmp_path / "out", "--jobs", "2", *ENDLESS)
    trained(tmp_path / "out", process)
    workers = children(process.pid)
    process.kill()
    process.communicate()
    ended = time.monotonic() + 120
    while any(alive(worker) for worker in workers) and time.monotonic() < ended:
        time.sleep(0.1)
    assert not any(alive(worker) for worker in workers)


def test_a_full_disk_is_one_line_and_what_was_done_stays(whole: Path, disk: Path) -> None:
    out, filler = disk / "out", disk / "filler"
    compute(out, limit=3)
    before = contents(out)
    with filler.open("wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(bytes(4096))
    full = r"no space left on the disk\. Free some space and run again: finished cells"
    # None for a lease; some for leases, but not for all records; enough for these, but not for what lies beside them.
    for pages, said in ((0, full), (6, r"needs at least .* are free\. Free some space, or give another"), (31, full)):
        os.truncate(filler, filler.stat().st_size + shutil.disk_usage(disk).free - 4096 * pages)
        with pytest.raises(StoreError, match=said):
            compute(out, jobs=2)
    assert contents(out).items() >= before.items()
    filler.unlink()
    compute(out, jobs=2)
    assert contents(out) == contents(whole)
    assert litter(out) == []


def test_a_read_only_folder_is_one_line_and_its_table_can_be_read(whole: Path, disk: Path) -> None:
    out = disk / "out"
    compute(out, limit=3)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(StoreError, match=r"cannot be written \(Read-only file system\)\. Give a folder that can be"):
        compute(out, jobs=2)
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
    compute(out)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert not compute(out, jobs=2).records
    assert contents(out) == contents(whole)


def test_workers_with_other_data_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execution, "fingerprint", lambda plan: "another")
    with pytest.raises(UsageError, match="a worker plans other cells than the run that started it"):
        compute(tmp_path / "out", jobs=2)


def test_workers_that_end_as_they_start_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.errors import BenchError
    from bench.executors import processes

    monkeypatch.setattr(processes, "COMMAND", (*processes.COMMAND[:1], "-c", "import sys; sys.exit('no such module')"))
    with pytest.raises(BenchError, match=r"logs/run-\w+-worker-\d\.txt: workers end as they start .*exit code 1"):
        compute(tmp_path / "out", jobs=2)
    assert "no such module" in next((tmp_path / "out" / "logs").iterdir()).read_text()


def test_the_python_api_takes_jobs_as_well(tmp_path: Path) -> None:
    import bench

    alone = bench.run("toy", "random", [0.5], out=tmp_path / "alone", device="cpu", threads=1)
    two = bench.run("toy", "random", [0.5], out=tmp_path / "two", device="cpu", threads=1, jobs=2)
    assert str(alone) == str(two)
    assert contents(tmp_path / "alone") == contents(tmp_path / "two")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"executor": "rya"}, r"--executor rya: no such executor\. Did you mean 'ray'\?"),
        ({"executor": "inline", "jobs": 2}, r"--jobs 2: inline is one worker"),
        ({"gpus_per_job": 0.5}, r"--gpus-per-job 0.5: only Ray sets GPUs aside"),
    ],
)
def test_settings_that_do_not_go_together_are_one_line(settings: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        assert Execution(**settings).kind


def test_a_store_that_no_other_process_sees_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"memory://.*: no other process sees it\. Run inline"):
        compute(f"memory://{tmp_path.name}", jobs=2)
