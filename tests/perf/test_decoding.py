"""Translating test sentences in batches with a cache, against sentence by sentence without one, as a ratio in one run.

The slow side is the source's way: the sentence is encoded once, then every word computes all earlier ones again.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.data import Folder
from tasks.multi30k import Multi30k
from tasks.multi30k.batches import padded
from tasks.multi30k.decode import Search, translate
from tasks.multi30k.model import Seq2SeqTransformer
from tasks.multi30k.scratch import Scratch
from tasks.multi30k.task import EVALUATION_BATCH
from tasks.multi30k.tokens import BEGIN, END, PAD
from tests.tasks.multi30k.slowly import stepwise

pytestmark = pytest.mark.slow

SLOWLY = 25
"""Sentences that the slow side translates, spread evenly over the lengths; its time is scaled by count."""
ENDS = 11
"""Target position around which translations end: the references have 11.9 words in the mean and their end."""
FASTER = 8
"""Asserted on any machine, however busy. Measured: docs/benchmarks.md."""


def seconds(work: Callable[[], object]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start


def drawn(task: Multi30k) -> Seq2SeqTransformer:
    """The preset's model with drawn weights that ends its translations around ``ENDS``.

    The first place of every state is given to that: a ramp in the position codes that only the end's logit reads.
    """
    torch.manual_seed(0)
    model = task.build(0).eval()
    assert isinstance(model, Seq2SeqTransformer)
    with torch.no_grad():
        model.position_code[:, 0] = 3.0 * (torch.arange(len(model.position_code)) - ENDS)
        model.generator.weight[:, 0] = 0
        model.generator.weight[END] = 0
        model.generator.weight[END, 0] = 10
    return model


@pytest.mark.data
def test_the_test_split_is_translated_many_times_as_fast_as_sentence_by_sentence(
    benchmark: Any, capsys: Any, real_data: Path
) -> None:
    task = Multi30k(Folder(real_data / "multi30k"), Multi30k.presets["small"].options)
    model, route = drawn(task), task._route
    assert isinstance(route, Scratch)
    search = Search(BEGIN, END, task.options.max_output)
    rows = route.rows["test"][0]
    order = np.argsort(np.diff(rows.offsets), kind="stable")
    batches = [
        torch.from_numpy(padded(rows.take(order[place : place + EVALUATION_BATCH]), begin=BEGIN, end=END, pad=PAD))
        for place in range(0, len(order), EVALUATION_BATCH)
    ]
    together: list[list[int]] = []

    def fast() -> None:
        together[:] = [row for batch in batches for row in translate(model, batch, search)]

    chosen = np.linspace(0, len(order) - 1, SLOWLY).astype(int)
    alone = [torch.tensor([BEGIN, *rows.take(order[[number]]).tokens.tolist(), END]) for number in chosen]
    stepwise(model, alone[0], search)
    by_itself: list[list[int]] = []
    slow_one = seconds(lambda: by_itself.extend(stepwise(model, row, search) for row in alone[::2]))
    spent: list[float] = []
    benchmark.pedantic(lambda: spent.append(seconds(fast)), rounds=1)
    slow_two = seconds(lambda: by_itself.extend(stepwise(model, row, search) for row in alone[1::2]))
    slow = (slow_one + slow_two) / SLOWLY * len(order)
    words = sum(map(len, together)) / len(order)
    with capsys.disabled():
        print(
            f"\n{len(order)} sentences, {words:.1f} words each: {spent[0]:.2f} s together, {slow:.0f} s one by one "
            f"(scaled from {SLOWLY}): {slow / spent[0]:.1f} times"
        )
    assert by_itself == [together[number] for number in (*chosen[::2], *chosen[1::2])]
    assert 9 < words < 16
    assert slow > FASTER * spent[0]
