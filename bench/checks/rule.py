"""The contract of a rule that cuts as many weights as it finds fit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from bench import registry
from bench.checks.finding import Finding, examine, require
from bench.checks.toys import TOYS, Toy, view_of
from bench.steps import AdaptiveCut, Path, canonical

ROUNDS = 3


def check_rule(paths: Sequence[Path]) -> Iterator[Finding]:
    """Findings on the rule of the first ``AdaptiveCut``; none where no path has one."""
    asked = next((step for path in paths for step in path if isinstance(step, AdaptiveCut)), None)
    if asked is not None:
        for toy in TOYS:
            yield examine(f"its rule cuts within the masks, round by round, on {toy.title}", partial(_cuts, toy, asked))


def _cuts(toy: Toy, step: AdaptiveCut) -> None:
    rule, options = registry.rule(step.rule), dict(step.options)
    weights = {name: weight.detach() for name, weight in view_of(toy).weights.items()}
    before = {name: weight.clone() for name, weight in weights.items()}
    masks: dict[str, Tensor] = {}
    for _ in range(ROUNDS):
        masked = {name: weight * masks.get(name, 1) for name, weight in weights.items()}
        found, facts = rule(masked, masks, options)
        again, _ = rule(masked, masks, options)
        require(found.keys() == weights.keys(), f"there are masks for {sorted(found)}")
        for name, mask in found.items():
            shape = tuple(weights[name].shape)
            require(mask.dtype == torch.bool, f"the mask of {name!r} is {mask.dtype}")
            require(tuple(mask.shape) == shape, f"the mask of {name!r} has shape {tuple(mask.shape)}, not {shape}")
            grown = name in masks and bool((mask & ~masks[name]).any())
            require(not grown, f"the mask of {name!r} brings weights back that were cut before")
            require(torch.equal(mask, again[name]), f"two calls give two masks of {name!r}")
            require(torch.equal(weights[name], before[name]), f"it changes the weights of {name!r}")
        canonical(facts)
        masks = found
    require(any(not bool(mask.all()) for mask in masks.values()), f"nothing is cut in {ROUNDS} rounds")
