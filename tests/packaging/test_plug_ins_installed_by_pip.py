"""Plug-ins of other distributions, built and installed by pip: found, listed, checked, run; and what is said of those
that clash or are broken."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from configparser import ConfigParser
from pathlib import Path

import pytest

from tests.packaging.installing import ROOT, bench, distribution, pip_install

SOURCE = ROOT / "tests" / "plugin"
BROKEN = {
    "absent": ("import a_module_that_nobody_has\n", "does not load: ModuleNotFoundError: No module named"),
    "leaves": ("import sys\nsys.exit('wrong usage')\n", "does not load: SystemExit: wrong usage"),
    "renamed": ("class Other: ...\n", "does not load: AttributeError: module 'renamed' has no attribute 'Plug'"),
    "number": ("Plug = 7\n", "is of type int, where a class belongs"),
    "made": (
        "class Kind:\n    version, iterations, needs_data = 1, 1, False\n    def score(self, v): ...\nPlug = Kind()\n",
        "is of type Kind, where a class belongs",
    ),
    "lacking": (
        "class Plug:\n    version, needs_data = 1, False\n    def score(self, view): ...\n",
        "has no 'iterations'",
    ),
    "wayward": (
        "from pruners.base import Pruner\nfrom pruners.recipes import one_shot\n"
        "Plug = Pruner('wayward', 'no-such-criterion', one_shot)\n",
        "names the criterion 'no-such-criterion', which no distribution registers",
    ),
    "misnamed": (
        "from pruners.base import Pruner\nfrom pruners.recipes import one_shot\n"
        "Plug = Pruner('magnitude', 'magnitude', one_shot)\n",
        "calls itself 'magnitude'",
    ),
}
"""Pruners that cannot be used: the source of each one's module, and what is said."""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed the toy distribution."""
    made = tmp_path_factory.mktemp("toys")
    shutil.copytree(SOURCE, made / "source", ignore=shutil.ignore_patterns("*.dist-info", "__pycache__"))
    pip_install(made / "source", made / "site")
    return made / "site"


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a distribution whose pruners are each broken in one way, and which has a task that is none."""
    made = tmp_path_factory.mktemp("broken")
    points = {"pruners": {name: f"{name}:Plug" for name in BROKEN}, "tasks": {"half": "half:Half"}}
    modules = {f"{name}.py": source for name, (source, _) in BROKEN.items()}
    half = "from toy_plugin import Toy\nclass Half:\n    name = title = 'half'\n    build = Toy.build\n"
    tree = distribution(made / "source", "half-baked", points, {**modules, "half.py": half})
    pip_install(tree, made / "site")
    shutil.copy(SOURCE / "toy_plugin.py", made / "site")
    return made / "site"


def test_the_metadata_that_other_tests_go_by_is_what_pip_installs(installed: Path) -> None:
    (metadata,) = installed.glob("toy_plugin-*.dist-info")
    stand_in = SOURCE / metadata.name
    found, expected = ConfigParser(), ConfigParser()
    found.read(metadata / "entry_points.txt")
    expected.read(stand_in / "entry_points.txt")
    assert found == expected
    project = tomllib.loads((SOURCE / "pyproject.toml").read_text())["project"]
    assert f"Version: {project['version']}" in (stand_in / "METADATA").read_text().splitlines()


def test_they_are_listed_with_their_distribution(installed: Path, tmp_path: Path) -> None:
    done = bench("list", plug_ins=installed, cwd=tmp_path)
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    assert ["toy", "Points in the plane, four classes. (toy-plugin 1.0)"] in lines
    assert ["toy-tied", "A criterion that gives every weight the same score. (toy-plugin 1.0)"] in lines


def test_check_passes_what_is_sound_and_names_what_is_not(installed: Path, tmp_path: Path) -> None:
    task = bench("check", "task", "toy", plug_ins=installed, cwd=tmp_path)
    assert (task.returncode, task.stderr) == (0, "")
    assert len(task.stdout.splitlines()) == 14
    broken = bench("check", "pruner", "toy-broken", plug_ins=installed, cwd=tmp_path)
    assert broken.returncode == 1
    assert "scores of 'conv.weight' are NaN or infinite" in broken.stdout


def test_a_grid_of_them_runs_and_its_records_hold_an_edition_of_the_source(installed: Path, tmp_path: Path) -> None:
    grid = ("--task", "toy", "--pruner", "toy-tied,magnitude", "--grid", "0.5", "--threads", "1", "--out", "out")
    done = bench("run", *grid, "--format", "jsonl", plug_ins=installed, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    cells = [json.loads(line) for line in done.stdout.splitlines()]
    assert [cell["pruner"] for cell in cells] == ["dense", "magnitude", "toy-tied"]
    assert all(cell["status"] == "done" for cell in cells)
    ours, theirs = (
        bench("show", cell["key"], "--out", "out", plug_ins=installed, cwd=tmp_path).stdout for cell in cells[1:]
    )
    assert re.search(r"criterion=magnitude iterations=1 version=1\n", ours)
    assert re.search(r"criterion=toy-tied iterations=1 version=1\+[0-9a-f]{8}\n", theirs)


def test_names_that_clash_are_an_error_that_names_both_distributions(installed: Path, tmp_path: Path) -> None:
    points = {"tasks": {"toy": "rival:Rival"}, "pruners": {"toy-tied": "rival:Rival", "grasp": "rival:Rival"}}
    tree = distribution(tmp_path / "rival", "rival", points, {"rival.py": "class Rival: ...\n"})
    both = tmp_path / "site"
    shutil.copytree(installed, both)
    pip_install(tree, both)
    for words, claimed in (
        (("show", "toy"), "the task 'toy' is claimed by rival (rival:Rival) and toy-plugin (toy_plugin:Toy)"),
        (
            ("plan", "--task", "ag-news", "--pruner", "toy-tied"),
            "the pruner 'toy-tied' is claimed by rival (rival:Rival) and toy-plugin (toy_plugin:Tied)",
        ),
        (
            ("run", "--task", "ag-news", "--pruner", "grasp"),
            "the pruner 'grasp' is claimed by prunebench (pruners.criteria.grasp:Grasp) and rival (rival:Rival)",
        ),
    ):
        done = bench(*words, plug_ins=both, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"bench: {claimed}. Uninstall one of them.\n"
    listed = bench("list", "pruners", plug_ins=both, cwd=tmp_path)
    assert listed.returncode == 0 and "claimed by prunebench" in listed.stdout and "  snip" in listed.stdout


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_pruner_is_one_line_that_names_its_distribution(name: str, broken: Path, tmp_path: Path) -> None:
    done = bench("plan", "--task", "mnist", "--pruner", f"random,{name}", plug_ins=broken, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"bench: the pruner {name!r} of half-baked {BROKEN[name][1]}")
    assert done.stderr.count("\n") == 1


def test_a_task_that_lacks_most_of_one_names_its_distribution(broken: Path, tmp_path: Path) -> None:
    for words in (("show", "half"), ("run", "--task", "half", "--pruner", "random")):
        done = bench(*words, plug_ins=broken, cwd=tmp_path)
        assert done.returncode == 2
        assert done.stderr.startswith("bench: the task 'half' of half-baked has no 'version', 'dataset', ")
        assert "'build'" not in done.stderr and done.stderr.count("\n") == 1


def test_broken_plug_ins_leave_the_others_usable_and_doctor_lists_them_all(broken: Path, tmp_path: Path) -> None:
    listed = bench("list", plug_ins=broken, cwd=tmp_path)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert {*BROKEN, "half", "grasp"} <= {line.split()[0] for line in listed.stdout.splitlines() if line}
    planned = bench("plan", "--task", "mnist", "--pruner", "snip", "--data", "sample", plug_ins=broken, cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    found = bench("doctor", "--data", "sample", plug_ins=broken, cwd=tmp_path)
    assert found.returncode == 1
    for name, (_, said) in BROKEN.items():
        assert f"the pruner {name!r} of half-baked {said}" in " ".join(found.stdout.split())
    assert "the task 'half' of half-baked has no" in " ".join(found.stdout.split())
