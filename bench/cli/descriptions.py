"""One-line descriptions, read from source: ``describe`` imports no plug-in, so nothing heavy either."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import re
import textwrap
from itertools import pairwise
from pathlib import Path

HOPS = 4
"""Re-exports followed from the module that an entry point names to the one that defines it."""


def describe(target: str) -> str:
    """First sentence about the object at ``module:name``; empty where its source does not tell.

    A class's ``title``, else its docstring's first sentence; of an instance that of the string below its assignment.
    """
    module, _, name = target.partition(":")
    return _describe(module, name.split(".")[0], HOPS)


def fields(found: type) -> dict[str, str]:
    """First sentence of the string below each field of a dataclass; of a class without source nothing."""
    try:
        parsed = ast.parse(textwrap.dedent(inspect.getsource(found))).body[0]
    except (OSError, TypeError, SyntaxError):
        return {}
    body = parsed.body if isinstance(parsed, ast.ClassDef) else []
    return {
        name: _sentence(_string(following))
        for node, following in pairwise(body)
        if isinstance(node, ast.AnnAssign) and _string(following)
        for name in _targets(node)
    }


def _describe(module: str, name: str, hops: int) -> str:
    source = _source(module)
    if source is None:
        return ""
    try:
        body = ast.parse(source.read_text(encoding="utf-8")).body
    except (OSError, SyntaxError, ValueError):
        return ""
    for index, node in enumerate(body):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return _title(node) or _sentence(ast.get_docstring(node))
        if isinstance(node, ast.Assign | ast.AnnAssign) and name in _targets(node):
            return _sentence(_string(body[index + 1]) if index + 1 < len(body) else None)
        if isinstance(node, ast.ImportFrom) and hops:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _describe(_absolute(module, source, node), alias.name, hops - 1)
    return ""


def _source(module: str) -> Path | None:
    """The file of a module, found without importing its parents."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not rest and not spec.submodule_search_locations:
        return Path(spec.origin) if spec.origin else None
    for location in spec.submodule_search_locations or ():
        place = Path(location).joinpath(*rest)
        for candidate in (place / "__init__.py", place.with_suffix(".py")):
            if candidate.is_file():
                return candidate
    return None


def _absolute(module: str, source: Path, node: ast.ImportFrom) -> str:
    """The full name of the module that a ``from`` line names."""
    if not node.level:
        return node.module or ""
    package = module.split(".") if source.name == "__init__.py" else module.split(".")[:-1]
    base = package[: len(package) - node.level + 1]
    return ".".join([*base, *([node.module] if node.module else [])])


def _title(node: ast.ClassDef | ast.FunctionDef) -> str:
    for inner in node.body:
        if isinstance(inner, ast.Assign | ast.AnnAssign) and "title" in _targets(inner):
            value = inner.value
            return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""
    return ""


def _targets(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [target.id for target in targets if isinstance(target, ast.Name)]


def _string(node: ast.stmt) -> str | None:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return node.value.value
    return None


def _sentence(text: str | None) -> str:
    """The first sentence, its lines joined; the whole first paragraph where none ends within it."""
    paragraph = " ".join(inspect.cleandoc(text).strip().split("\n\n", 1)[0].split()) if text else ""
    # Abbreviations ("et al. 2015", "eq. 3") end no sentence: what follows the end begins with a capital.
    return re.split(r"(?<=\.)(?<!et al\.) (?=[A-Z\"`])", paragraph, maxsplit=1)[0]
