"""The contract of a task, checked on its embedded sample with the preset for it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from bench import registry
from bench.checks.finding import Finding, examine, require
from bench.checks.model import require_unchanged, snapshot
from bench.data import Memory
from bench.ranks import part_of
from bench.steps import Schedule
from tasks.base import Metric, Preset, Task

if TYPE_CHECKING:
    from torch import Tensor, nn

    from tasks.base import Batch

HEAVY = ("torch", "transformers", "scipy", "matplotlib")
NOT_MEANS = "not_means"
OF_A_PART = "examples_of_a_part"
"""An evaluation's note with the names of metrics that are no mean of their per-example values (BLEU of a corpus)."""
SAID = ("name", "title", "version", "dataset", "required", "metrics", "presets", "notes")


def check_task(plug_in: str | type[Task]) -> list[Finding]:
    """Findings on a task, given by registered name or as its class; minutes where its smoke preset's evaluation is.

    Raises ``UsageError`` for a name that is unknown or does not load.
    """
    kind = registry.load("tasks", plug_in) if isinstance(plug_in, str) else plug_in
    first = examine("it says its name, version, data set, metrics and presets", lambda: _says(kind))
    if not first.ok:
        return [first]
    opened = examine("its embedded sample opens, the same bytes each time", lambda: _sample(kind))
    if not opened.ok:
        return [first, opened]
    again = partial(_open, kind, kind.sample())
    checks: list[tuple[str, Callable[[Callable[[], Task]], None]]] = [
        ("it names its data by the same digest each time", _identity),
        ("its training batches are a function of seed and number, wherever they start", _batches),
        ("its model is the same from the same seed", _built),
        ("its example is one example", _example),
        ("its model computes in float64 as well, as SynFlow needs", _double),
        ("its prunable names are weights of the model, and no bias or norm", _prunable),
        ("its loss has a first and a second derivative", _loss),
        ("the parts that it divides its training batches into have their loss", _parts),
        ("its evaluation is the same each time and leaves the model as it was", _evaluation),
        ("its per-example values average to its metrics", _means),
        ("options that only the evaluation depends upon are its own", _options),
    ]
    light = examine("it says what data it stands on without importing anything heavy", lambda: _light(kind))
    return [first, opened, light, *(examine(check, partial(work, again)) for check, work in checks)]


def _preset(kind: type[Task]) -> Preset:
    return kind.presets.get("smoke") or next(iter(kind.presets.values()))


def _open(kind: type[Task], sample: Mapping[str, bytes]) -> Task:
    return kind(Memory(kind.name, sample), _preset(kind).options)


# Without a model


def _says(kind: Any) -> None:
    for name in SAID:
        require(hasattr(kind, name), f"it has no {name!r}")
    require(type(kind.version) is int, f"its version is {kind.version!r}, where a whole number belongs")
    require(bool(kind.metrics), "it has no metrics")
    require(all(isinstance(metric, Metric) for metric in kind.metrics), "its metrics are not all of class Metric")
    names = [metric.name for metric in kind.metrics]
    require(len(set(names)) == len(names), f"two of its metrics have one name: {names}")
    require("smoke" in kind.presets, "it has no preset 'smoke', which the embedded sample runs with")
    for name, preset in kind.presets.items():
        frozen = is_dataclass(preset.options) and getattr(preset.options, "__dataclass_params__").frozen  # noqa: B009
        require(frozen, f"the options of preset {name!r} are no frozen dataclass")
        require(
            isinstance(preset.train, Schedule) and isinstance(preset.recover, Schedule),
            f"preset {name!r} lacks a schedule",
        )
        apart = preset.train.stream != preset.recover.stream
        require(apart, f"recovery of preset {name!r} sees training's batches: give it a stream of its own")


def _sample(kind: type[Task]) -> None:
    one, other = kind.sample(), kind.sample()
    require(dict(one) == dict(other), "two calls of sample() give different bytes")
    missing = [name for name in kind.required if name not in one]
    require(not missing, f"the sample lacks {missing}, which the task requires")
    task = _open(kind, one)
    require(task.examples() > 0, f"it has {task.examples()} training examples")


