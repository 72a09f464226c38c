"""``bench run`` as two processes: stopped and killed and gone on with, one clear line for what cannot be."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from bench.cli import main
from bench.execution import default_threads
from bench.grid import Request
from bench.plan import make
from bench.reproduce import command
from bench.store import Store
from tests.ranks.launching import PATIENCE, ROOT, Said, ended, started, surroundings

GRID = ["run", "--task", "toy", "--pruner", "random,snip,magnitude", "--grid", "0.5", "--threads", "1"]
HERE = ["--device", "cpu"]


def records(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "records").glob("*.json")}


def own_lines(said: Said) -> list[str]:
    """What stderr holds beside the lines of what was measured."""
    return [line for line in said.err.splitlines() if not line.startswith(("[", "toy: measured"))]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The grid by two processes that ``accelerate launch`` started, with nothing in between."""
    folder = tmp_path_factory.mktemp("unbroken") / "out"
    launcher = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
    launcher += ["--main_process_port", "0", "--mixed_precision", "no", "--dynamo_backend", "no", "-m", "bench"]
    done = subprocess.run(
        [sys.executable, *launcher, *GRID, *HERE, "--out", str(folder)],
        env=surroundings(), cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("toy · Toy clouds") == 1
    return folder


def test_a_run_that_is_stopped_and_then_killed_ends_where_an_unbroken_one_does(unbroken: Path, tmp_path: Path) -> None:
    """Each training takes 40 steps, a forward pass each; what is cut off is taken up in the midst of one."""
    folder = tmp_path / "out"
    command = [*GRID, *HERE, "--out", str(folder)]

    stopped, other = ended(started(["-m", "tests.ranks.dying", "0", "23", "SIGTERM", *command]))
    assert (stopped.code, other) == (130, Said(0, "", ""))
    assert own_lines(stopped) == [
        "Stopping after this step. Once more to stop at once.",
        "bench: interrupted. Finished cells are kept: the same command goes on from there.",
    ]
    assert len([*(folder / "partial").glob("*.safetensors")]) == 1 and not records(folder)

    lost, killed = ended(started(["-m", "tests.ranks.dying", "1", "30", "SIGKILL", *command]))
    assert (lost.code, killed.code) == (1, -signal.SIGKILL)
    (line,) = own_lines(lost)
    assert re.fullmatch(
        r"bench: another of the 2 processes ended or does not answer \([^()\[]*[Cc]onnection [^()\[]*\)\. "
        r"Finished cells stay: the same command goes on from there\.",
        line,
    )
    assert len(records(folder)) == 1  # 17 steps of the dense model were left, and 13 are of the next cell

    killed, left = ended(started(["-m", "tests.ranks.dying", "0", "60", "SIGKILL", *command]))
    assert (killed.code, left) == (-signal.SIGKILL, Said(1, "", ""))
    assert len(records(folder)) == 2

    finished, other = ended(started(["-m", "bench", *command]))
    assert (finished.code, other) == (0, Said(0, "", ""))
    assert len(records(folder)) == 4
    assert records(folder) == records(unbroken)


def test_a_process_that_no_longer_answers_ends_the_run_after_a_while(tmp_path: Path) -> None:
    """It is halted in the midst of a training step."""
    command = ["-m", "tests.ranks.dying", "1", "23", "SIGSTOP", *GRID, *HERE, "--out", str(tmp_path / "out")]
    first, second = started(command, BENCH_RANKS_TIMEOUT="4")
    try:
        waited = Said(0, *first.communicate(timeout=PATIENCE))
    finally:
        second.kill()
        ended([first, second])
    (line,) = own_lines(waited)
    assert first.returncode == 1
    assert line.startswith("bench: another of the 2 processes ended or does not answer (Timed out")


def test_a_script_has_its_result_in_rank_zero_and_a_failed_cell_fails_alone(tmp_path: Path) -> None:
    script = (
        "import bench, sys\n"
        "found = bench.run('toy', ['toy-broken', 'snip'], [0.5], out=sys.argv[1], device='cpu', threads=1)\n"
        "print([(one.pruner, one.status) for one in found.records])"
    )
    first, second = ended(started(["-c", script, str(tmp_path / "out")]))
    assert (first.code, second) == (0, Said(0, "[]\n", ""))
    assert first.out == "[('dense', 'done'), ('toy-broken', 'failed'), ('snip', 'done')]\n"


def test_a_cell_of_two_processes_is_exported_by_two(unbroken: Path, tmp_path: Path, capsys) -> None:
    record = next(one for one in Store(unbroken).records() if one.pruner == "magnitude")
    asked = ["export", record.key, "--out", str(unbroken), "--to", str(tmp_path / "model")]
    assert main(asked) == 2
    assert "was computed by 2 processes, and would be another model by 1." in capsys.readouterr().err
    first, second = ended(started(["-m", "bench", *asked]))
    assert (first.code, second) == (0, Said(0, "", "")), first.err
    assert (tmp_path / "model" / "model.safetensors").is_file()


def test_the_command_of_a_cell_of_two_processes_starts_two(unbroken: Path, rank, capsys) -> None:
    found = [one for one in Store(unbroken).records() if one.pruner == "snip"]
    line = command(found[0])
    words = shlex.split(line)
    assert words[:5] == ["torchrun", "--nproc-per-node", "2", "-m", "bench"]
    rank(0)
    assert main(["plan", *words[6:], "--json"]) == 0
    assert found[0].key in json.loads(capsys.readouterr().out)["keys"]


def test_processes_that_see_other_data_are_told_so_once(tmp_path: Path) -> None:
    """Rank 1 has a data set of its own under the name of rank 0's."""
    script = (
        "import os, sys; from bench.cli import main\n"
        "sys.exit(main([*sys.argv[1:], '--data', os.path.join(os.environ['HOME'], os.environ['RANK'])]))"
    )
    for rank, rows in enumerate(["0\t1\t2\n1\t3\t4\n", "0\t1\t2\n1\t3\t5\n"]):
        (tmp_path / f"{rank}" / "toy").mkdir(parents=True)
        (tmp_path / f"{rank}" / "toy" / "points.tsv").write_text(rows)
    first, second = ended(started(["-c", script, *GRID, *HERE, "--out", str(tmp_path / "out")], HOME=str(tmp_path)))
    assert (first.code, second) == (2, Said(2, "", ""))
    assert first.err == (
        "bench: the processes see other data, settings or versions than one another. "
        "Give all of them the same command, files and installation.\n"
    )


# In one process, which finds out before it joins any other


@pytest.fixture
def rank(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    def as_rank(number: int) -> None:
        for name, value in {"RANK": number, "LOCAL_RANK": number, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}.items():
            monkeypatch.setenv(name, f"{value}")

    return as_rank


def test_without_accelerate_one_line_says_how_to_install_it(
    rank, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys
) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    rank(0)
    assert main([*GRID, *HERE, "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("bench: 2 processes: were started for one cell, and accelerate does not import (")
    assert "pip install 'prunebench[accelerate]'" in said and said.count("\n") == 1
    assert not (tmp_path / "out").exists()
    rank(1)
    assert main([*GRID, *HERE, "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--device", "cuda:1"], "each get a device of their own, and --device cuda:1 names one"),
        (["--device", "tpu"], "--device tpu: cannot be used"),
    ],
)
def test_a_device_for_all_processes_is_a_kind(rank, flags: list[str], said: str, tmp_path: Path, capsys) -> None:
    rank(0)
    assert main([*GRID, *flags, "--out", str(tmp_path / "out")]) == 2
    assert said in capsys.readouterr().err


def test_patience_is_a_number_of_seconds(rank, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys) -> None:
    monkeypatch.setenv("BENCH_RANKS_TIMEOUT", "nan")
    rank(0)
    assert main([*GRID, *HERE, "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err == "bench: $BENCH_RANKS_TIMEOUT: 'nan' is no number of seconds. Usual: 1800.\n"


def test_a_launcher_that_gives_no_numbers_is_told_so(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "many")
    assert main(["list", "tasks"]) == 2
    assert capsys.readouterr().err.startswith("bench: $WORLD_SIZE: 'many' is no number.")


def test_what_processes_do_not_share_rank_zero_says_alone(rank, capsys) -> None:
    rank(1)
    assert main(["list", "tasks"]) == 0
    assert main([*GRID, "--dry-run"]) == 0
    assert capsys.readouterr() == ("", "")
    rank(0)
    assert main(["list", "tasks"]) == 0
    assert "toy" in capsys.readouterr().out


def test_the_number_of_processes_is_in_the_key_where_it_is_not_one(rank, tmp_path: Path, capsys) -> None:
    request = Request(("toy",), ("random",), (0.5,))
    keys = {count: [cell.key for cell in make(replace(request, processes=count)).cells] for count in (1, 2, 3)}
    assert keys[1] == [cell.key for cell in make(request).cells]
    assert len({key for found in keys.values() for key in found}) == 6
    rank(0)
    assert main(["plan", "--task", "toy", "--pruner", "random", "--grid", "0.5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["cells"] == 2


def test_processes_of_one_machine_share_its_cores(rank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(9)))
    plan = make(Request(("toy",), ("random",), (0.5,), preset="small"))
    assert default_threads(plan) == 9
    rank(0)
    assert default_threads(plan) == 4


def test_tables_keep_cells_of_one_process_and_of_several_apart() -> None:
    from reports.rows import tables
    from tests.factories import make_record

    alone = make_record()
    several = make_record(provenance={**alone.provenance, "processes": 2}, metrics={"accuracy": 0.8, "loss": 0.4})
    (table,) = tables([alone, replace(several, key="ab" * 32)])
    assert len(table.rows) == 2
    assert set(table.machines) == {"cpu, 1 thread", "cpu, 2 processes, 1 thread"}
