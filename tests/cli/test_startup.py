"""The command line answers at once: what is heavy is imported by the verb that needs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "transformers", "scipy", "numpy", "tabulate", "rich", "matplotlib", "jinja2")
PROBE = f"""
import sys
from bench.cli import main
code = main(sys.argv[1:])
print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
sys.exit(code)
"""


def probe(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROBE, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    "arguments", [["--help"], ["list"], ["list", "--json"], ["report", "--help"], ["status", "/nowhere"]]
)
def test_light_verbs_import_nothing_heavy(arguments):
    done = probe(*arguments)
    assert done.stderr.splitlines()[-1] == "[]"


PLUG_IN = '''
import torch
from .there import Distant

class Near:
    """Scores by distance.

    More about it.
    """

class Titled:
    """Not this."""

    title = "Distances in a toy world"
'''


@pytest.fixture
def plug_in(tmp_path: Path) -> Path:
    """A distribution of a third party on disk, whose module imports torch."""
    package = tmp_path / "elsewhere"
    package.mkdir()
    (package / "__init__.py").write_text("import torch\n")
    (package / "here.py").write_text(PLUG_IN)
    (package / "there.py").write_text('Distant = object()\n"""Far away."""\n')
    metadata = tmp_path / "elsewhere-2.1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 2.1\n")
    (metadata / "entry_points.txt").write_text(
        "[prunebench.pruners]\nnear = elsewhere.here:Near\ndistant = elsewhere.here:Distant\n"
        "[prunebench.tasks]\ntitled = elsewhere.here:Titled\n"
    )
    return tmp_path


def test_a_plug_in_of_others_is_listed_with_its_description_and_not_imported(plug_in):
    done = probe("list", PYTHONPATH=f"{ROOT}{os.pathsep}{plug_in}")
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    assert ["near", "Scores by distance. (elsewhere 2.1)"] in lines
    assert ["distant", "Far away. (elsewhere 2.1)"] in lines
    assert ["titled", "Distances in a toy world (elsewhere 2.1)"] in lines
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", ["tasks", "pruners", "reports"])
def test_a_folder_of_the_users_that_hides_ours_is_one_clear_line(name, tmp_path):
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text("raise RuntimeError('never imported')\n")
    done = probe("list", cwd=tmp_path, PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}")
    line, _ = done.stderr.splitlines()
    assert done.returncode == 2
    assert f"a folder or module {name!r} of yours hides prunebench's" in line
    assert str(tmp_path / name) in line


def test_a_folder_without_code_hides_nothing(tmp_path):
    (tmp_path / "reports").mkdir()
    assert probe("list", cwd=tmp_path, PYTHONPATH=f"{tmp_path}{os.pathsep}{ROOT}").returncode == 0
