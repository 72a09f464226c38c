"""The final model of a finished cell, in files that others can load.

    model.safetensors        all tensors, masked weights zero: ``load_state_dict``, and with ``config.json`` beside it
                             ``from_pretrained`` where the model is one of transformers'
    encoder_config.json      where one of transformers' is a part of the model: that one's configuration
    tokenizer.json, ...      the checkpoint's tokenizer, as its library reads it, where the cell began with a checkpoint
    masks.safetensors        one bit a weight, most significant first; the shapes stand in the metadata
    compressed.safetensors   the compressed form (``bench.measure.size``): its size is the record's ``compressed_bytes``
    compact.safetensors      where units were removed: the smaller model (``bench.masks.compact.load``)
    record.json              the cell's record

The weights of a finished cell are not kept: they are computed again from the nearest stored state, and the masks'
digest says whether they are the same.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from bench import ranks
from bench.errors import BenchError, StoreError, UsageError
from bench.executors.base import Listener
from bench.executors.segments import divide
from bench.executors.walk import Walk
from bench.masks import compact
from bench.masks.exact import digest
from bench.masks.structures import couplings
from bench.masks.units import kept_units
from bench.measure.size import pack, unpack
from bench.rebuild import plan_of
from bench.record import Record, dumps, loads
from bench.state import State, live_tensors, own_memory, restore
from bench.store import Store

if TYPE_CHECKING:
    from bench.tree import Plan
    from bench.workbench import Workbench
    from tasks.base import Task


TOKENIZER_FILES = frozenset(
    {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json"}
    | {"vocab.txt", "merges.txt", "spiece.model", "sentencepiece.bpe.model", "source.spm", "target.spm"}
)
"""Names under which the tokenizers of transformers save themselves."""
INNER = "encoder_config.json"
"""Not ``config.json``: ``from_pretrained`` would find none of its tensors by their names, and draw them."""
FILES = TOKENIZER_FILES | {
    INNER,
    *("model.safetensors", "config.json", "generation_config.json", "masks.safetensors", "compressed.safetensors"),
    *("compact.safetensors", "record.json"),
}
"""All that an export may consist of."""


def export(
    store: Store,
    record: Record,
    folder: Path,
    listener: Listener,
    *,
    data: str | None = None,
    model: str | None = None,
    device: torch.device | None = None,
    force: bool = False,
    trusted: bool = False,
) -> dict[str, int]:
    """Writes the files of the record's cell into ``folder``; returns their sizes in bytes by name.

    Raises ``UsageError`` for a cell that failed or a folder that holds something (without ``force``), ``StoreError``
    where the model computed again is not the record's.
    """
    if record.status != "done":
        raise UsageError("has no model: it failed", where=f"cell {record.key[:12]}", mend="Mend the cause, run again.")
    check_folder(folder, force)
    bench, state = final_state(store, record, listener, data, model, device, trusted)
    found = digest(state.masks)
    if found != record.mask_digest:
        raise StoreError(
            f"the masks computed again (digest {found[:12]}) are not the record's ({str(record.mask_digest)[:12]})",
            where=f"cell {record.key[:12]}",
            mend="Use the device, threads and package versions of the record's provenance ('bench show KEY').",
        )
    restore(bench.model, state.weights)
    bench.model.eval()
    files = {**_model_files(bench), **_mask_files(bench, state), "record.json": dumps(record).encode()}
    if len(files["compressed.safetensors"]) != record.compressed_bytes:
        raise StoreError(
            f"the compressed form takes {len(files['compressed.safetensors'])} bytes, the record says "
            f"{record.compressed_bytes}",
            where=f"cell {record.key[:12]}",
            mend="Use the package versions of the record's provenance.",
        )
    _write(folder, files)
    return {name: len(content) for name, content in files.items()}


def check_folder(folder: Path, force: bool) -> None:
    """Raises ``UsageError`` where ``folder`` is a file, or holds something and ``force`` is not given."""
    if folder.exists() and not folder.is_dir():
        raise UsageError("is a file", where=f"--to {folder}", mend="Give a folder.")
    if not force and folder.is_dir() and any(folder.iterdir()):
        raise UsageError(
            "is not empty", where=f"--to {folder}", mend="Give another folder, or --force to write into it."
        )


def final_state(
    store: Store,
    record: Record,
    listener: Listener,
    data: str | None = None,
    model: str | None = None,
    device: torch.device | None = None,
    trusted: bool = False,
) -> tuple[Workbench, State]:
    """The state that the record was measured on, computed from the nearest one that is stored.

    Raises ``StoreError`` where it must be computed and was by another number of processes than there are now.
    """
    plan = ranks.agreed(lambda: plan_of(record, data, model, trusted), lambda plan: plan.cells[0].key)
    dtype = getattr(torch, str(record.provenance.get("dtype", "float32")))
    place = device or torch.device(str(record.provenance.get("device", "cpu")))
    if ranks.follows():
        ranks.follow(plan, dtype)
        raise SystemExit(0)
    _check_processes(plan, store, record)
    return Walk(divide(plan, lambda key: True), store, place, dtype, listener).final(plan.roots[0])


def _check_processes(plan: Plan, store: Store, record: Record) -> None:
    made = int(record.provenance.get("processes", 1))
    (last,) = (node.parent for node in plan.roots[0].node.walk() if node.cell is not None)
    if made != ranks.size() and (last is None or store.state(last.key) is None):
        launcher = f"torchrun --nproc-per-node {made} -m bench" if made > 1 else "bench"
        raise StoreError(
            f"was computed by {made} process{'es' if made > 1 else ''}, and would be another model by {ranks.size()}",
            where=f"cell {record.key[:12]}",
            mend=f"Start this with '{launcher} ...'.",
        )


def load(
    folder: Path, data: str | None = None, model: str | None = None, trusted: bool = False
) -> tuple[Task, nn.Module]:
    """The exported model, in eval mode, with its units removed where some were; and its task, opened on its data, whose
    ``batches``, ``forward`` and ``evaluate`` go with it.

    ``data`` as ``--data`` takes it, ``model`` the folder of the checkpoint where the cell began with one, ``trusted``
    whether code in it may run. Raises ``BenchError`` where the data or prunebench is not what the model was made with.
    """
    record = loads((folder / "record.json").read_text(encoding="utf-8"))
    task = plan_of(record, data, model, trusted).roots[0].task.task
    built = task.build(0)
    smaller = folder / "compact.safetensors"
    if smaller.is_file():
        return task, compact.load(smaller, built, couplings(task, built), task).eval()
    shapes = {name: tensor.shape for name, tensor in live_tensors(built).items()}
    restore(built, unpack(load_file(folder / "compressed.safetensors"), shapes))
    return task, built.eval()


def load_masks(path: Path) -> dict[str, Tensor]:
    """The masks in a ``masks.safetensors``: boolean, True = kept, by name."""
    with safe_open(path, framework="pt") as file:
        shapes = json.loads(file.metadata()["shapes"])
        bits = {name: file.get_tensor(name).numpy() for name in shapes}
    return {
        name: torch.from_numpy(np.unpackbits(bits[name], count=int(np.prod(shape))).astype(bool)).reshape(shape)
        for name, shape in shapes.items()
    }


def _model_files(bench: Workbench) -> dict[str, bytes]:
    """The dense form, and the configuration of a model that has one."""
    portable = getattr(bench.task.task, "portable", None)
    model: Any = portable(bench.model) if portable is not None else bench.model
    files = {"model.safetensors": save(own_memory(_on_cpu(model.state_dict())), metadata={"format": "pt"})}
    inner = next((module for module in model.modules() if hasattr(module, "save_pretrained")), None)
    if inner is not None:
        config = copy.deepcopy(inner.config)
        config.architectures = [type(inner).__name__]
        files["config.json" if inner is model else INNER] = config.to_json_string().encode()
    generation = getattr(model, "generation_config", None)
    if generation is not None:
        files["generation_config.json"] = generation.to_json_string().encode()
    return {**files, **_tokenizer_files(bench.task.task)}


def _tokenizer_files(task: Task) -> dict[str, bytes]:
    checkpoint = getattr(task, "checkpoint", lambda: None)()
    if checkpoint is None:
        return {}
    return {path.name: path.read_bytes() for path in checkpoint.folder.iterdir() if path.name in TOKENIZER_FILES}


def _mask_files(bench: Workbench, state: State) -> dict[str, bytes]:
    """Masks, compressed form and, where units are gone, the compact form."""
    bits = {
        name: torch.from_numpy(np.packbits(mask.cpu().contiguous().numpy().reshape(-1)))
        for name, mask in state.masks.items()
    }
    shapes = json.dumps({name: list(mask.shape) for name, mask in state.masks.items()})
    files = {
        "masks.safetensors": save(bits, metadata={"shapes": shapes}),
        "compressed.safetensors": save(own_memory(_on_cpu(pack(state.weights, state.masks)))),
    }
    smaller = _compact(bench.model, state.masks, bench)
    return files if smaller is None else {**files, "compact.safetensors": smaller}


def _compact(model: nn.Module, masks: Mapping[str, Tensor], bench: Workbench) -> bytes | None:
    units = couplings(bench.task.task, model)
    kept = kept_units(masks, units)
    if all(bool(there.all()) for there in kept.values()):
        return None
    return compact.file_of(compact.without(model, kept, units, bench.task.task), kept)


def _on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.cpu() for name, tensor in tensors.items()}


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Writes all files beside the folder first, so that it never holds half of them."""
    scratch = folder.with_name(f"{folder.name}.writing-{os.getpid()}")
    try:
        scratch.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (scratch / name).write_bytes(content)
        folder.mkdir(parents=True, exist_ok=True)
        for name in files:
            (scratch / name).replace(folder / name)
        for name in FILES - files.keys():  # of another cell, written here before
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise BenchError(
            f"cannot be written ({error.strerror or error})", where=f"--to {folder}", mend="Give another folder."
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
