"""Tasks on their embedded samples with models of a few hundred weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from bench import registry
from bench.data import Memory
from bench.plan import presets_of
from tasks.base import Task

SMALL: dict[str, tuple[str, str | None, dict[str, Any]]] = {
    "mnist": ("mnist", None, {}),
    "cifar10": ("cifar10", "conv", {"width": 4}),
    "an embedding bag": ("ag-news", None, {"embedding_size": 8}),
    "an encoder of texts": ("ag-news", "transformer", {"d_model": 16, "d_ff": 16, "heads": 2, "layers": 1}),
    "translation": (
        "multi30k",
        "pre-norm",
        {"d_model": 16, "d_ff": 16, "heads": 2, "layers": 1, "decoder_layers": 1, "max_output": 8},
    ),
    "docids of several lengths": (
        "msmarco-dsi",
        None,
        {"docids": "semantic", "d_model": 16, "d_ff": 16, "layers": 1, "decoder_layers": 1, "heads": 2},
    ),
    "reranking": ("msmarco-rerank", "conv-knrm", {"d_model": 16}),
    "retrieval term by term": (
        "msmarco-rerank",
        "conformer-kernel",
        {"d_model": 16, "heads": 2, "d_ff": 16, "retrieval": "full"},
    ),
    "dual encoders": ("dense-retrieval", None, {"tied": False}),
    "a quantised index": ("dense-retrieval", None, {"index": "jpq", "train": "both"}),
}
"""Task, model and options that make it small, by what is tried."""


def opened(case: str) -> Task:
    """The task of this case."""
    name, model, options = SMALL[case]
    kind = registry.task(name)
    chosen = replace(presets_of(kind, model)["smoke"].options, **options)
    return kind(Memory(name, kind.sample()), chosen)


def built(task: Task, seed: int = 3) -> nn.Module:
    """Its model, drawn from ``seed``, without dropout."""
    torch.manual_seed(seed)
    return task.build(seed).eval()
