"""Whether a process that wrote something still runs, as far as this machine can tell."""

from __future__ import annotations

import hashlib
import os
import re
from functools import cache
from pathlib import Path

_SCRATCH = re.compile(r"\.writing-(\d+)(?:-([0-9a-f]{8}))?", re.ASCII)
"""How the name of something half-written ends: the process that writes it, and the machine that it runs on."""


@cache
def machine() -> str:
    """Eight hexadecimal digits that stand for this machine since it was started: process numbers are unique there."""
    facts = [_text("/proc/sys/kernel/random/boot_id") or os.uname().nodename]
    try:
        facts.append(str(Path("/proc/self/ns/pid").readlink()))  # containers have process numbers of their own
    except OSError:
        facts.append("")
    return hashlib.sha256("\n".join(facts).encode()).hexdigest()[:8]


def runs(process: int) -> bool:
    """Whether a process of this number is alive on this machine."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def started(process: int) -> str:
    """What tells a process from a later one of the same number; empty where the system does not say, and of one that
    has ended and was not waited for."""
    fields = _text(f"/proc/{process}/stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 and fields[0] not in "ZX" else ""


def scratch_name(name: str) -> str:
    """What the file ``name`` is called while this process writes it."""
    return f"{name}.writing-{os.getpid()}-{machine()}"


def half_of(found: str, name: str) -> bool:
    """Whether the file called ``found`` was to become ``name``."""
    return found.startswith(name) and _SCRATCH.fullmatch(found.removeprefix(name)) is not None


def abandoned(found: str) -> bool | None:
    """Whether the process that was writing ``found`` is gone; None where that is another machine's to say."""
    match = _writer(found)
    if match is None:
        return False
    if match[2] not in (None, machine()):
        return None
    return int(match[1]) == os.getpid() or not runs(int(match[1]))


def _writer(found: str) -> re.Match[str] | None:
    return _SCRATCH.search(found) if _SCRATCH.fullmatch(found[found.rfind(".") :]) else None


def _text(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
