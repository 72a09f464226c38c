"""What an ``Evaluate`` leaves: the record of a cell, the files beside it, and what the clock says of its model."""

from __future__ import annotations

import gzip
import io
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save as save_arrays
from torch import Tensor

from bench import ranks
from bench.errors import CellError
from bench.masks.exact import digest, kept, verify
from bench.masks.structures import facts, offered, slack
from bench.measure.flops import effective_flops
from bench.measure.size import compressed_bytes, dense_bytes
from bench.provenance import provenance
from bench.record import Layer, Record
from bench.state import State, live_tensors, restore
from bench.steps import AdaptiveCut, Cut, Evaluate, describe, excluded, stretches
from bench.train import to_device
from bench.tree import Cell
from bench.workbench import Workbench
from tasks.base import Evaluation


def evaluate(bench: Workbench, cell: Cell, step: Evaluate, state: State) -> tuple[Record, State]:
    """The record of a finished cell; its files are in the store."""
    began = time.perf_counter()
    restore(bench.model, state.weights)
    structure = bench.structure(cell.pruner.structure, excluded(cell.path))
    prunable = offered(structure, bench.prunable(excluded(cell.path)))
    verify(
        prunable,
        state.masks,
        _expected(cell, prunable, state),
        slack=slack(structure) if state.masks else 0,
        coupled=dict(bench.model.named_parameters()),
    )
    evaluation = found_by(bench, cell.key, step, state)
    bad = [name for name, value in evaluation.metrics.items() if not math.isfinite(value)]
    if bad:
        raise CellError(f"the metric {bad[0]} is {evaluation.metrics[bad[0]]}", where=f"{cell.task.name}")
    record = replace(
        blank(bench, cell),
        status="done",
        **_sizes(bench, state, prunable),
        metrics=dict(evaluation.metrics),
        n=evaluation.n,
        train_steps=state.train_steps,
        trace=state.trace,
        files=_files(bench, cell.key, evaluation),
        notes={**evaluation.notes, **facts(structure, state.masks), **_family(bench)},
    )
    return record, state.spent("Evaluate", time.perf_counter() - began)


def found_by(bench: Workbench, key: str, step: Evaluate, state: State) -> Evaluation:
    """What the task's evaluation finds of the state's model, which is the live one then; all processes of a team share
    the work out."""
    model = bench.model
    with ranks.together(key, State(state.weights)):
        if ranks.follows():  # rank 0 has restored and verified it
            restore(model, state.weights)
        model.eval()
        with torch.no_grad(), bench.environment.autocast():
            return bench.task.task.evaluate(model, step.split)


def measure(bench: Workbench, state: State, kinds: Sequence[str]) -> dict[str, Any]:
    """What the clock says of the state's model, by kind; the model stands as ``evaluate`` left it."""
    from bench.measure.latency import measure

    task, device = bench.task.task, bench.environment.device
    measured = {}
    for asked in kinds:
        kind, _, size = asked.partition(":")
        batch = next(task.batches("test", seed=0, size=int(size))) if size else task.example()
        with bench.environment.autocast():
            found = measure(task, bench.model, state.masks, to_device(batch, device), device)
        measured[kind] = {"asked": asked, **found}
    return measured


def blank(bench: Workbench, cell: Cell) -> Record:
    """The record of a cell before anything of it was measured."""
    task = bench.task
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
        options=task.options,
        path=[describe(step) for step in cell.path],
        data=task.data,
        provenance=provenance(bench.environment.device, bench.environment.dtype),
        metric_info=[asdict(metric) for metric in task.task.metrics],
        task_notes=tuple(task.task.notes),
        train_steps=sum(stretches(cell.path)),
    )


def _sizes(bench: Workbench, state: State, prunable: Mapping[str, Tensor]) -> dict[str, Any]:
    """Counts of weights, FLOPs and bytes."""
    modules = dict(bench.model.named_modules())
    dense = bench.dense_flops()
    layers = tuple(
        Layer(
            name,
            type(modules[name.rpartition(".")[0]]).__name__,
            weight.numel(),
            int(state.masks[name].sum()) if name in state.masks else weight.numel(),
            dense.layers[name][1] if name in dense.layers else None,
        )
        for name, weight in prunable.items()
    )
    parameters = sum(parameter.numel() for parameter in bench.model.parameters())
    size, kept = sum(layer.size for layer in layers), sum(layer.kept for layer in layers)
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
        "dense_bytes": dense_bytes(live_tensors(bench.model)),
        "compressed_bytes": compressed_bytes(state.weights, state.masks),
    }


def _family(bench: Workbench) -> dict[str, str]:
    family = getattr(bench.task.task, "family", "")
    return {"family": family} if family else {}


def _files(bench: Workbench, key: str, evaluation: Evaluation) -> dict[str, str]:
    """Stores per-example values and the task's own files; kind to file name."""
    names = {}
    if evaluation.examples:
        arrays = {name: np.asarray(values, dtype=np.float32) for name, values in evaluation.examples.items()}
        names["examples"] = bench.store.put_file(key, "examples", save_arrays(arrays), ".safetensors")
    for kind, text in evaluation.files.items():
        names[kind] = bench.store.put_file(key, kind, _compress(text), ".gz")
    return names


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
