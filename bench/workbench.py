"""One task at one seed with its live model: what steps and evaluations are carried out on."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor, nn

from bench import registry
from bench.errors import UsageError
from bench.masks.structures import bind, check_shapes, offered
from bench.measure.flops import DenseFlops, dense_flops
from bench.memory import out_of_memory
from bench.registry import suggestion
from bench.state import State, capture, load, save
from bench.steps import Score, excluded
from bench.store import Store
from bench.streams import derive
from bench.train import Environment, to_device
from bench.tree import Cell, Node, OpenTask
from pruners.base import Structure, View


@dataclass(frozen=True)
class Hooks:
    """How a run is watched and stopped."""

    training: Callable[[Node, int, float], None] = lambda node, step, loss: None
    interrupted: Callable[[], bool] = lambda: False


class Workbench:
    """One task at one seed, with its live model, on which steps are carried out."""

    def __init__(self, task: OpenTask, environment: Environment, store: Store, hooks: Hooks) -> None:
        self.task, self.environment, self.store, self.hooks = task, environment, store, hooks
        self._model: nn.Module | None = None
        self._flops: DenseFlops | None = None

    @property
    def model(self) -> nn.Module:
        """The task's model on the device, as the init stream draws it until a state is restored into it."""
        if self._model is None:
            seed = derive(self.environment.seed, "init")
            torch.manual_seed(seed)
            try:
                self._model = self.task.task.build(seed).to(self.environment.device)
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                raise UsageError(
                    f"its model does not fit into memory ({str(error).splitlines()[0][:200]})",
                    where=self._called(),
                    mend="Give smaller --set options or another --model.",
                ) from error
        return self._model

    def _called(self) -> str:
        """Task and model, with the options that are not the preset's."""
        from bench.plan import presets_of

        usual = vars(presets_of(registry.task(self.task.name), self.task.model)[self.task.preset_name].options)
        chosen = [f"{name}={value}" for name, value in self.task.options.items()
                  if name != "model" and usual.get(name) != value]  # fmt: skip
        return f"{self.task.name}, model {self.task.model}{''.join(f', {one}' for one in chosen)}"

    def initialise(self) -> State:
        """Builds the model anew; its initial state."""
        self._model = None
        return State(capture(self.model))

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
        if not offered:
            raise UsageError(
                "offers no weight to prune under these settings",
                where=self._called(),
                mend="Give other --set options or another --model.",
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

    def dense_flops(self) -> DenseFlops:
        """FLOPs of the dense model on the task's example, counted once."""
        if self._flops is None:
            example = to_device(self.task.task.example(), self.environment.device)
            self._flops = dense_flops(self.model, lambda: self.task.task.forward(self.model, example))
        return self._flops

    # States

    def load(self, path: Path) -> State:
        """A stored state, on the device."""
        return load(path, self.environment.device)

    def save(self, key: str, state: State, *, partial: bool = False) -> None:
        """Stores a state."""
        self.store.put_state(key, lambda path: save(state, path), partial=partial)
