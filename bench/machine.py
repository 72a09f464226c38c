"""What this machine has: its processor's name, memory that is free; bytes as people say them. Imports no torch."""

from __future__ import annotations

import platform
from pathlib import Path

_CGROUPS = (
    ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current", "sys/fs/cgroup/memory.stat"),
    (
        "sys/fs/cgroup/memory/memory.limit_in_bytes",
        "sys/fs/cgroup/memory/memory.usage_in_bytes",
        "sys/fs/cgroup/memory/memory.stat",
    ),
)
"""Limit, use and its parts of the group of processes that this one is in, as it sees it: version 2, version 1."""
_ROOT = Path("/")


def cpu_name() -> str:
    """What the processor is called by its maker."""
    lines = _text(_ROOT / "proc/cpuinfo").splitlines()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def has_gpu() -> bool:
    """Whether a driver of NVIDIA's is loaded."""
    return (_ROOT / "dev/nvidiactl").exists()


def free_memory(root: Path = _ROOT) -> int | None:
    """Bytes that processes can still take, swap included and a container's limit heeded; None where the system does not
    say."""
    rooms = [_available(root)]
    for limit, use, parts in _CGROUPS:
        most, used = _number(_text(root / limit)), _number(_text(root / use))
        if most is not None and used is not None:
            # Files that the kernel holds in memory count as used, and are given up when memory is asked for.
            rooms.append(max(0, most - used + (_field(_text(root / parts), "inactive_file") or 0)))
    known = [room for room in rooms if room is not None]
    return min(known) + 1024 * (_field(_text(root / "proc/meminfo"), "SwapFree:") or 0) if known else None


def human(count: int | float) -> str:
    """Bytes in the unit that suits: ``1.5 MB`` (1 MB = 1,000,000 bytes)."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _available(root: Path) -> int | None:
    kilobytes = _field(_text(root / "proc/meminfo"), "MemAvailable:")
    return None if kilobytes is None else 1024 * kilobytes


def _field(text: str, name: str) -> int | None:
    """The number behind a name in lines of names and numbers."""
    found = (line.split()[1] for line in text.splitlines() if line.split()[:1] == [name] and len(line.split()) > 1)
    return _number(next(found, ""))


def _number(text: str) -> int | None:
    return int(text) if text.strip().isdecimal() else None


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
