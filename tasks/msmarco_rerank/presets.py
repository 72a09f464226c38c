"""Presets, of each model family its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from bench.steps import Schedule
from tasks.base import Preset
from tasks.msmarco_rerank.options import Options


def _schedule(**given: object) -> Schedule:
    return Schedule(**{"optimizer": "adamw", "weight_decay": 0.01, "decay": "linear", "clip": 1.0, **given})  # type: ignore[arg-type]


_SAMPLE = Options(
    negatives=7,
    negatives_depth=40,
    query_length=6,
    length=40,
    train_length=40,
    terms="words",
    vocabulary=1_000,
    d_model=64,
    heads=2,
    d_ff=128,
    dropout=0.0,
    std=0.1,
    depth=50,
    dev_depth=50,
)
_SHORT = _schedule(lr=2e-3, batch_size=16, steps=400, warmup=20)
_SHORT_AGAIN = _schedule(lr=1e-3, batch_size=16, steps=150, warmup=10, stream="recover")

SMOKE = {
    "bert": Preset(_SAMPLE, replace(_SHORT, steps=600, warmup=30), _SHORT_AGAIN, score_batch_size=32),
    "conv-knrm": Preset(
        replace(_SAMPLE, model="conv-knrm", loss="margin", filters=32), _SHORT, _SHORT_AGAIN, score_batch_size=32
    ),
    "conformer-kernel": Preset(
        replace(_SAMPLE, model="conformer-kernel", loss="ranknet", heads=8, groups=8, kernel=7, d_ff=64),
        _SHORT,
        _SHORT_AGAIN,
        score_batch_size=32,
    ),
}

_REAL = Options(train_length=112, dev_queries=100)
_WORDS = replace(_REAL, length=200, train_length=200)

SMALL = {
    "minilm": Preset(
        replace(_REAL, model="minilm", pooling="match"),
        _schedule(lr=7e-5, batch_size=8, steps=240, warmup=24),
        _schedule(lr=5e-5, batch_size=8, steps=60, warmup=6, stream="recover"),
        score_batch_size=16,
    ),
    "bert": Preset(
        replace(_REAL, model="bert"),
        _schedule(lr=5e-4, batch_size=16, steps=1_500, warmup=100),
        _schedule(lr=2e-4, batch_size=16, steps=200, warmup=20, stream="recover"),
        score_batch_size=32,
    ),
    "conv-knrm": Preset(
        replace(_WORDS, model="conv-knrm", loss="margin", d_model=300),
        _schedule(lr=1e-3, batch_size=16, steps=300, warmup=30),
        _schedule(lr=5e-4, batch_size=16, steps=60, warmup=6, stream="recover"),
        score_batch_size=32,
    ),
    "conformer-kernel": Preset(
        replace(_WORDS, model="conformer-kernel", loss="ranknet", d_model=256, heads=32, d_ff=256, dropout=0.2),
        _schedule(lr=1e-3, batch_size=16, steps=300, warmup=30),
        _schedule(lr=5e-4, batch_size=16, steps=60, warmup=6, stream="recover"),
        score_batch_size=32,
    ),
}

_PUBLISHED = Options(
    negatives=1,
    negatives_depth=1_000,
    query_length=64,
    length=512,
    train_length=512,
    terms="words",
    vocabulary=400_000,
    depth=1_000,
    dev_depth=1_000,
)
_LONG = Schedule(lr=1e-4, batch_size=64, steps=100_000)
_LONG_AGAIN = Schedule(lr=1e-4, batch_size=64, steps=10_000, stream="recover")

# Nogueira & Cho 2019 (bert), Dai et al. 2018 (conv-knrm), Mitra et al. 2020 (conformer-kernel).
PAPER = {
    "bert": Preset(
        replace(_PUBLISHED, model="google-bert/bert-base-uncased", loss="pointwise", outputs=2),
        _schedule(lr=3e-6, batch_size=64, steps=100_000, warmup=10_000),
        _schedule(lr=3e-6, batch_size=64, steps=10_000, warmup=1_000, stream="recover"),
        score_batch_size=64,
    ),
    "conv-knrm": Preset(
        replace(
            _PUBLISHED, model="conv-knrm", loss="margin", d_model=300, query_length=30, length=200, train_length=200
        ),
        _LONG,
        _LONG_AGAIN,
        score_batch_size=64,
    ),
    "conformer-kernel": Preset(
        replace(
            _PUBLISHED, model="conformer-kernel", loss="ranknet", d_model=256, heads=32, d_ff=256, dropout=0.2,
            query_length=20, length=4_000, train_length=4_000,
        ),
        _LONG,
        _LONG_AGAIN,
        score_batch_size=64,
    ),
}  # fmt: skip

PRESETS = {"smoke": SMOKE["bert"], "small": SMALL["minilm"], "paper": PAPER["bert"]}
"""Those of the default models."""


def presets_of(model: str) -> Mapping[str, Preset]:
    """The presets of a family. A checkpoint has those of cross-encoders, read from [CLS] unless it is ``minilm``: only
    of a sentence encoder do the means of tokens match from the start."""
    if model in ("conv-knrm", "conformer-kernel"):
        return {"smoke": SMOKE[model], "small": SMALL[model], "paper": PAPER[model]}
    small = SMALL.get(model) or replace(SMALL["minilm"], options=replace(SMALL["minilm"].options, pooling="cls"))
    return {"smoke": SMOKE["bert"], "small": small, "paper": PAPER["bert"]}
