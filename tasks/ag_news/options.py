"""Options and presets of the models: the source's embedding bag, an encoder from scratch, a pretrained one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.errors import UsageError
from bench.steps import Schedule
from tasks.base import Preset, later

EMBEDDING_BAG, TRANSFORMER = "embedding-bag", "transformer"
POOLINGS = ("mean", "cls")


@dataclass(frozen=True)
class AgNewsOptions:
    """What the weights and the batches of the embedding bag depend upon."""

    model: str = EMBEDDING_BAG
    """``embedding-bag``, ``transformer`` (an encoder from scratch), ``minilm``, or the hub id or folder of an encoder
    of the BERT family."""
    embedding_size: int = 64
    min_frequency: int = 1
    """Words seen less often in training are unknown."""
    prune_embeddings: bool = False
    """Offer the embedding table for pruning as well."""

    def __post_init__(self) -> None:
        if self.model != EMBEDDING_BAG:
            raise UsageError(f"ag-news has no embedding bag {self.model!r}", mend=f"There is: {EMBEDDING_BAG}.")
        _at_least_one(self, "embedding_size", "min_frequency")


@dataclass(frozen=True)
class TransformerOptions:
    """What the weights and the batches of the encoder from scratch depend upon."""

    model: str = TRANSFORMER
    length: int = 64
    """Tokens of a text at most, [CLS] and [SEP] included; the rest of a longer text is cut off."""
    layers: int = 2
    d_model: int = 128
    heads: int = 4
    d_ff: int = 256
    dropout: float = 0.1
    pooling: str = "cls"
    """What the classifier sees of the last layer: the state at [CLS] (``cls``), or the ``mean`` over the tokens.

    The mean holds what the embeddings say of a topic whatever is pruned above them; [CLS] has it by attention alone.
    """
    min_frequency: int = 3
    """Words seen less often in training are unknown."""
    prune_embeddings: bool = False
    """Offer the embedding table for pruning as well."""

    def __post_init__(self) -> None:
        _at_least_one(self, "layers", "d_model", "heads", "d_ff", "min_frequency")
        _check_encoder(self)
        if self.d_model % self.heads:
            raise UsageError(
                f"ag-news: {self.heads} heads do not divide a d_model of {self.d_model}", mend="Give a divisor."
            )


@dataclass(frozen=True)
class CheckpointOptions:
    """What the weights and the batches of a pretrained encoder depend upon."""

    model: str = "minilm"
    length: int = 64
    """Tokens of a text at most, [CLS] and [SEP] included; the rest of a longer text is cut off."""
    dropout: float = 0.1
    """Before the classifier; inside the encoder it is the checkpoint's own."""
    pooling: str = "mean"
    """What the classifier sees of the last layer: the state at [CLS] (``cls``), or the ``mean`` over the tokens."""
    prune_embeddings: bool = False
    """Offer the embedding table for pruning as well."""
    trust_remote_code: bool = later(False)
    """Run code that lies in the checkpoint: given by the flag of that name alone."""

    def __post_init__(self) -> None:
        _check_encoder(self)


EncoderOptions = TransformerOptions | CheckpointOptions


def _at_least_one(options: object, *names: str) -> None:
    for name in names:
        if getattr(options, name) < 1:
            raise UsageError(f"ag-news: {name} is {getattr(options, name)}", mend="Give 1 or more.")


def _check_encoder(options: EncoderOptions) -> None:
    if options.length < 3:
        raise UsageError(f"ag-news: length is {options.length}", mend="Give 3 or more: [CLS], one token, [SEP].")
    if not 0 <= options.dropout < 1:
        raise UsageError(f"ag-news: dropout is {options.dropout}", mend="Give a share from 0 to below 1.")
    if options.pooling not in POOLINGS:
        raise UsageError(f"ag-news has no pooling {options.pooling!r}", mend=f"There is: {', '.join(POOLINGS)}.")


PRESETS: Mapping[str, Preset] = {
    "smoke": Preset(
        options=AgNewsOptions(),
        train=Schedule(lr=3e-3, batch_size=64, epochs=5),
        recover=Schedule(lr=3e-3, batch_size=64, epochs=2, stream="recover"),
        score_batches=4,
    ),
    "small": Preset(
        options=AgNewsOptions(),
        train=Schedule(lr=2e-3, batch_size=64, epochs=3),
        recover=Schedule(lr=2e-3, batch_size=64, epochs=1, stream="recover"),
        score_batches=4,
    ),
    # The source gives Adam, ten epochs and batches of 64, and no learning rate. At torch's default of 1e-3 test
    # accuracy peaks in the fifth epoch and the model overfits from there; at half of it ten epochs are right.
    "paper": Preset(
        options=AgNewsOptions(),
        train=Schedule(lr=5e-4, batch_size=64, epochs=10),
        recover=Schedule(lr=5e-4, batch_size=64, epochs=5, stream="recover"),
        score_batches=4,
    ),
}


def _schedule(**given: Any) -> Schedule:
    return Schedule(**{"optimizer": "adamw", "weight_decay": 0.01, "decay": "linear", "clip": 1.0, **given})


TRANSFORMER_PRESETS: Mapping[str, Preset] = {
    "smoke": Preset(
        options=TransformerOptions(d_model=64, d_ff=128, min_frequency=1),
        train=_schedule(lr=2e-3, batch_size=64, steps=200, warmup=20),
        recover=_schedule(lr=1e-3, batch_size=64, steps=60, warmup=5, stream="recover"),
        score_batches=4,
    ),
    "small": Preset(
        options=TransformerOptions(),
        train=_schedule(lr=1e-3, batch_size=64, steps=1_000, warmup=100),
        recover=_schedule(lr=5e-4, batch_size=64, steps=300, warmup=20, stream="recover"),
        score_batches=4,
    ),
}

CHECKPOINT_PRESETS: Mapping[str, Preset] = {
    "smoke": Preset(
        options=CheckpointOptions(length=32),
        train=_schedule(lr=2e-4, batch_size=16, steps=40, warmup=4),
        recover=_schedule(lr=1e-4, batch_size=16, steps=20, warmup=2, stream="recover"),
        score_batch_size=16,
    ),
    "small": Preset(
        options=CheckpointOptions(length=48),
        train=_schedule(lr=1e-4, batch_size=32, steps=150, warmup=15),
        recover=_schedule(lr=5e-5, batch_size=32, steps=50, warmup=5, stream="recover"),
        score_batch_size=32,
    ),
    # Sun, Qiu, Xu & Huang 2019 (arXiv:1905.05583): BERT-base, batches of 24, a learning rate of 2e-5
    # with a warm-up over the first tenth, four epochs, at most 512 tokens; on all 120,000 rows.
    "paper": Preset(
        options=CheckpointOptions(model="google-bert/bert-base-uncased", length=512, pooling="cls"),
        train=_schedule(lr=2e-5, batch_size=24, epochs=4, warmup=2_000),
        recover=_schedule(lr=2e-5, batch_size=24, epochs=2, warmup=1_000, stream="recover"),
        score_batch_size=24,
    ),
}


def presets_of(model: str) -> Mapping[str, Preset]:
    """The presets that ``--model`` goes by; a name that is none of the task's own is a checkpoint's."""
    return {EMBEDDING_BAG: PRESETS, TRANSFORMER: TRANSFORMER_PRESETS}.get(model, CHECKPOINT_PRESETS)
