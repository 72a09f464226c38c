"""Small reranking tasks for the tests of this folder."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from bench.data import Memory
from tasks.msmarco_rerank import MsMarcoRerank, Options
from tasks.msmarco_rerank.presets import SMOKE

TINY = replace(SMOKE["bert"].options, d_model=16, d_ff=16, heads=2, filters=8, groups=4, kernel=5, layers=1)

COLLECTION = (
    b"10\tred fox jumps\n11\tred dog sleeps\n12\tblue whale swims\n13\tblue fox\n14\tred fox jumps\n15\tgreen frog\n"
)
TOY = {
    "collection.tsv": COLLECTION,
    "queries.train.tsv": b"1\tred fox\n2\tblue whale\n3\tred  DOG\n",
    "qrels.train.tsv": b"1\t0\t10\t1\n2\t0\t12\t1\n3\t0\t11\t1\n",
    "queries.dev.small.tsv": b"20\tred dog\n21\tgreen frog\n",
    "qrels.dev.small.tsv": b"20\t0\t11\t1\n21\t0\t15\t1\n",
    "run.dev.small.bm25.top20.trec": b"20 Q0 10 1 3 bm25\n20 Q0 11 2 2 bm25\n",
    "msmarco-test2019-queries.tsv": b"30\tblue fox\n31\tpurple cow\n32\tunjudged query\n",
    "2019qrels-pass.txt": b"30 Q0 13 3\n30 Q0 12 1\n30 Q0 999 2\n31 Q0 15 2\n",
    "run.msmarco-test2019.bm25.top100.trec": b"30 Q0 12 1 2.0 bm25\n30 Q0 13 2 1.0 bm25\n32 Q0 10 1 1.0 bm25\n",
}
"""Passage 14 reads as 10 does; train query 3 reads as dev query 20; 999 is judged and not in the collection; the runs
lack queries 21 and 31."""


def sampled(**changes: Any) -> MsMarcoRerank:
    return MsMarcoRerank(Memory("msmarco-rerank", MsMarcoRerank.sample()), replace(TINY, **changes))


def toy(files: dict[str, bytes] | None = None, **changes: Any) -> MsMarcoRerank:
    options: Options = replace(TINY, **changes)
    return MsMarcoRerank(Memory("msmarco-rerank", {**TOY, **(files or {})}), options)


def built(task: MsMarcoRerank, spread: float = 0.3) -> Any:
    """The model in eval mode, its weights moved away from their initial ones."""
    torch.manual_seed(3)
    model = task.build(3)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * spread)
        for module in model.modules():
            if isinstance(module, torch.nn.Embedding) and module.padding_idx is not None:
                module.weight[module.padding_idx] = 0  # training leaves it there: it has no gradient
    return model.eval()
