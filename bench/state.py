"""What a step maps to what: weights, masks, scores and training position.

Saved as safetensors, one file a state; no pickle.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from bench.steps import Schedule


@dataclass(frozen=True)
class Position:
    """Where a schedule stands: the next step is ``step``; ``optimizer`` holds its tensors by ``PARAMETER/NAME``."""

    schedule: Schedule
    step: int
    optimizer: Mapping[str, Tensor]


@dataclass(frozen=True)
class State:
    """The state between two steps. Tensors are never changed in place once they are here."""

    weights: Mapping[str, Tensor]
    """Parameters (tied ones once) and persistent buffers by full name."""
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    """Boolean, True = kept; a parameter without one is whole."""
    scores: Mapping[str, Tensor] = field(default_factory=dict)
    position: Position | None = None
    """Where the last schedule stands: a later ``Train`` under it goes on from there, across cuts too."""
    trace: tuple[Mapping[str, Any], ...] = ()
    """What each adaptive cut on the path found, in order."""
    train_steps: int = 0
    """Training steps on the path so far."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Measured seconds by step kind on the path so far."""

    def spent(self, kind: str, seconds: float) -> State:
        """The same state, with ``seconds`` more on ``kind``."""
        return replace(self, seconds={**self.seconds, kind: self.seconds.get(kind, 0.0) + seconds})


def live_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The model's own parameters (tied ones once) and persistent buffers, by full name."""
    persistent = model.state_dict(keep_vars=True).keys()
    buffers = {name: buffer for name, buffer in model.named_buffers() if name in persistent}
    return {**dict(model.named_parameters()), **buffers}


def capture(model: nn.Module) -> dict[str, Tensor]:
    """Copies of all that ``live_tensors`` names."""
    return {name: tensor.detach().clone() for name, tensor in live_tensors(model).items()}


def restore(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copies ``weights`` into the model; the names must be the model's."""
    live = live_tensors(model)
    if live.keys() != weights.keys():
        raise ValueError(f"the state is of another model: {sorted(live.keys() ^ weights.keys())[:3]}")
    with torch.no_grad():
        for name, tensor in live.items():
            tensor.copy_(weights[name])


def masked(weights: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights with zeros where ``masks`` is False; unmasked tensors are shared, not copied."""
    return {name: tensor.masked_fill(~masks[name], 0) if name in masks else tensor for name, tensor in weights.items()}


def save(state: State, path: Path) -> None:
    """Writes the state to ``path`` as safetensors; numbers and the schedule go into its metadata.

    Raises ``OSError`` where the file system refuses.
    """
    tensors, facts = packed(state)
    try:
        save_file(own_memory(tensors), path, metadata={"state": json.dumps(facts)})
    except SafetensorError as error:
        raise _as_system_error(error) from error


def packed(state: State) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """All tensors of the state by ``GROUP/NAME``, and all else as plain data."""
    position = state.position
    groups = {
        "weights": state.weights,
        "masks": state.masks,
        "scores": state.scores,
        "optimizer": position.optimizer if position else {},
    }
    tensors = {f"{group}/{name}": tensor for group, part in groups.items() for name, tensor in part.items()}
    facts = {
        "trace": list(state.trace),
        "train_steps": state.train_steps,
        "seconds": dict(state.seconds),
        "position": {"schedule": vars(position.schedule), "step": position.step} if position else None,
    }
    return tensors, facts


def unpacked(tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> State:
    """The state that ``packed`` took apart."""
    parts: dict[str, dict[str, Tensor]] = {"weights": {}, "masks": {}, "scores": {}, "optimizer": {}}
    for full, tensor in tensors.items():
        group, name = full.split("/", 1)
        parts[group][name] = tensor
    position = None
    if facts["position"]:
        position = Position(_schedule(facts["position"]["schedule"]), facts["position"]["step"], parts["optimizer"])
    return State(
        parts["weights"],
        parts["masks"],
        parts["scores"],
        position,
        tuple(facts["trace"]),
        facts["train_steps"],
        facts["seconds"],
    )


def own_memory(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors, contiguous, copied where two share memory: safetensors refuses those."""
    owned: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, tensor in tensors.items():
        whole = tensor.contiguous()
        if whole.untyped_storage().data_ptr() in taken:
            whole = whole.clone()
        taken.add(whole.untyped_storage().data_ptr())
        owned[name] = whole
    return owned


def _as_system_error(error: SafetensorError) -> Exception:
    """The ``OSError`` inside a safetensors error, which gives its number in its text alone."""
    number = re.search(r"(?:os error|code:) (\d+)", str(error))
    return OSError(int(number[1]), os.strerror(int(number[1]))) if number else error


def load(path: Path, device: torch.device | str = "cpu") -> State:
    """The state that ``save`` wrote to ``path``."""
    with safe_open(path, framework="pt", device=str(device)) as file:
        facts = json.loads(file.metadata()["state"])
        return unpacked({full: file.get_tensor(full) for full in file.keys()}, facts)  # noqa: SIM118 - a file


def _schedule(fields: Mapping[str, Any]) -> Schedule:
    read: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    return Schedule(**read)
