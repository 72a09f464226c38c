"""What is cut: single weights, N:M groups, or whole units that can be removed (rows, heads)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from bench.errors import CellError, UsageError
from bench.masks.couplings import Coupling, Shapes, remaining, unit_size

if TYPE_CHECKING:
    from torch import Tensor

    from pruners.base import Pool, Scores


def weights(scores: Scores, pools: Sequence[Pool]) -> dict[str, Tensor]:
    """Single weights: the ``keep`` largest scores of each pool, all its layers in one ranking.

    Equal scores stay by position: the earlier layer of the pool, then the smaller flat (row-major) index.
    """
    from bench.masks.exact import best

    return best(scores, pools)


@dataclass(frozen=True)
class NM:
    """N:M groups (2:4, say): of each m consecutive inputs of an output the n best stay.

    Inputs lie along axis 1 of a weight: (out, in) of a linear layer, (out, in, height, width) of a convolution, whose
    groups are of consecutive channels at one place of the kernel. Of equal scores the earlier stays. The last cut keeps
    exactly n / m, whatever the allocation, which has nothing to decide; a cut on the way there (of an iterative or
    gradual pruner) keeps the n best of each group and, of the rest, the best of all layers together. Zhou et al. 2021,
    "Learning N:M Fine-grained Structured Sparse Neural Networks From Scratch", section 3.
    """

    n: int
    m: int

    def __post_init__(self) -> None:
        if not 1 <= self.n < self.m:
            raise UsageError(
                f"cannot keep {self.n} of each {self.m} inputs",
                where=f"--structure {self.n}:{self.m}",
                mend="Give N:M with 1 <= N < M, for example 2:4.",
            )

    @property
    def sparsity(self) -> Fraction:
        """The one sparsity that this structure can have."""
        return 1 - Fraction(self.n, self.m)

    def check(self, shapes: Shapes, keep: int) -> None:
        """Raises ``UsageError`` for a layer whose inputs fall into no whole groups; ``keep`` does not matter."""
        for name, shape in shapes.items():
            if len(shape) < 2 or shape[1] % self.m:
                what = f"its {shape[1]} inputs are no multiple of {self.m}" if len(shape) > 1 else "it has no inputs"
                raise UsageError(
                    f"{self.n}:{self.m} does not fit this layer: {what}",
                    where=name,
                    mend="Give another N:M, or leave the layer out.",
                )

    def __call__(self, scores: Scores, pools: Sequence[Pool]) -> dict[str, Tensor]:
        """Masks with n or more of each group. Raises ``CellError`` where the budget is for fewer."""
        from bench.masks.groups import group_best
        from bench.masks.selection import select

        self.check({name: tuple(values.shape) for name, values in scores.items()}, 0)
        protected = {name: group_best(values, self.n, self.m) for name, values in scores.items()}
        extra = sum(pool.keep for pool in pools) - sum(int(mask.sum()) for mask in protected.values())
        if extra < 0:
            raise CellError(
                f"{self.n}:{self.m} keeps {-extra} weights more than the cut asks for",
                where="structure",
                mend=f"Cut to a sparsity of at most {float(self.sparsity):.12g}.",
            )
        if not extra:
            return protected
        hidden = [values.detach().masked_fill(protected[name], float("-inf")) for name, values in scores.items()]
        return {name: protected[name] | more for name, more in zip(scores, select(hidden, extra), strict=True)}


@dataclass(frozen=True)
class Units:
    """Whole units, which the saved model does without: the rule stands in ``bench.masks.units``.

    What counts as prunable are the weights that make or read such units: the others cannot go.
    """

    kind: str
    """``rows`` or ``heads``."""
    couplings: tuple[Coupling, ...] = ()
    parameters: Shapes = field(default_factory=dict)
    """Shapes of all parameters that have a part in a unit."""
    names: frozenset[str] = frozenset()
    """The prunable weights among them."""

    def among(self, couplings: Sequence[Coupling], parameters: Shapes, prunable: Sequence[str]) -> Units:
        """The structure on one model: units that only take parts of what may be pruned."""
        touched = {part.parameter for coupling in couplings for part in coupling.slices}
        return replace(
            self,
            couplings=tuple(couplings),
            parameters={name: tuple(parameters[name]) for name in sorted(touched)},
            names=frozenset(touched & set(prunable)),
        )

    @property
    def slack(self) -> int:
        """How many weights fewer than the budget a cut may keep: one fewer than the largest unit has."""
        shapes = {name: self.parameters[name] for name in self.names}
        return max((unit_size(shapes, coupling) for coupling in self.couplings), default=1) - 1

    def check(self, shapes: Shapes, keep: int) -> None:
        """Raises ``UsageError`` where not even one unit of each coupling fits into ``keep`` weights."""
        least = remaining(shapes, self.couplings, {coupling.name: 1 for coupling in self.couplings})
        total = remaining(shapes, (), {})
        if least > keep:
            raise UsageError(
                f"one of the {self.kind} of each layer stays: {least} of {total} weights where {keep} are asked for",
                where=f"--structure {self.kind}",
                mend=f"Give a sparsity of at most {int((1 - least / total) * 10_000) / 10_000:g}.",
            )

    def __call__(self, scores: Scores, pools: Sequence[Pool]) -> dict[str, Tensor]:
        """Masks of the scored weights, and of the biases and norms that go with their units."""
        from bench.masks.units import choose, masks

        if not self.couplings:
            raise CellError(
                f"the structure {self.kind!r} was not told which units the model has",
                where="structure",
                mend="Bind it to the model first (bench.masks.structures.bind).",
            )
        kept = choose(scores, pools, self.couplings)
        return masks(kept, self.couplings, self.parameters, next(iter(scores.values())).device)

    def kept(self, masks: Mapping[str, Tensor]) -> dict[str, str]:
        """``12 of 16`` by coupling: what ``masks`` leave of each."""
        from bench.masks.units import kept_units

        return {
            name: f"{int(units.sum())} of {len(units)}" for name, units in kept_units(masks, self.couplings).items()
        }


rows = Units("rows")
"""Neurons and filters, removed for good: the model is saved without them."""

heads = Units("heads")
"""Attention heads, removed for good: the model is saved without them."""
