"""Whether a model is left as it was found: tensors, gradients, modes, hooks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from bench.checks.finding import require

HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


@dataclass(frozen=True)
class Snapshot:
    """What a model was like."""

    tensors: dict[str, Tensor]
    gradients: dict[str, Tensor | None]
    requires_grad: dict[str, bool]
    training: dict[str, bool]
    hooks: dict[str, int]


def snapshot(model: nn.Module) -> Snapshot:
    """The model as it is now, copied."""
    parameters = dict(model.named_parameters())
    return Snapshot(
        {name: tensor.detach().clone() for name, tensor in _tensors(model)},
        {name: None if p.grad is None else p.grad.clone() for name, p in parameters.items()},
        {name: parameter.requires_grad for name, parameter in parameters.items()},
        {name: module.training for name, module in model.named_modules()},
        {name: _hooks(module) for name, module in model.named_modules()},
    )


def require_unchanged(model: nn.Module, before: Snapshot, who: str) -> None:
    """Raises ``Breach`` naming the first thing that ``who`` changed."""
    after = snapshot(model)
    require(after.tensors.keys() == before.tensors.keys(), f"{who} adds or removes parameters or buffers")
    buffers = {name for name, _ in model.named_buffers()}
    for name, tensor in before.tensors.items():
        kind = "buffer" if name in buffers else "parameter"
        require(bool((after.tensors[name] == tensor).all()), f"{who} changes the {kind} {name!r}")
    for name, gradient in before.gradients.items():
        now = after.gradients[name]
        same = now is None if gradient is None else now is not None and bool((now == gradient).all())
        require(same, f"{who} leaves another gradient on {name!r}")
    _require_same(before.requires_grad, after.requires_grad, f"{who} changes requires_grad of")
    _require_same(before.training, after.training, f"{who} changes the mode (train or eval) of")
    _require_same(before.hooks, after.hooks, f"{who} leaves a hook on")


def _require_same(before: dict[str, bool] | dict[str, int], after: dict[str, bool] | dict[str, int], what: str) -> None:
    for name, value in before.items():
        require(after[name] == value, f"{what} {name or 'the model'!r}")


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from model.named_parameters()
    yield from model.named_buffers()


def _hooks(module: nn.Module) -> int:
    own = sum(len(getattr(module, kind)) for kind in HOOKS)
    kinds = ("_backward_hooks", "_post_accumulate_grad_hooks")
    return own + sum(len(getattr(p, kind) or ()) for p in module.parameters(recurse=False) for kind in kinds)
