"""What a run and its worker processes tell each other: lines of JSON, no pickle and no code.

To a worker: first a ``Work``, from which it plans the same tree; then jobs, by the key of the node that a segment
begins with; or ``stop``. From a worker: what a listener is told, and how each job ended. Imports no torch.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from bench import errors
from bench.errors import BenchError
from bench.grid import Request
from bench.tree import Plan

Message = Mapping[str, Any]


@dataclass(frozen=True)
class Work:
    """All that a worker must know to plan and to compute what the run that started it does."""

    request: Request | None
    """None where this process plans nothing anew."""
    store: str
    """Address of the results folder."""
    folder: str
    """Where relative paths begin."""
    plan: str
    """``fingerprint`` of the plan, so that a worker with other data or another version says so."""
    device: str
    dtype: str
    threads: int
    measure: tuple[str, ...] = ()
    wanted: tuple[str, ...] | None = None
    """Keys of the cells to compute; None: all."""
    number: int = 0
    """Which of the workers it is."""
    workers: int = 1
    """How many there are on its machine, as far as that is known."""
    memory: int | None = None
    """Bytes that each of them can take; None where that is not known."""


def written(message: Message) -> str:
    """The message as a line."""
    return json.dumps(message, separators=(",", ":")) + "\n"


def work_line(work: Work) -> str:
    """``work`` as a line."""
    return written({"work": asdict(work)})


def work_of(message: Message) -> Work:
    """What ``work_line`` wrote."""
    fields = dict(message["work"])
    request = {name: _frozen(value) for name, value in (fields.pop("request") or {}).items()}
    return Work(Request(**request), **{name: _frozen(value) for name, value in fields.items()})


def _frozen(value: Any) -> Any:
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def fingerprint(plan: Plan) -> str:
    """What two processes have in common that planned the same cells."""
    return hashlib.sha256("\n".join(cell.key for cell in plan.cells).encode()).hexdigest()


def told(error: Exception) -> Message:
    """An error as plain data."""
    if isinstance(error, BenchError):
        return {"kind": type(error).__name__, "what": error.what, "where": error.where, "mend": error.mend}
    return {"kind": "", "what": f"{type(error).__name__}: {error}"}


def error_of(told: Message, log: str | None) -> Exception:
    """The error that a worker told of. One that is a defect of ours names the log with its traceback."""
    kind = getattr(errors, str(told["kind"]), None)
    if isinstance(kind, type) and issubclass(kind, BenchError):
        return kind(told["what"], where=told["where"], mend=told["mend"])
    return RuntimeError(f"in a worker: {told['what']}" + (f" (traceback in {log})" if log else ""))
