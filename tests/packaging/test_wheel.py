"""The wheel: what is in it, and that it works where nothing of the checkout is."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from email import message_from_bytes
from email.message import Message
from importlib.metadata import version
from pathlib import Path

import pytest

import bench
from tests.packaging.installing import ROOT

PACKAGES = ("bench", "tasks", "pruners", "reports")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", str(out), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a fresh environment with the wheel and, on its path, all that this environment has but us."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False)
    interpreter = home / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(home)}))
    shared = home / "shared"
    shared.mkdir()
    for place in dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))):
        for entry in Path(place).iterdir():
            # Links, as a .pth to the folder would bring the editable installation of this project along.
            if not re.match(r"(__editable__|_editable_impl_|)_*prunebench|__pycache__", entry.name):
                (shared / entry.name).symlink_to(entry)
    (site / "shared.pth").write_text(f"{shared}\n")
    pip = [sys.executable, "-m", "pip", "--python", str(interpreter), "install", "--quiet", "--no-index", "--no-deps"]
    done = subprocess.run([*pip, str(wheel)], capture_output=True, text=True, check=False, env=_environment())
    assert done.returncode == 0, done.stderr
    return interpreter


def _environment() -> dict[str, str]:
    return {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    }


def run(python: Path, cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [str(python.parent / "bench"), *words]
    return subprocess.run(command, cwd=cwd, env=_environment(), capture_output=True, text=True, check=False)


def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        return message_from_bytes(archive.read(f"prunebench-{PROJECT['version']}.dist-info/METADATA"))


@pytest.mark.slow
def test_it_holds_each_file_of_the_packages_and_nothing_else(wheel: Path) -> None:
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", *PACKAGES],
        capture_output=True,
        text=True,
        check=False,
    )
    source = {name for name in listed.stdout.splitlines() if (ROOT / name).is_file()}
    if listed.returncode:  # a source tree without git
        source = {
            path.relative_to(ROOT).as_posix()
            for package in PACKAGES
            for path in (ROOT / package).rglob("*")
            if path.is_file() and "__pycache__" not in path.parts
        }
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
        assert archive.testzip() is None
    own = {name for name in held if ".dist-info/" not in name}
    assert own == source
    assert {f"{package}/py.typed" for package in PACKAGES} <= own
    assert {f"reports/papers/{path.name}" for path in (ROOT / "reports" / "papers").glob("*.toml")} <= own
    kinds = {Path(name).suffix for name in own}
    assert not kinds & {".gz", ".xz", ".csv", ".tsv", ".safetensors", ".pt", ".pkl"}, "no data in a wheel"
    about = {name.partition(".dist-info/")[2] for name in held - own}
    assert about == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}


@pytest.mark.slow
def test_its_metadata_is_the_projects(wheel: Path) -> None:
    found = metadata(wheel)
    assert found["Version"] == PROJECT["version"]
    assert found["Requires-Python"] == PROJECT["requires-python"]
    assert set(found.get_all("Provides-Extra") or []) == PROJECT["optional-dependencies"].keys()
    assert (found["License-Expression"], found["Description-Content-Type"]) == ("Apache-2.0", "text/markdown")
    runtime = [line for line in found.get_all("Requires-Dist") or [] if "extra ==" not in line]
    assert len(runtime) == len(PROJECT["dependencies"])
    (torch,) = [line for line in runtime if re.match(r"torch\b", line)]
    assert "<" in torch, "without an upper bound pip brings whatever is newest, and CUDA with it"


@pytest.mark.slow
def test_it_lists_checks_and_runs_outside_the_checkout(python: Path, tmp_path: Path) -> None:
    named = run(python, tmp_path, "--version")
    assert named.stdout.strip() == f"prunebench {PROJECT['version']}", named.stderr
    where = subprocess.run(
        [str(python), "-c", f"import {', '.join(PACKAGES)}; print(*(m.__path__[0] for m in ({', '.join(PACKAGES)})))"],
        cwd=tmp_path,
        env=_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert all(Path(place).is_relative_to(python.parents[1]) for place in where.stdout.split())
    listed = run(python, tmp_path, "list", "--json")
    entries = json.loads(listed.stdout)
    ours = {entry["name"] for entry in entries if entry["distribution"] == f"prunebench {PROJECT['version']}"}
    assert ours == {name for group in PROJECT["entry-points"].values() for name in group}
    assert all(entry["description"] for entry in entries)
    checked = run(python, tmp_path, "check", "pruner", "grasp")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    papers = run(python, tmp_path, "paper", "list")
    assert "ag-news" in papers.stdout, papers.stderr
    grid = ("--task", "ag-news", "--pruner", "grasp", "--grid", "0.5", "--data", "sample", "--threads", "1")
    done = run(python, tmp_path, "run", *grid, "--format", "jsonl")
    assert done.returncode == 0, done.stderr
    cells = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(cell["pruner"], cell["status"]) for cell in cells] == [("dense", "done"), ("grasp", "done")]
    assert cells[0]["provenance"]["versions"]["prunebench"] == PROJECT["version"]
    assert "git" not in cells[0]["provenance"], "of an installed wheel there is no commit to name"
    shown = run(python, tmp_path, "report", "results")
    assert "\ngrasp " in shown.stdout


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tasks", "pruners", "reports"])
def test_another_distribution_with_one_of_our_package_names_is_one_clear_line(
    name: str, python: Path, tmp_path: Path
) -> None:
    """Installed where it comes before ours on the path, as pip's --target and PYTHONPATH do."""
    other = tmp_path / "site" / name
    other.mkdir(parents=True)
    (other / "__init__.py").write_text("raise RuntimeError('never imported')\n")
    command = [str(python.parent / "bench"), "list"]
    environment = {**_environment(), "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"a folder or module {name!r} of yours hides prunebench's" in done.stderr and done.stderr.count("\n") == 1


def test_the_version_is_said_once_and_agrees_everywhere() -> None:
    assert bench.__version__ == version("prunebench") == PROJECT["version"]
    assert f"version: {PROJECT['version']}\n" in (ROOT / "CITATION.cff").read_text()
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert newest is not None and newest[1] == PROJECT["version"]
    sources = [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    assert not [path for path in sources if re.search(r"__version__\s*=\s*['\"]", path.read_text())]
