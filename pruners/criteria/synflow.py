"""SynFlow: weights that carry little of the flow from an all-ones input go, a little at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from pruners.base import Batch, View


class SynFlow:
    """abs(dR/dw * w), R the sum of the outputs for an all-ones input, every parameter and buffer by its absolute value.

    Tanaka et al. 2020, "Pruning neural networks without any data by iteratively conserving synaptic flow", equation 3
    and algorithm 1: 100 passes, density ``density ** (i / 100)`` after pass i (the harness loops and cuts).

    The ones stand in for the example's floating tensors. Token ids stay as they are and the ones go in at the
    embeddings' output; an embedding that is itself to be pruned is a linear layer on one-hot tokens, so all its tokens
    at once, the sum of its rows, go in there.

    Everything is computed in float64. Nothing cancels, but the flow grows with each layer: scores of a VGG-16 pass
    1e17 and of a ResNet-110 1e100, where float32 ends at 3e38; in the last passes, when few weights are left, the flow
    gets as small. float64 reaches from 1e-308 to 1e308, so no rule of when to rescale is needed.
    """

    version = 1
    iterations = 100
    needs_data = False

    def score(self, view: View) -> dict[str, Tensor]:
        """Scores in float64, of each weight's shape and never negative; 0 for masked weights.

        The positive twin of the model is made at the first pass and kept in ``view.scratch``. A later pass only cuts
        its weights, and overwrites the scores that an earlier pass on the same ``view.scratch`` gave. Raises
        ``CellError`` where no flow reaches the outputs at the first pass.
        """
        twin = view.scratch.get("synflow")
        if isinstance(twin, _Twin):
            return _flow(twin, view)
        twin, scores = _first(view)
        view.scratch["synflow"] = twin
        return scores


@dataclass(frozen=True)
class _Twin:
    """The model with absolute values in float64, and its all-ones example."""

    model: nn.Module
    weights: dict[str, Tensor]
    scores: dict[str, Tensor]
    reached: set[str]
    """Names of the weights whose scores this pass has written."""
    example: Batch


def _first(view: View) -> tuple[_Twin, dict[str, Tensor]]:
    import torch

    from bench.errors import CellError

    # Convolutions in float64 take a third less time with channels last; a model that flattens with ``view`` refuses
    # them, and has its own layout then.
    try:
        twin = _twin(view, torch.channels_last)
        scores = _flow(twin, view)
    except RuntimeError:
        twin = _twin(view, torch.contiguous_format)
        scores = _flow(twin, view)
    if not any(bool(values.any()) for values in scores.values()):
        raise CellError(
            "every SynFlow score is 0: the all-ones input does not reach the outputs",
            mend="A norm right after the embeddings takes a constant input to zero; use another criterion there.",
        )
    return twin, scores


def _twin(view: View, layout: torch.memory_format) -> _Twin:
    import copy

    import torch

    model = copy.deepcopy(view.model).eval().double()
    with torch.no_grad():
        for tensor in [*model.parameters(), *model.buffers()]:
            if tensor.is_floating_point():
                tensor.abs_()
        model.to(memory_format=layout)  # type: ignore[call-overload]
    model.requires_grad_(False)
    weights: dict[str, Tensor] = {name: model.get_parameter(name).requires_grad_(True) for name in view.weights}
    scores = {name: torch.empty_like(weight, requires_grad=False) for name, weight in weights.items()}
    reached: set[str] = set()
    for name, weight in weights.items():
        weight.grad = None
        weight.register_post_accumulate_grad_hook(  # type: ignore[no-untyped-call]
            _score_into(name, scores[name], reached)
        )
    _feed_ones(model, list(weights.values()))
    device = next(iter(weights.values())).device
    example = {
        name: torch.ones_like(values, dtype=torch.float64, device=device)
        if values.is_floating_point()
        else values.to(device)
        for name, values in view.example.items()
    }
    if layout == torch.channels_last:
        example = {
            name: values.contiguous(memory_format=layout) if values.dim() == 4 else values
            for name, values in example.items()
        }
    return _Twin(model, weights, scores, reached, example)


def _feed_ones(model: nn.Module, pruned: list[Tensor]) -> None:
    """Make the embeddings give ones, or the sum of their rows where they are to be pruned, whatever the tokens."""
    import torch
    from torch import nn

    def ones(module: nn.Embedding | nn.EmbeddingBag, inputs: object, output: Tensor) -> Tensor:
        if any(module.weight is weight for weight in pruned):
            return module.weight.sum(0).expand_as(output)
        return torch.ones_like(output)

    for module in model.modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag):
            module.register_forward_hook(ones)


def _flow(twin: _Twin, view: View) -> dict[str, Tensor]:
    import torch

    from bench.masks.exact import apply_

    apply_(twin.weights, view.masks)
    twin.reached.clear()
    with torch.enable_grad():
        flow = view.forward(twin.model, twin.example).sum()
        if flow.requires_grad:
            flow.backward()  # type: ignore[no-untyped-call]
    for name, values in twin.scores.items():
        if name not in twin.reached:
            values.zero_()
    return dict(twin.scores)


def _score_into(name: str, scores: Tensor, reached: set[str]) -> Callable[[Tensor], None]:
    """A hook that turns a weight's gradient into its scores and lets go of it at once.

    So one layer's gradient is in memory at a time, and the next one's is written where it lay: pages fresh from the
    system would cost more than the arithmetic.
    """
    import torch

    def hook(weight: Tensor) -> None:
        if weight.grad is not None:
            torch.mul(weight.grad, weight.detach(), out=scores).abs_()
            weight.grad = None
            reached.add(name)

    return hook
