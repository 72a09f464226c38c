"""Where a record comes from: versions, device, determinism. No host name, no user name, no path."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from bench import ranks
from bench.machine import cpu_name

PACKAGES = ("prunebench", "torch", "transformers", "torchmetrics", "ir-measures", "bm25s", "numpy", "safetensors")


@cache
def versions() -> dict[str, str]:
    """Versions of the packages that a result depends upon."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@cache
def source() -> dict[str, str | bool]:
    """Commit of the harness and whether the tree was changed since; empty outside a checkout of its own."""
    here = Path(__file__).resolve().parent.parent
    if not (here / ".git").exists():
        return {}

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, timeout=10, check=True)
        return done.stdout.strip()

    try:
        return {"git": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.SubprocessError):
        return {}


def device_name(device: torch.device) -> str:
    """What the device is called by its maker."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    if device.type == "cpu":
        return cpu_name()
    return device.type


def provenance(device: torch.device, dtype: torch.dtype) -> dict[str, object]:
    """All of it, as plain data."""
    processes = {"processes": ranks.size()} if ranks.size() > 1 else {}
    instructions = {"cpu_capability": torch.backends.cpu.get_cpu_capability()} if device.type == "cpu" else {}
    return {
        "versions": versions(),
        **source(),
        "device": device.type,
        "device_name": device_name(device),
        **instructions,
        "threads": torch.get_num_threads(),
        **processes,
        "dtype": str(dtype).removeprefix("torch."),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "platform": f"{platform.system()} {platform.machine()}",
    }
