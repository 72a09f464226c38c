"""The docid trie of a collection of MS MARCO's size: what it takes to build, and what it adds to beam search."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.msmarco_dsi import decode
from tasks.msmarco_dsi.decode import Beams
from tasks.msmarco_dsi.docids import trie
from tests.perf.trie import naive

pytestmark = pytest.mark.slow

PASSAGES = 8_841_823
QUERIES, BEAMS, TOKENS = 32, 10, 16


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize("kind", ["naive", "semantic"])
def test_the_trie_of_all_passages_is_a_few_sorts_and_a_half_of_the_memory_allowed(kind: str, capsys: Any) -> None:
    """At most 2 minutes and 1 GB are asked for. 20 stable sorts of 8.8 M integers take no minute anywhere."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.perf.trie", kind],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
    )
    found = json.loads(done.stdout)
    with capsys.disabled():
        print(
            f"\ntrie of 8.8 M {kind} docids: {found['build']:.1f} s, "
            f"{found['build'] / found['sort']:.1f} times a sort, "
            f"peak {found['peak'] / 2**20:.0f} MiB, held {found['bytes'] / 2**20:.0f} MiB, {found['nodes']:,} nodes"
        )
    assert found["nodes"] >= PASSAGES
    assert found["build"] <= 20 * found["sort"]
    assert found["peak"] <= 512 * 2**20
    assert found["bytes"] <= found["peak"]


def seconds(work: Callable[[], object]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start


def test_a_constrained_step_of_beam_search_costs_no_tenth_more_than_a_free_one(benchmark: Any, capsys: Any) -> None:
    """A decoder of T5-small's shape, 32 queries x 10 beams, at the fourth digit of 8.8 M docids."""
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=32_128, d_model=512, d_kv=64, d_ff=2_048, num_layers=6, num_heads=8, decoder_start_token_id=0
    )
    torch.manual_seed(0)
    model = T5ForConditionalGeneration(config).eval()
    query = torch.arange(QUERIES).repeat_interleave(BEAMS)
    encoded, mask = torch.randn(QUERIES, TOKENS, 512), torch.ones(QUERIES, TOKENS, dtype=torch.long)
    last = torch.randint(10, (len(query),))
    ladder = decode.levels(trie(naive(PASSAGES) + 3), torch.device("cpu"))
    prefixes = len(ladder[2].tokens)
    held = Beams(query, torch.randint(prefixes, (len(query),)), torch.zeros(len(query)))

    def step() -> tuple[Any, torch.Tensor]:
        cache = decode.empty()
        return cache, decode.step(model, encoded, mask, held, cache, last)

    def constrained() -> None:
        cache, logp = step()
        parent, found = decode.extensions(ladder[3], held, logp)
        best = decode.chosen(found, QUERIES, BEAMS)
        assert len(best) == len(query)
        decode.selected(cache, parent[best])

    def free() -> None:
        cache, logp = step()
        best = (logp + held.score[:, None]).view(QUERIES, -1).topk(BEAMS).indices
        rows = best // logp.shape[1] + BEAMS * torch.arange(QUERIES)[:, None]
        decode.selected(cache, rows.flatten())

    with torch.no_grad():
        free()
        turns = [(seconds(free), seconds(constrained)) for _ in range(4)]
        benchmark.pedantic(constrained, rounds=1)
    without, within = (min(side) for side in zip(*turns, strict=True))
    with capsys.disabled():
        print(f"\na constrained step of beam search takes {within / without:.2f} times a free one ({within:.2f} s)")
    assert within <= 1.10 * without
