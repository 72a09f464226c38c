"""Speed of reranking, as ratios within one run, on the real data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.data import Folder
from bench.settings import override
from tasks.msmarco_rerank import MsMarcoRerank, postings, scoring
from tasks.msmarco_rerank.presets import presets_of

SIZES = {"d_model": "128", "layers": "2", "heads": "4", "d_ff": "256"}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def opened(real_data: Path, **settings: str) -> tuple[MsMarcoRerank, Any]:
    preset = override(presets_of(settings["model"])["small"], {**settings, "dev_queries": "0"})
    task = MsMarcoRerank(Folder(real_data / "msmarco-passage"), preset.options)
    torch.manual_seed(0)
    return task, task.build(0).eval()


def seconds(work: Callable[[], object]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start


@pytest.mark.data
@pytest.mark.slow
def test_length_buckets_are_nearly_twice_as_fast_as_padding_to_the_longest(
    real_data: Path, benchmark: Any, capsys: Any
) -> None:
    """The DL 2019 pool, 4,300 pairs of a cross-encoder of 2 layers: batches of 32 in the run's order, each padded
    to the pool's longest pair, against the buckets of an evaluation."""
    task, model = opened(real_data, model="bert", evaluate="dl2019", **SIZES)
    _, texts, form = task._read
    pairs, queries = task._pairs(task._candidates["dl2019"]), texts.judged["dl2019"]
    limit, cpu = task.options.length, torch.device("cpu")
    asked, answers = queries.take(pairs[:, 0]), texts.passages.take(pairs[:, 1])
    longest = int(form.lengths(asked, answers, limit).max())
    spent: dict[str, float] = {}
    found: dict[str, np.ndarray] = {}

    def bucketed() -> None:
        found["buckets"] = scoring.scores(lambda b: model(**b), form, queries, texts.passages, pairs, limit, cpu)

    def padded() -> None:
        parts = []
        with torch.no_grad():
            for first in range(0, len(pairs), 32):
                rows = np.arange(first, min(first + 32, len(pairs)))
                made = form.matrices(asked.take(rows), answers.take(rows), limit, width=longest)
                parts.append(model(**{name: torch.from_numpy(matrix) for name, matrix in made.items()}).numpy())
        found["padded"] = np.concatenate(parts)

    benchmark.pedantic(lambda: spent.update(buckets=seconds(bucketed)), rounds=1)
    spent["padded"] = seconds(padded)
    ratio = spent["padded"] / spent["buckets"]
    with capsys.disabled():
        print(f"\nreranking {len(pairs)} pairs of up to {longest} tokens: buckets are {ratio:.2f} times as fast")
    np.testing.assert_allclose(found["buckets"], found["padded"], atol=1e-4)
    assert ratio >= 1.8


@pytest.mark.data
@pytest.mark.slow
def test_posting_lists_beat_scoring_pair_by_pair(real_data: Path, benchmark: Any, capsys: Any) -> None:
    """Conformer-Kernel as the preset has it (NDRM3, width 256) for the 779 dev queries over the sample collection. What
    posting lists cost is measured on every 60th passage, and what a pair costs on 600 pairs of those, drawn at random
    and scored in length buckets; both are then scaled up to the whole collection."""
    task, model = opened(real_data, model="conformer-kernel", evaluate="dev", candidates="bm25")
    _, texts, form = task._read
    limit, every = task.options.length, 60
    queries, passages = texts.judged["dev"], texts.passages.take(np.arange(0, len(texts.passages), every))
    generator = np.random.default_rng(0)
    pairs = np.stack([generator.integers(len(rows), size=600) for rows in (queries, passages)], axis=1)
    spent: dict[str, float] = {}
    found: dict[str, np.ndarray] = {}

    def lists() -> None:
        found["lists"] = postings.retrieve(model, queries, passages, None, limit)

    def one_by_one() -> None:
        cpu = torch.device("cpu")
        found["pairs"] = scoring.scores(lambda b: model(**b), form, queries, passages, pairs, limit, cpu)

    benchmark.pedantic(lambda: spent.update(lists=seconds(lists)), rounds=1)
    spent["pairs"] = seconds(one_by_one)
    whole = len(queries) * len(passages)
    ratio = spent["pairs"] * whole / len(pairs) / spent["lists"]
    with capsys.disabled():
        print(
            f"\nfull retrieval, {len(queries)} queries x {len(texts.passages)} passages (timed on one in {every}, "
            f"pairs on {len(pairs)}): posting lists are {ratio:.0f} times as fast as pair by pair"
        )
    np.testing.assert_allclose(found["lists"][pairs[:, 0], pairs[:, 1]], found["pairs"], rtol=1e-5, atol=1e-5)
    assert ratio >= 50
