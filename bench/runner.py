"""What each step does: state in, state out; and the record that an ``Evaluate`` leaves."""

from __future__ import annotations

import fnmatch
import gzip
import io
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save as save_arrays
from torch import Tensor, nn

from bench import registry
from bench.errors import CellError, UsageError
from bench.masks import cut, digest, kept, verify
from bench.measure.flops import DenseFlops, dense_flops, effective_flops
from bench.measure.size import compressed_bytes, dense_bytes
from bench.plan import Cell, Node, OpenTask
from bench.provenance import provenance
from bench.record import Layer, Record
from bench.registry import suggestion
from bench.scoring import score
from bench.state import Position, State, capture, live_tensors, masked, restore
from bench.steps import AdaptiveCut, Cut, Evaluate, Init, Rewind, Score, Train, describe, excluded, stretches
from bench.store import Store
from bench.streams import derive
from bench.structures import bind, check_shapes, facts, offered, slack
from bench.train import Environment, to_device, train
from pruners.base import Learning, Structure, View
from tasks.base import Evaluation

CHECKPOINT_SECONDS = 120.0
"""Training that took longer since it was last saved is saved: the most that a crash may cost."""


@dataclass(frozen=True)
class Hooks:
    """How a run is watched and stopped."""

    training: Callable[[Node, int, float], None] = lambda node, step, loss: None
    interrupted: Callable[[], bool] = lambda: False


class Interrupted(Exception):  # noqa: N818 - it is no error
    """The run was asked to stop; all that was done is saved."""