def _light(kind: type[Task]) -> None:
    code = (
        "import sys, importlib; from bench.data import Memory\n"
        f"kind = getattr(importlib.import_module({kind.__module__!r}), {kind.__qualname__!r})\n"
        f"preset = kind.presets.get('smoke') or next(iter(kind.presets.values()))\n"
        "task = kind(Memory(kind.name, kind.sample()), preset.options)\n"
        "task.identity(); task.examples()\n"
        f"print(*[name for name in {HEAVY!r} if name in sys.modules])"
    )
    surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=surroundings, check=False)
    last = (done.stderr.strip().splitlines() or ["no word"])[-1]
    require(done.returncode == 0, f"in a process of its own it fails: {last}")
    require(not done.stdout.strip(), f"it imports {done.stdout.strip()}: import such things inside the methods")


def _identity(again: Callable[[], Task]) -> None:
    one, other = again().identity(), again().identity()
    require(one == other, "two openings of the same sample differ in identity()")
    require(len(one.digest) == 64 and set(one.digest) <= set("0123456789abcdef"), f"{one.digest!r} is no SHA-256")
    require(one.kind == "sample", f"it calls its embedded sample {one.kind!r}")
    require(all(isinstance(count, int) for count in one.counts.values()), f"its counts are {dict(one.counts)}")


def _batches(again: Callable[[], Task]) -> None:
    def batches(seed: int, start: int, number: int) -> list[Batch]:
        return list(islice(again().batches("train", seed=seed, size=4, start=start), number))

    task = again()
    ahead = -(-task.examples() // 4)  # so that the second stretch crosses into a second epoch
    for start, number in ((0, 5), (max(0, ahead - 2), 5)):
        whole = batches(1, start, number)
        require(len(whole) == number, "its training batches come to an end, where they must be endless")
        require(_same(whole, batches(1, start, number)), "two passes at one seed give different batches")
        later = batches(1, start + 2, number - 2)
        require(_same(whole[2:], later), "a pass that starts later gives other batches than one that comes by")
    require(not _same(batches(1, 0, 5), batches(2, 0, 5)), "two seeds give the same batches")


def _same(one: list[Batch], other: list[Batch]) -> bool:
    return len(one) == len(other) and all(
        left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)
        for left, right in zip(one, other, strict=True)
    )


# With a model


def _model(task: Task) -> nn.Module:
    torch.manual_seed(11)
    return task.build(11)


def _built(again: Callable[[], Task]) -> None:
    one, other = (dict(_model(again()).state_dict()) for _ in range(2))
    require(one.keys() == other.keys(), "two models have different parameters")
    for name, tensor in one.items():
        require(torch.equal(tensor, other[name]), f"two models from one seed differ in {name!r}")


def _example(again: Callable[[], Task]) -> None:
    task = again()
    model = _model(task).eval()
    with torch.no_grad():
        outputs = task.forward(model, task.example())
    require(len(outputs) == 1, f"its outputs have {len(outputs)} rows, one an example")


def _double(again: Callable[[], Task]) -> None:
    task = again()
    model = _model(task).eval().double()
    example = {
        name: values.double() if values.is_floating_point() else values for name, values in task.example().items()
    }
    with torch.no_grad():
        outputs = task.forward(model, example)
    require(outputs.dtype == torch.float64, f"its outputs are {outputs.dtype} where weights and example are float64")


def _prunable(again: Callable[[], Task]) -> None:
    task = again()
    model = _model(task)
    names = list(task.prunable(model))
    parameters = dict(model.named_parameters())
    require(bool(names), "it offers nothing to prune")
    require(len(set(names)) == len(names), "it offers a name twice")
    for name in names:
        require(name in parameters, f"{name!r} is no parameter of the model")
        owner = model.get_submodule(name.rpartition(".")[0])
        require(not name.endswith("bias") and parameters[name].dim() > 1, f"{name!r} is no weight matrix or kernel")
        require("norm" not in type(owner).__name__.lower(), f"{name!r} belongs to a {type(owner).__name__}")
    require(names == [name for name in parameters if name in names], "the names are not in the model's order")


