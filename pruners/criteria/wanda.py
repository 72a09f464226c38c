"""Wanda: weights that are small, or multiply features that are, go; compared within an output row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pruners.base import Batch, View


class Wanda:
    """abs(w_ij) * norm2(x_j), x_j feature j of the layer's inputs over all scoring batches; compared within row i.

    Sun et al. 2024, "A Simple and Effective Pruning Approach for Large Language Models", equation 1 and section 3. The
    comparison within a row is part of the score, which is a weight's place among its row's, as a fraction of the row:

        score_ij = (weights of row i that rank below ij + s_ij / (2 max s)) / length of row i,   s = abs(w) norm2(x)

    A budget that every layer meets (``uniform``) so keeps the same number in each row of a layer, up to one: the
    remainder goes to the rows whose next weight has the largest s, which is what the last fraction is for. Under
    ``global`` the rows of all layers have one density. Of equal s in a row the earlier ranks higher.

    Inputs are seen by forward hooks on the modules that own the weights: of a linear layer every vector that goes in,
    padding included; of a convolution every patch that its kernel meets, zeros of the padding included; of an embedding
    the one-hot tokens, whose norm is the root of how often a token occurs, its rows being the outputs, the table's
    columns. A weight that several modules share, or one module called several times, is given what all of them see.
    """

    version = 1
    iterations = 1
    needs_data = True
    when = "trained"
    recovers = False
    """The method is for pretrained weights, by calibration alone."""
    allocation = "uniform"

    def score(self, view: View) -> dict[str, Tensor]:
        """Scores in [0, 1), float64, of each weight's shape; 0 for masked weights. One forward pass a batch.

        Raises ``CellError`` where no module that is called owns a weight, or one of another kind does.
        """
        import torch

        from pruners.gradients import undisturbed

        owners = {name: _owners(view.model, name, weight) for name, weight in view.weights.items()}
        with undisturbed(view), torch.no_grad():
            squares = _gathered(view, owners)
        scores = {}
        for name, weight in view.weights.items():
            met = _to_the_shape(_seen(name, squares).to(weight.device), owners[name][0])
            saliency = weight.detach().abs().double() * met.sqrt()
            transposed = all(isinstance(module, torch.nn.Embedding) for module in owners[name])
            scores[name] = _places(saliency.T).T if transposed else _places(saliency)
            if name in view.masks:
                scores[name] = scores[name].masked_fill(~view.masks[name], 0)
        return scores


def _owners(model: nn.Module, name: str, weight: Tensor) -> list[nn.Module]:
    """The modules of which ``weight`` is the weight."""
    from torch import nn

    from bench.errors import CellError

    owners = [module for module in model.modules() if any(own is weight for own in module.parameters(recurse=False))]
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Embedding)
    for module in owners:
        if not isinstance(module, kinds) or module.weight is not weight:
            raise CellError(
                f"Wanda knows the inputs of linear, convolutional and embedding layers' weights, and {name!r} belongs "
                f"to a {type(module).__name__}",
                mend="Prune other weights, or use another criterion.",
            )
    return owners


def _gathered(view: View, owners: Mapping[str, list[nn.Module]]) -> dict[str, Tensor]:
    """By weight, the sum of the squares of what each of its entries multiplies, over all scoring batches; see
    ``_squares`` for the shapes. Several processes share the batches out, and add up the same in the same order."""
    import torch

    from bench import ranks
    from pruners.gradients import require_examples

    names = list(owners)
    met: list[tuple[str, Tensor]] = []

    def of(batch: Batch) -> tuple[Tensor, ...]:
        """Number of examples, and of each call in turn the weight's number and the squares."""
        met.clear()
        examples = len(view.forward(view.model, batch))
        called = [names.index(name) for name, _ in met]
        return torch.tensor([examples, *called]), *(seen for _, seen in met)

    squares: dict[str, Tensor] = {}
    examples = 0
    with _watched(owners, view.weights, met):
        for told, *found in ranks.spread(view.batches(), of):
            count, *called = told.tolist()
            examples += count
            for name, seen in zip((names[number] for number in called), found, strict=True):
                squares[name] = squares[name] + seen if name in squares else seen
    require_examples(examples)
    return squares


@contextmanager
def _watched(
    owners: Mapping[str, list[nn.Module]], weights: Mapping[str, Tensor], met: list[tuple[str, Tensor]]
) -> Iterator[None]:
    """While it lasts, each call of an owner appends its weight's name and the squares of what its entries multiply."""

    def watch(name: str, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        met.append((name, _squares(module, inputs[0], weights[name])))

    hooks = [
        module.register_forward_pre_hook(partial(watch, name)) for name, modules in owners.items() for module in modules
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _squares(module: nn.Module, inputs: Tensor, weight: Tensor) -> Tensor:
    """Of an embedding (tokens, 1), of a linear layer (features,), of a convolution a kernel for each group."""
    import torch
    from torch import nn

    if isinstance(module, nn.Embedding):
        return torch.bincount(inputs.reshape(-1), minlength=len(weight)).double().unsqueeze(1)
    if isinstance(module, nn.Linear):
        norms: Tensor = torch.linalg.vector_norm(inputs.reshape(-1, weight.shape[1]), dim=0, dtype=torch.float64)
        return norms.square()
    assert isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d)
    # The squares that a kernel's entry meets sum to the derivative of a convolution of the squares with respect to it:
    # one kernel a group is enough, as all kernels of a group meet the same inputs.
    kernel = weight.new_zeros((module.groups, *weight.shape[1:]), dtype=torch.float64, requires_grad=True)
    with torch.enable_grad():
        summed = module._conv_forward(inputs.double().square(), kernel, None).sum()
        (met,) = torch.autograd.grad(summed, kernel)
    return met


def _to_the_shape(met: Tensor, module: nn.Module) -> Tensor:
    """The squares, in a shape that broadcasts to the weight's."""
    from torch import nn

    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d) and module.groups > 1:
        repeated: Tensor = met.repeat_interleave(module.out_channels // module.groups, dim=0)
        return repeated
    return met


def _seen(name: str, squares: Mapping[str, Tensor]) -> Tensor:
    from bench.errors import CellError

    if name not in squares:
        raise CellError(
            f"no module that the model calls owns {name!r}: its inputs are not seen",
            mend="Leave it out of the prunable weights, or use a criterion that needs no inputs.",
        )
    return squares[name]


def _places(saliency: Tensor) -> Tensor:
    """Each entry's place in its row (first dimension), from 0, plus up to a half by its share of the largest; over the
    row's length."""
    import torch

    rows = saliency.flatten(1)
    length = rows.shape[1]
    order = rows.argsort(dim=1, descending=True, stable=True)
    falling = torch.arange(length - 1, -1, -1, dtype=rows.dtype, device=rows.device)
    places = torch.empty_like(rows).scatter_(1, order, falling.expand_as(rows))
    largest = rows.max()
    if largest > 0:
        places += rows / (2 * largest)
    return (places / length).view_as(saliency)
