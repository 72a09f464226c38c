"""The task opened on its sample or on given lines, and a model of it after some training."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import islice

import torch

from bench.data import Memory
from tasks.multi30k import Multi30k, Multi30kOptions
from tasks.multi30k.model import Seq2SeqTransformer, Shape

SMOKE = Multi30k.presets["smoke"]
LINES = ("Ein Hund schläft.", "Zwei Katzen sehen einen Hund.", "Ein Hund sieht Katzen im Haus.")
TRANSLATIONS = ("A dog sleeps.", "Two cats see a dog.", "A dog sees cats in the house.")


def given(
    source: Sequence[str] = LINES, target: Sequence[str] = TRANSLATIONS, options: Multi30kOptions = SMOKE.options
) -> Multi30k:
    """These pairs as every split."""
    names = ("train", "val", "test_2016_flickr")
    files = {f"{name}.de": "".join(f"{line}\n" for line in source).encode() for name in names}
    files |= {f"{name}.en": "".join(f"{line}\n" for line in target).encode() for name in names}
    return Multi30k(Memory("multi30k", files), options)


@cache
def sampled() -> Multi30k:
    return Multi30k(Memory("multi30k", Multi30k.sample()), SMOKE.options)


def tiny(*, pre_norm: bool, vocabulary: int = 30, seed: int = 0, **sizes: int) -> Seq2SeqTransformer:
    """A small model with large drawn weights, so that what it says depends on what it is told; in eval mode."""
    torch.manual_seed(seed)
    shape = {"d_model": 16, "layers": 2, "decoder_layers": 2, "heads": 4, "d_ff": 24, **sizes}
    model = Seq2SeqTransformer(
        Shape(vocabulary + 3, vocabulary, 40, 1, dropout=0.1, pre_norm=pre_norm, tied=False, **shape)
    )
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter *= 6 if "multihead_attn" in name else 2 if parameter.dim() > 1 else 1
    return model.eval()


@cache
def trained(steps: int) -> Seq2SeqTransformer:
    """The smoke preset's model after ``steps`` steps of its training."""
    task, schedule = sampled(), SMOKE.train.resolved(sampled().examples())
    torch.manual_seed(0)
    model = task.build(0)
    assert isinstance(model, Seq2SeqTransformer)
    optimizer = torch.optim.Adam(model.parameters(), betas=schedule.betas, fused=True)
    for step, batch in enumerate(islice(task.batches("train", seed=0, size=schedule.batch_size), steps)):
        optimizer.param_groups[0]["lr"] = schedule.rate(step)
        optimizer.zero_grad()
        task.loss(task.forward(model, batch), batch).backward()
        optimizer.step()
    return model.eval()