def _loss(again: Callable[[], Task]) -> None:
    task = again()
    model = _model(task).eval()
    parameters = dict(model.named_parameters())
    weights = [parameters[name] for name in task.prunable(model)]
    batch = next(iter(task.batches("train", seed=1, size=4)))
    with sdpa_kernel(SDPBackend.MATH):
        loss = task.loss(task.forward(model, batch), batch)
        require(loss.dim() == 0, f"it has shape {tuple(loss.shape)}, where one number belongs")
        require(bool(torch.isfinite(loss.detach())), f"it is {float(loss.detach())}")
        require(loss.requires_grad, "it has no gradient")
        first = _derived(loss, weights, "first")
        squares = torch.stack([(slope * slope).sum() for slope in first]).sum()
        require(bool(squares > 0), "its gradient is zero in every prunable weight")
        require(squares.requires_grad, "its gradient has no gradient: an operation cuts the graph")
        second = _derived(squares, weights, "second")
    require(all(bool(torch.isfinite(part).all()) for part in second), "its second derivative is NaN or infinite")


def _parts(again: Callable[[], Task]) -> None:
    task = again()
    if not hasattr(task, "part"):
        return
    model = _model(task).eval()
    batch = next(iter(task.batches("train", seed=1, size=5)))
    with torch.no_grad():
        whole = float(task.loss(task.forward(model, batch), batch))
        parts = [(part, weight) for number in range(3) for part, weight in [part_of(task, batch, number, 3)] if weight]
        losses = [float(task.loss(task.forward(model, part), part)) for part, _ in parts]
    total = sum(weight for _, weight in parts)
    require(abs(total - 1) < 1e-6, f"the weights of the parts sum to {total}, where 1 belongs")
    summed = sum(weight * loss for (_, weight), loss in zip(parts, losses, strict=True))
    close = abs(summed - whole) <= 1e-4 * max(1.0, abs(whole))
    require(close, f"a batch's loss is {whole}, and its parts' losses times their weights sum to {summed}")


def _derived(value: Tensor, weights: Sequence[Tensor], which: str) -> tuple[Tensor, ...]:
    try:
        return torch.autograd.grad(value, weights, create_graph=which == "first", materialize_grads=True)
    except (NotImplementedError, RuntimeError) as error:
        require(False, f"it has no {which} derivative: {str(error).splitlines()[0]}")
        raise


def _evaluation(again: Callable[[], Task]) -> None:
    task = again()
    model = _model(task).eval()
    before = snapshot(model)
    with torch.no_grad():
        one = task.evaluate(model, "test")
        require_unchanged(model, before, "evaluating")
        other = again().evaluate(model, "test")
    declared = {metric.name for metric in task.metrics}
    require(declared <= one.metrics.keys(), f"it does not measure {sorted(declared - one.metrics.keys())}")
    require(one.n > 0, "it evaluates no example")
    for name, value in one.metrics.items():
        require(bool(np.isfinite(value)), f"{name} is {value} at the initial weights")
        require(value == other.metrics[name], f"{name} is {value} and then {other.metrics[name]}")
    same = one.files == other.files and one.notes == other.notes
    require(same, "its files or notes differ from one evaluation to the next")


def _means(again: Callable[[], Task]) -> None:
    task = again()
    model = _model(task).eval()
    with torch.no_grad():
        found = task.evaluate(model, "test")
    require(bool(found.examples), "it gives no per-example values, so that no paired test is possible")
    apart = found.notes.get(NOT_MEANS, ())
    for name, values in found.examples.items():
        most = dict(found.notes.get(OF_A_PART, {})).get(name, found.n)
        fits = values.shape == (most,)
        require(fits, f"{name} has per-example values of shape {values.shape} for {found.n} examples")
        if name in found.metrics and name not in apart:
            mean = float(np.mean(values, dtype=np.float64))
            close = abs(mean - found.metrics[name]) <= 1e-5 * max(1.0, abs(mean))
            require(close, f"{name} is {found.metrics[name]}, and its per-example values average to {mean}")


def _options(again: Callable[[], Task]) -> None:
    task = again()
    own = vars(_preset(type(task)).options)
    for name in task.evaluation_options():
        require(name in own, f"{name!r} is no field of its options")
