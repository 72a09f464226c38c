"""A small search index on the embedded sample, for the tests of this folder."""

from __future__ import annotations

from typing import Any

import torch

from bench.data import Memory
from tasks.msmarco_dsi import MsMarcoDsi, Options

TINY = Options(passages=0, vocabulary=500, input_length=8, d_model=16, heads=2, d_ff=16, layers=1)


def sample() -> Memory:
    return Memory("msmarco-dsi", MsMarcoDsi.sample())


def opened(options: Options = TINY) -> tuple[MsMarcoDsi, Any]:
    task = MsMarcoDsi(sample(), options)
    torch.manual_seed(3)
    model = task.build(3)
    with torch.no_grad():
        for weight in model.parameters():  # far from the near-uniform scores of a fresh model
            weight.add_(torch.randn_like(weight) * 0.3)
    return task, model.eval()
