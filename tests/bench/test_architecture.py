"""Who may import whom, and that planning stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
OURS = ("bench", "tasks", "pruners", "reports")


def imports(path: Path) -> set[str]:
    """Modules of ours that a file imports, at its top or inside a function, for type checking left out."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {name for name in found if name.split(".")[0] in OURS}


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("folder", ["tasks", "pruners"])
def test_plug_ins_never_import_the_harness_above_them_nor_each_other(folder: str) -> None:
    other = "pruners" if folder == "tasks" else "tasks"
    above = ("plan", "tree", "runner", "workbench", "evaluation", "execution", "executors", "leases", "storage", "cli")
    above += ("api", "export", "rebuild")
    barred = (*(f"bench.{name}" for name in above), "reports", other)
    assert len(files(folder)) > 3
    for path in files(folder):
        bad = {name for name in imports(path) if name.startswith(barred)}
        assert not bad, f"{path.relative_to(ROOT)} imports {bad}"


def test_reports_read_records_and_nothing_else() -> None:
    allowed = ("bench.record", "bench.store", "bench.errors", "reports")
    for path in files("reports"):
        bad = {name for name in imports(path) if not name.startswith(allowed) and name != "bench"}
        assert not bad, f"{path.relative_to(ROOT)} imports {bad}"
        assert "import torch" not in path.read_text()


def test_steps_records_and_errors_stand_alone() -> None:
    for name in ("steps", "errors"):
        assert not imports(ROOT / "bench" / f"{name}.py")
    assert {name.split(".")[1] for name in imports(ROOT / "bench" / "record.py")} <= {"errors"}


def test_the_harness_names_no_task_and_no_pruner() -> None:
    for path in files("bench"):
        assert not {name for name in imports(path) if name.startswith(("tasks.", "pruners.")) and "base" not in name}, (
            path
        )


@pytest.mark.parametrize(
    "work",
    [
        "from bench import registry; registry.names('tasks'); registry.names('pruners')",
        "from bench.grid import Request; from bench.plan import make; "
        "make(Request(('ag-news',), ('grasp', 'synflow', 'random'), (0.5,)))",
        "import bench.execution, bench.executors.pool, bench.executors.processes, bench.executors.worker, bench.leases",
    ],
)
def test_listing_and_planning_import_nothing_heavy(work: str) -> None:
    code = (
        f"{work}\nimport sys; print([m for m in ('torch', 'transformers', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
