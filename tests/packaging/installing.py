"""pip and the command line in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]


def pip_install(source: Path, target: Path) -> None:
    """Builds the distribution in ``source`` and installs it into the folder ``target``, without a network."""
    offline = ("--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    command = [sys.executable, "-m", "pip", "install", *offline, "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def bench(*words: str, plug_ins: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """``bench`` with what is installed in the folder ``plug_ins`` and nothing else of a third party."""
    path = os.pathsep.join(map(str, (plug_ins, ROOT)))
    code = "import sys; from bench.cli import main; sys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def distribution(folder: Path, name: str, points: Mapping[str, Mapping[str, str]], modules: Mapping[str, str]) -> Path:
    """The source tree of a distribution: entry points by group, and modules by file name."""
    folder.mkdir()
    groups = (
        f'[project.entry-points."prunebench.{group}"]\n'
        + "".join(f'{key} = "{value}"\n' for key, value in named.items())
        for group, named in points.items()
    )
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        f'[project]\nname = "{name}"\nversion = "3.2"\n'
        + "".join(groups)
        + f"[tool.hatch.build.targets.wheel]\nonly-include = {list(modules)}\n"
    )
    for file, source in modules.items():
        (folder / file).write_text(source)
    return folder