class Workbench:
    """One task at one seed, with its live model, on which steps are carried out."""

    def __init__(self, task: OpenTask, environment: Environment, store: Store, hooks: Hooks) -> None:
        self.task, self.environment, self.store, self.hooks = task, environment, store, hooks
        self._model: nn.Module | None = None
        self._flops: DenseFlops | None = None

    # The live model

    @property
    def model(self) -> nn.Module:
        """The task's model on the device, as the init stream draws it until a state is restored into it."""
        if self._model is None:
            torch.manual_seed(derive(self.environment.seed, "init"))
            self._model = self.task.task.build(derive(self.environment.seed, "init")).to(self.environment.device)
        return self._model

    def prunable(self, exclude: Sequence[str] = ()) -> dict[str, Tensor]:
        """The parameters of the live model that are offered for pruning, by name.

        Raises ``UsageError`` for a pattern of ``exclude`` that fits none of the task's, or where none is left.
        """
        parameters = dict(self.model.named_parameters())
        offered = list(self.task.task.prunable(self.model))
        for pattern in exclude:
            if not fnmatch.filter(offered, pattern):
                raise UsageError(
                    "fits no prunable parameter", where=f"--exclude {pattern}", mend=suggestion(pattern, offered)
                )
        chosen = [name for name in offered if not any(fnmatch.fnmatchcase(name, pattern) for pattern in exclude)]
        if not chosen:
            raise UsageError("leaves nothing to prune", where=f"--exclude {','.join(exclude)}", mend="Exclude less.")
        return {name: parameters[name] for name in chosen}

    def structure(self, name: str, exclude: Sequence[str] = ()) -> Structure:
        """The structure registered under ``name`` (single weights where it is empty), on the live model."""
        return bind(registry.structure(name or "weights"), self.task.task, self.model, list(self.prunable(exclude)))

    def check(self, cells: Iterable[Cell]) -> None:
        """Raises ``UsageError`` where a layer does not allow what a cell asks for, before anything is spent."""
        asked = {
            (cell.pruner.structure, cell.pruner.allocation, cell.target, excluded(cell.path))
            for cell in cells
            if cell.pruner.structure and cell.target
        }
        for name, allocation, target, exclude in sorted(asked):
            structure = self.structure(name, exclude)
            weights = offered(structure, self.prunable(exclude))
            shapes = {weight: tuple(found.shape) for weight, found in weights.items()}
            check_shapes(structure, registry.allocation(allocation), allocation, shapes, target)

    # Steps

    def apply(self, node: Node, before: State | None, origin: State | None = None) -> State:
        """The state after ``node``'s step. ``before`` is None at ``Init`` alone; ``origin`` is what a ``Rewind`` goes
        back to."""
        step = node.step
        began = time.perf_counter()
        if isinstance(step, Init):
            self._model = None
            return State(capture(self.model)).spent("Init", time.perf_counter() - began)
        assert before is not None
        if isinstance(step, Train):
            return self._train(node, step, before)
        if isinstance(step, Score):
            after = self._score(step, before)
        elif isinstance(step, Cut):
            after = self._cut(node, step, before)
        elif isinstance(step, AdaptiveCut):
            after = self._cut_adaptively(step, before)
        elif isinstance(step, Rewind):
            assert origin is not None
            after = replace(before, weights=masked(origin.weights, before.masks), scores={}, position=origin.position)
        else:
            raise TypeError(f"{type(step).__name__} leaves no state")
        return after.spent(type(step).__name__, time.perf_counter() - began)

    def _train(self, node: Node, step: Train, before: State) -> State:
        saved = self.store.state(node.key, partial=True)
        state = self.load(saved) if saved else before
        position = state.position if state.position and state.position.schedule == step.schedule else None
        while True:
            restore(self.model, state.weights)
            learning = self._learning(step, state)
            began = time.perf_counter()
            position = train(
                self.task.task,
                self.model,
                state.masks,
                step.schedule,
                position,
                step.to,
                self.environment,
                learning,
                partial(self.hooks.training, node),
                lambda began=began: self.hooks.interrupted() or time.perf_counter() - began > CHECKPOINT_SECONDS,  # type: ignore[misc]
            )
            scores = learning.scores if learning is not None else {}
            state = self._trained(state, before, position, step, scores).spent("Train", time.perf_counter() - began)
            if position.step >= step.to:
                return state
            self.save(node.key, state, partial=True)
            if self.hooks.interrupted():
                raise Interrupted

    def _learning(self, step: Train, state: State) -> Learning | None:
        learner = step.learner
        if learner is None:
            return None
        allocation = registry.allocation(str(dict(learner.options).get("allocation", "global")))
        started = registry.learner(learner.name)
        return started(self.prunable(learner.exclude), state.scores, learner, step.schedule, allocation)

    def _trained(
        self, state: State, before: State, position: Position, step: Train, scores: Mapping[str, Tensor]
    ) -> State:
        started = before.position.step if before.position and before.position.schedule == step.schedule else 0
        return replace(
            state,
            weights=capture(self.model),
            scores=scores,
            position=position,
            train_steps=before.train_steps + position.step - started,
        )

    def _score(self, step: Score, before: State) -> State:
        restore(self.model, before.weights)
        was_training = self.model.training
        self.model.eval()
        allocation = registry.allocation(step.allocation or "global")
        structure = self.structure(step.structure or "weights", step.exclude)
        scores, left = score(
            step, registry.criterion(step.criterion), self.view(step, before.masks), allocation, structure
        )
        self.model.train(was_training)
        return replace(before, weights=masked(before.weights, left), masks=left, scores=scores)

    def view(self, step: Score, masks: Mapping[str, Tensor]) -> View:
        """What the criterion of ``step`` is shown of the live model."""
        task, environment = self.task.task, self.environment

        def forward(model: nn.Module, batch: Mapping[str, Tensor]) -> Tensor:
            with environment.autocast():
                return task.forward(model, batch)

        return View(
            model=self.model,
            weights=self.prunable(step.exclude),
            masks=masks,
            batches=lambda: islice(environment.batches(task, "score", step.batch_size), step.batches),
            forward=forward,
            loss=task.loss,
            example=to_device(task.example(), environment.device),
            generator=torch.Generator().manual_seed(derive(environment.seed, "pruner", step.criterion)),
        )

    def _cut(self, node: Node, step: Cut, before: State) -> State:
        allocation = registry.allocation(step.allocation)
        structure = self.structure(step.structure, excluded(node.path))
        left = cut(before.scores, before.masks, step.sparsity, allocation, structure)
        return replace(before, weights=masked(before.weights, left), masks=left, scores={})

    def _cut_adaptively(self, step: AdaptiveCut, before: State) -> State:
        weights = {name: before.weights[name] for name in self.prunable(step.exclude)}
        left, facts = registry.rule(step.rule)(weights, before.masks, dict(step.options))
        return replace(
            before, weights=masked(before.weights, left), masks=left, scores={}, trace=(*before.trace, facts)
        )

    # Evaluation

    def evaluate(self, cell: Cell, step: Evaluate, state: State) -> tuple[Record, State]:
        """The record of a finished cell; its files are in the store."""
        began = time.perf_counter()
        restore(self.model, state.weights)
        structure = self.structure(cell.pruner.structure, excluded(cell.path))
        prunable = offered(structure, self.prunable(excluded(cell.path)))
        verify(
            prunable,
            state.masks,
            _expected(cell, prunable, state),
            slack=slack(structure) if state.masks else 0,
            coupled=dict(self.model.named_parameters()),
        )
        self.model.eval()
        with torch.no_grad(), self.environment.autocast():
            evaluation = self.task.task.evaluate(self.model, step.split)
        bad = [name for name, value in evaluation.metrics.items() if not math.isfinite(value)]
        if bad:
            raise CellError(f"the metric {bad[0]} is {evaluation.metrics[bad[0]]}", where=f"{cell.task.name}")
        record = replace(
            self.blank(cell),
            status="done",
            **self._sizes(state, prunable),
            metrics=dict(evaluation.metrics),
            n=evaluation.n,
            train_steps=state.train_steps,
            trace=state.trace,
            files=self._files(cell.key, evaluation),
            notes={**evaluation.notes, **facts(structure, state.masks)},
        )
        return record, state.spent("Evaluate", time.perf_counter() - began)

    def measure(self, state: State, kinds: Sequence[str]) -> dict[str, Any]:
        """What the clock says of the state's model, by kind; the model stands as ``evaluate`` left it."""
        from bench.measure.latency import measure

        task, device = self.task.task, self.environment.device
        measured = {}
        for asked in kinds:
            kind, _, size = asked.partition(":")
            batch = next(task.batches("test", seed=0, size=int(size))) if size else task.example()
            with self.environment.autocast():
                found = measure(task, self.model, state.masks, to_device(batch, device), device)
            measured[kind] = {"asked": asked, **found}
        return measured

    def blank(self, cell: Cell) -> Record:
        """The record of a cell before anything of it was measured."""
        task = self.task
        return Record(
            key=cell.key,
            status="failed",
            task=task.name,
            task_version=task.task.version,
            title=task.task.title,
            model=task.model,
            pruner=cell.pruner.name,
            when=cell.pruner.when,
            allocation=cell.pruner.allocation,
            structure=cell.pruner.structure,
            variant=cell.variant,
            target_sparsity=cell.target,
            iteration=cell.iteration,
            seed=cell.seed,
            preset=task.preset_name,
            options=asdict(task.preset.options),
            path=[describe(step) for step in cell.path],
            data=task.data,
            provenance=provenance(self.environment.device, self.environment.dtype),
            metric_info=[asdict(metric) for metric in task.task.metrics],
            task_notes=tuple(task.task.notes),
            train_steps=sum(stretches(cell.path)),
        )

    def _sizes(self, state: State, prunable: Mapping[str, Tensor]) -> dict[str, Any]:
        """Counts of weights, FLOPs and bytes."""
        modules = dict(self.model.named_modules())
        layers = tuple(
            Layer(
                name,
                type(modules[name.rpartition(".")[0]]).__name__,
                weight.numel(),
                int(state.masks[name].sum()) if name in state.masks else weight.numel(),
            )
            for name, weight in prunable.items()
        )
        parameters = sum(parameter.numel() for parameter in self.model.parameters())
        size, kept = sum(layer.size for layer in layers), sum(layer.kept for layer in layers)
        dense = self._dense_flops()
        flops, by_type = effective_flops(dense, {layer.name: layer.density for layer in layers})
        return {
            "sparsity": 1 - kept / size if size else 0.0,
            "total_sparsity": sum(int((~mask).sum()) for mask in state.masks.values()) / parameters,
            "parameters": parameters,
            "prunable": size,
            "layers": layers,
            "collapsed_layers": tuple(layer.name for layer in layers if layer.kept == 0),
            "mask_digest": digest(state.masks),
            "dense_flops": dense.total,
            "flops": flops,
            "flops_by_type": by_type,
            "dense_bytes": dense_bytes(live_tensors(self.model)),
            "compressed_bytes": compressed_bytes(state.weights, state.masks),
        }

    def _dense_flops(self) -> DenseFlops:
        if self._flops is None:
            example = to_device(self.task.task.example(), self.environment.device)
            self._flops = dense_flops(self.model, lambda: self.task.task.forward(self.model, example))
        return self._flops

    def _files(self, key: str, evaluation: Evaluation) -> dict[str, str]:
        """Stores per-example values and the task's own files; kind to file name."""
        names = {}
        if evaluation.examples:
            arrays = {name: np.asarray(values, dtype=np.float32) for name, values in evaluation.examples.items()}
            names["examples"] = self.store.put_file(key, "examples", save_arrays(arrays), ".safetensors")
        for kind, text in evaluation.files.items():
            names[kind] = self.store.put_file(key, kind, _compress(text), ".gz")
        return names

    # States

    def load(self, path: Any) -> State:
        """A stored state, on the device."""
        from bench.state import load

        return load(path, self.environment.device)

    def save(self, key: str, state: State, *, partial: bool = False) -> None:
        """Stores a state."""
        from bench.state import save

        self.store.put_state(key, lambda path: save(state, path), partial=partial)


def _expected(cell: Cell, prunable: Mapping[str, Tensor], state: State) -> int:
    """How many weights the last cut of the path must have left; an adaptive one says so itself."""
    total = sum(weight.numel() for weight in prunable.values())
    cuts = [step for step in cell.path if isinstance(step, Cut | AdaptiveCut)]
    if not cuts:
        return total
    last = cuts[-1]
    return round(state.trace[-1]["density"] * total) if isinstance(last, AdaptiveCut) else kept(last.sparsity, total)


def _compress(text: str) -> bytes:
    """gzip without a time stamp, so that equal texts are equal files."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=4, mtime=0) as stream:
        stream.write(text.encode())
    return buffer.getvalue()
