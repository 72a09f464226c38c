"""A published table as its TOML gives it.

    title, source, note     what it is, where it was read, what to know of it
    data                    kind of data that its figures stand on: ``whole``, by default
    tolerance               differences up to this, in the table's unit, are none
    where                   options of the task that a measured cell must have, by name
    doubt                   why no figure can be compared, where that is so
    [[grid]]                flags of ``bench run`` that reproduce it, by name; those under ``set`` go with preset paper
    [[column]]              ``name`` and either ``row``, what its rows are known by (``exponent``, ``sparsity``,
                            ``model``, an option of the task, or ``label`` for what ours do not have), or ``metric``:
                            a figure, of a ``pruner``, a ``model`` and a ``task``
    rows                    a value a column; "" where nothing was published

A figure of ``metric = "flops"`` is the share of the dense FLOPs that is left.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.errors import UsageError

FOLDER = Path(__file__).parent
FLOPS = "flops"
PRESET = "paper"
"""The preset whose results compare with published ones."""

Value = float | str


@dataclass(frozen=True)
class Column:
    """One column: what rows are known by, or a figure."""

    name: str
    row: str | None = None
    metric: str | None = None
    task: str | None = None
    """None: the first grid's."""
    model: str | None = None
    pruner: str | None = None
    scale: float = 1.0
    """The table's unit in ours: 100 where it prints percent."""
    tolerance: float | None = None
    """None: the table's."""
    doubt: str | None = None


@dataclass(frozen=True)
class Paper:
    """One published table."""

    name: str
    title: str
    source: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Value, ...], ...]
    grids: tuple[Mapping[str, Any], ...] = ()
    note: str = ""
    data: str = "whole"
    where: Mapping[str, Any] = field(default_factory=dict)
    tolerance: float = 0.0
    doubt: str | None = None

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks of its grids."""
        return tuple(dict.fromkeys(str(grid["task"]) for grid in self.grids))


def names() -> list[str]:
    """Names of all tables, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(name: str) -> Paper:
    """The table of this name. Raises ``UsageError`` where there is none."""
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1)
        mend = f"Did you mean {near[0]!r}?" if near else "'bench paper list' shows what there is."
        raise UsageError(f"no published table {name!r}", mend=mend)
    return read(name, (FOLDER / f"{name}.toml").read_text(encoding="utf-8"))


def read(name: str, text: str) -> Paper:
    """The table in ``text``. Raises ``UsageError`` where it is not one."""
    try:
        body = tomllib.loads(text)
        columns = tuple(Column(**entry) for entry in body.pop("column"))
        rows = tuple(tuple(row) for row in body.pop("rows"))
        paper = Paper(name, columns=columns, rows=rows, grids=tuple(body.pop("grid", ())), **body)
        _check(paper)
    except (tomllib.TOMLDecodeError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"is no published table ({error})", where=f"{name}.toml") from error
    return paper


def _check(paper: Paper) -> None:
    for column in paper.columns:
        if (column.row is None) == (column.metric is None):
            raise ValueError(f"the column {column.name!r} needs a row or a metric, and not both")
        if column.metric is not None and not paper.grids and paper.doubt is None:
            raise ValueError("figures without a grid need a doubt that says why")
    for row in paper.rows:
        if len(row) != len(paper.columns):
            raise ValueError(f"a row of {len(row)} values under {len(paper.columns)} columns")
        for value, column in zip(row, paper.columns, strict=True):
            if column.metric is not None and value != "" and not isinstance(value, int | float):
                raise ValueError(f"{value!r} is no figure")
    if any("task" not in grid for grid in paper.grids):
        raise ValueError("a grid without a task")
