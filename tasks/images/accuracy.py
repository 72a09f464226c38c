"""Loss and top-k accuracy of classifiers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from bench.ranks import conclude, spread
from tasks.base import Evaluation
from tasks.chance import majority

if TYPE_CHECKING:
    from tasks.base import Batch

SEVERAL = 5
T = TypeVar("T")


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean cross entropy, in float32 at least."""
    return cross_entropy(_precise(logits), labels)


def evaluate(
    model: nn.Module, places: Iterable[T], batch: Callable[[T], Batch], forward: Callable[[nn.Module, Batch], Tensor]
) -> Evaluation:
    """Top-1 and top-5 accuracy and cross entropy over the ``batch`` at each of ``places``, an example at a time."""
    device = next(model.parameters()).device

    def found_at(place: T) -> tuple[Tensor, Tensor, Tensor]:
        made = {name: tensor.to(device) for name, tensor in batch(place).items()}
        logits = _precise(forward(model, made))
        labels = made["labels"]
        return rank(logits, labels), cross_entropy(logits, labels, reduction="none"), labels

    with torch.no_grad():
        ranks, losses, labels = zip(*spread(places, found_at), strict=True)
    conclude()
    place = torch.cat(ranks)
    found = {"top-1": place == 0, "top-5": place < SEVERAL, "loss": torch.cat(losses)}
    examples = {name: values.float().cpu().numpy() for name, values in found.items()}
    metrics = {name: float(values.mean(dtype=np.float64)) for name, values in examples.items()}
    floor = {"top-1": majority(torch.cat(labels).cpu().numpy())}
    return Evaluation(metrics=metrics, examples=examples, n=len(place), notes={"floor": floor})


def rank(logits: Tensor, labels: Tensor) -> Tensor:
    """How many classes stand before the right one, shape (examples,).

    Of equal logits the smaller class stands first, as in ``argmax``: a collapsed model, whose logits are all equal, is
    right where the label is 0 for top-1, and where it is below 5 for top-5.
    """
    own = logits.gather(1, labels[:, None])
    classes = torch.arange(logits.shape[1], device=logits.device)
    before = (logits > own) | ((logits == own) & (classes < labels[:, None]))
    return before.sum(1)


def _precise(logits: Tensor) -> Tensor:
    return logits.float() if logits.element_size() < 4 else logits
