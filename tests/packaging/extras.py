"""Installs the wheel with each of its extras into a fresh environment, runs it there, and says what each extra adds.

    python tests/packaging/extras.py DIST [EXTRA ...]

Needs a network and minutes an extra. Ends with 1 where one does not install, does not run, leaves a broken requirement,
or brings CUDA packages that the wheel by itself does not.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import zipfile
from email import message_from_bytes
from pathlib import Path

NONE = ""
"""The wheel without any extra."""
CUDA = ("nvidia-", "cuda-", "triton")
GRID = ("--task", "ag-news", "--pruner", "magnitude", "--grid", "0.5", "--data", "sample", "--format", "jsonl")


def extras_of(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return message_from_bytes(archive.read(name)).get_all("Provides-Extra") or []


def installed_with(wheel: Path, extra: str, folder: Path) -> dict[str, str]:
    """Names and versions of what a fresh environment in ``folder`` holds; raises where something does not work."""
    environment = folder / "environment"
    _run(sys.executable, "-m", "venv", str(environment), cwd=folder)
    python = str(environment / "bin" / "python")
    asked = f"{wheel}[{extra}]" if extra else str(wheel)
    _run(python, "-m", "pip", "install", "--quiet", asked, cwd=folder)
    _run(python, "-m", "pip", "check", cwd=folder)
    bench = str(environment / "bin" / "bench")
    _run(bench, "list", cwd=folder)
    cells = [json.loads(line) for line in _run(bench, "run", *GRID, cwd=folder).splitlines()]
    if [cell["status"] for cell in cells] != ["done", "done"]:
        raise RuntimeError(f"the grid ended as {cells}")
    packages = json.loads(_run(python, "-m", "pip", "list", "--format", "json", cwd=folder))
    return {entry["name"].lower().replace("_", "-"): entry["version"] for entry in packages}


def _run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise RuntimeError(f"{' '.join(command[1:4])} ended with {done.returncode}: {' '.join(said[-3:])}")
    return done.stdout


def main(dist: Path, asked: list[str]) -> int:
    (wheel,) = dist.resolve().glob("prunebench-*.whl")
    base: dict[str, str] = {}
    failed = False
    for extra in [NONE, *(asked or extras_of(wheel))]:
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            try:
                found = installed_with(wheel, extra, Path(folder))
            except RuntimeError as error:
                print(f"FAILED  {extra or 'no extra'}: {error}", flush=True)
                failed = True
                continue
        base = base or found
        added = {name: version for name, version in found.items() if name not in base}
        moved = {name: version for name, version in found.items() if base.get(name, version) != version}
        cuda = [name for name in added if name.startswith(CUDA)]
        failed = failed or bool(cuda)
        print(
            f"{'FAILED' if cuda else 'ok':6}  {extra or 'no extra'}: torch {found['torch']}, {len(found)} packages, "
            f"{len(added)} of them added, {len(moved)} in another version, {len(cuda)} of CUDA, "
            f"{time.monotonic() - began:.0f} s: {' '.join(f'{name} {version}' for name, version in added.items())}",
            flush=True,
        )
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
