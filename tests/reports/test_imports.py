"""Reports read records: they know the record and the store, and no tensor."""

from __future__ import annotations

import ast
from pathlib import Path

import reports

ALLOWED = {"bench.record", "bench.store"}
OURS = ("bench", "tasks", "pruners")


def imported(source: Path) -> set[str]:
    nodes = ast.walk(ast.parse(source.read_text(encoding="utf-8")))
    names = [
        name
        for node in nodes
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    ]
    return set(names)


def test_reports_import_of_ours_only_the_record_and_the_store():
    sources = [*Path(reports.__path__[0]).rglob("*.py")]
    assert len(sources) > 5
    for source in sources:
        found = imported(source)
        assert not {name for name in found if name.split(".")[0] in OURS} - ALLOWED, source.name
        assert not {name for name in found if name.split(".")[0] in {"torch", "transformers"}}, source.name
