"""What each step does: state in, state out."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from functools import partial

from torch import Tensor

from bench import ranks, registry
from bench.errors import Interrupted
from bench.masks.exact import cut
from bench.masks.scoring import score
from bench.memory import given_back
from bench.state import Position, State, capture, masked, restore
from bench.steps import AdaptiveCut, Cut, Init, Rewind, Score, Train, excluded
from bench.train import train
from bench.tree import Node
from bench.workbench import Workbench
from pruners.base import Learning

CHECKPOINT_SECONDS = 120.0
"""Training that took longer since it was last saved is saved: the most that a crash may cost."""


def apply(bench: Workbench, node: Node, before: State | None, origin: State | None = None) -> State:
    """The state after ``node``'s step. ``before`` is None at ``Init`` alone; ``origin`` is what a ``Rewind`` goes
    back to."""
    step = node.step
    began = time.perf_counter()
    if isinstance(step, Init):
        return bench.initialise().spent("Init", time.perf_counter() - began)
    assert before is not None
    if isinstance(step, Train):
        return _train(bench, node, step, before)
    if isinstance(step, Score):
        after = _score(bench, node, step, before)
    elif isinstance(step, Cut):
        after = _cut(bench, node, step, before)
    elif isinstance(step, AdaptiveCut):
        after = _cut_adaptively(bench, step, before)
    elif isinstance(step, Rewind):
        assert origin is not None
        after = replace(before, weights=masked(origin.weights, before.masks), scores={}, position=origin.position)
    else:
        raise TypeError(f"{type(step).__name__} leaves no state")
    return after.spent(type(step).__name__, time.perf_counter() - began)


def _train(bench: Workbench, node: Node, step: Train, before: State) -> State:
    saved = bench.store.state(node.key, partial=True)
    state = bench.load(saved) if saved else before
    while True:
        began = time.perf_counter()
        position, scores = stretch(
            bench,
            node,
            step,
            state,
            lambda began=began: bench.hooks.interrupted() or time.perf_counter() - began > CHECKPOINT_SECONDS,  # type: ignore[misc]
        )
        state = _trained(bench, state, before, position, step, scores).spent("Train", time.perf_counter() - began)
        if position.step >= step.to:
            return state
        bench.save(node.key, state, partial=True)
        if bench.hooks.interrupted():
            raise Interrupted


def stretch(
    bench: Workbench, node: Node, step: Train, state: State, stop: Callable[[], bool] = lambda: False
) -> tuple[Position, Mapping[str, Tensor]]:
    """Trains the live model from ``state`` on until ``step`` is reached or ``stop`` is true, all processes of a team at
    once; where it stands, and the scores that were learned."""
    model = bench.model
    position = state.position if state.position and state.position.schedule == step.schedule else None
    with ranks.together(node.key, state):
        restore(model, state.weights)
        learning = _learning(bench, step, state)
        position = train(
            bench.task.task,
            model,
            state.masks,
            step.schedule,
            position,
            step.to,
            bench.environment,
            learning,
            partial(bench.hooks.training, node),
            stop,
        )
    return position, learning.scores if learning is not None else {}


def _learning(bench: Workbench, step: Train, state: State) -> Learning | None:
    learner = step.learner
    if learner is None:
        return None
    allocation = registry.allocation(str(dict(learner.options).get("allocation", "global")))
    started = registry.learner(learner.name)
    return started(bench.prunable(learner.exclude), state.scores, learner, step.schedule, allocation)


def _trained(
    bench: Workbench, state: State, before: State, position: Position, step: Train, scores: Mapping[str, Tensor]
) -> State:
    started = before.position.step if before.position and before.position.schedule == step.schedule else 0
    return replace(
        state,
        weights=capture(bench.model),
        scores=scores,
        position=position,
        train_steps=before.train_steps + position.step - started,
    )


def _score(bench: Workbench, node: Node, step: Score, before: State) -> State:
    scores, left = scored(bench, node, step, before)
    return replace(before, weights=masked(before.weights, left), masks=left, scores=scores)


def scored(
    bench: Workbench, node: Node, step: Score, before: State
) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
    """Scores, and the masks that they were found under. Where the criterion looks at data, all processes of a team
    share the batches out."""
    model, criterion = bench.model, registry.criterion(step.criterion)
    shown = State(before.weights, before.masks)
    with ranks.together(node.key, shown) if criterion.needs_data else nullcontext():
        restore(model, before.weights)
        was_training = model.training
        model.eval()
        allocation = registry.allocation(step.allocation or "global")
        structure = bench.structure(step.structure or "weights", step.exclude)
        with given_back():
            found = score(step, criterion, bench.view(step, before.masks), allocation, structure)
            model.train(was_training)
    return found


def _cut(bench: Workbench, node: Node, step: Cut, before: State) -> State:
    allocation = registry.allocation(step.allocation)
    structure = bench.structure(step.structure, excluded(node.path))
    left = cut(before.scores, before.masks, step.sparsity, allocation, structure)
    return replace(before, weights=masked(before.weights, left), masks=left, scores={})


def _cut_adaptively(bench: Workbench, step: AdaptiveCut, before: State) -> State:
    weights = {name: before.weights[name] for name in bench.prunable(step.exclude)}
    left, facts = registry.rule(step.rule)(weights, before.masks, dict(step.options))
    return replace(before, weights=masked(before.weights, left), masks=left, scores={}, trace=(*before.trace, facts))
