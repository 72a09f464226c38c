"""One side of a comparison: the cells of a results folder, or of a baseline file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bench.errors import StoreError, UsageError
from bench.record import Record
from bench.store import Store
from reports.compare import baseline
from reports.compare.packing import Values

Examples = Mapping[str, Values]
"""Metric to its per-example values, in the task's fixed order of examples."""


@dataclass(frozen=True)
class Measured:
    """A cell and, read when wanted, its per-example values."""

    record: Record
    examples: Callable[[], Examples]


@dataclass(frozen=True)
class Side:
    """What was given as BASE or HEAD."""

    name: str
    cells: tuple[Measured, ...]
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Records of a folder that are not whole and count for nothing, each with what is wrong."""


def read(address: str) -> Side:
    """The cells of the results folder, at a path or URL, or of the baseline file. Raises ``BenchError`` where there are
    none or they cannot be read."""
    path = Path(address)
    if path.is_dir() or Store.at(address):
        store = Store(address)
        side = Side(address, _of_folder(store), store.left_out)
    elif path.is_file():
        side = Side(
            address,
            tuple(Measured(record, lambda found=found: found) for record, found in baseline.read(path)),  # type: ignore[misc]
        )
    else:
        raise UsageError(
            "is neither a results folder nor a baseline file",
            where=address,
            mend="Give the --out of a 'bench run', or a file that --update-baseline wrote.",
        )
    if not side.cells:
        what = "holds no record that is whole" if side.left_out else "holds no cell"
        raise StoreError(what, where=address, mend="Run 'bench run' with this --out first.")
    return side


def _of_folder(store: Store) -> tuple[Measured, ...]:
    return tuple(Measured(record, _reader(store, record)) for record in store.records())


def _reader(store: Store, record: Record) -> Callable[[], Examples]:
    name = record.files.get("examples")
    if name is None:
        return dict

    def load() -> Examples:
        from safetensors import SafetensorError
        from safetensors.numpy import load as load_arrays

        try:
            arrays = load_arrays(store.file(name))
        except SafetensorError as error:
            raise StoreError(
                f"holds no per-example values ({error})", where=name, mend="Run the cell again."
            ) from error
        return {metric: np.asarray(values, dtype=np.float64).ravel() for metric, values in arrays.items()}

    return load
