"""What ``bench show`` tells about a pruner: its recipe, where that comes from, and what can be set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from bench.cli.output import block, pairs


def page(name: str, found: Any, facts: Sequence[tuple[str, object]]) -> str:
    """The page of what is registered as the pruner ``name``: a ``Pruner``, or a criterion that is one by itself."""
    from pruners.base import Pruner

    if isinstance(found, Pruner):
        texts = [_described(name), paragraph(found.recipe)]
        pruner = found
    else:
        from pruners.base import one_shot_with

        texts = [paragraph(found)]
        pruner = one_shot_with(name, found)
    head = pairs([*facts, *_choices(pruner, criterion=pruner is not found)])
    return "\n".join(part for part in (head, *(text.lstrip("\n") for text in texts), _settings(pruner)) if part)


def paragraph(found: Any) -> str:
    """The docstring of a class or function, or of an object's class."""
    import inspect

    text = inspect.getdoc(found if inspect.isclass(found) or inspect.isfunction(found) else type(found))
    return f"\n{text}\n" if text else ""


def _described(name: str) -> str:
    """The sentence that ``bench list`` shows."""
    from bench import registry
    from bench.cli.descriptions import describe

    said = describe(registry.source("pruners", name))
    return f"{said}\n" if said else ""


def _choices(pruner: Any, *, criterion: bool) -> list[tuple[str, object]]:
    if criterion:
        chosen: list[tuple[str, object]] = [
            ("recipe", "one-shot: score and cut once, at init or with --when trained"),
            ("scores", "batches of training data" if pruner.needs_data else "no data"),
        ]
    else:
        chosen = [("criterion", pruner.criterion)]
    chosen += [(part, getattr(pruner, part)) for part in ("when", "allocation", "structure")]
    if pruner.counts_iterations:
        chosen.append(("targets", f"iterations #1 to #{pruner.options.iterations}: it finds its own sparsity"))
    if pruner.iterations > 1:
        chosen.append(("iterations", pruner.iterations))
    return [*chosen, ("version", pruner.version)]


def _settings(pruner: Any) -> str:
    """Name, default and meaning of each setting, and how one is set."""
    from bench.cli import descriptions

    if pruner.options is None:
        return ""
    told = descriptions.fields(type(pruner.options))
    lines = [
        [f"  {entry.name}", _value(getattr(pruner.options, entry.name)), told.get(entry.name, "")]
        for entry in fields(pruner.options)
    ]
    if not lines:
        return ""
    first = fields(pruner.options)[0].name
    how = f"  --set {pruner.name}.{first}={_value(getattr(pruner.options, first))} sets one.\n"
    return block(["settings", "default", ""], lines) + how


def _value(value: object) -> str:
    return "none" if value is None else f"{value}"
