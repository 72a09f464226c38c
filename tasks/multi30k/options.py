"""Options and presets of the task."""

from __future__ import annotations

from dataclasses import dataclass

from bench.errors import UsageError
from bench.registry import suggestion
from bench.steps import Schedule
from tasks.base import Preset, later

SOURCE, PRE_NORM = "source", "pre-norm"
MODELS = (SOURCE, PRE_NORM)
"""The task's own models; any other name is a checkpoint's."""
TOKENS = ("words", "basic_english")
DECODERS = ("greedy", "beam")


@dataclass(frozen=True)
class Multi30kOptions:
    """What weights, batches and metrics depend upon."""

    model: str = SOURCE
    """``source`` (Seq2SeqTransformer, post-norm), ``pre-norm`` (tied target embeddings), or the hub id or folder of an
    encoder-decoder checkpoint (Marian, T5, BART), which brings sizes, dropout and tokens of its own."""
    d_model: int = 512
    layers: int = 3
    """Encoder layers."""
    decoder_layers: int = 3
    heads: int = 8
    d_ff: int = 512
    dropout: float = 0.1
    tokens: str = "words"
    """``words``: runs of letters and digits, endings with an apostrophe, marks by themselves; or ``basic_english``."""
    min_frequency: int = 1
    """Words seen less often in training are unknown."""
    lower_case: bool = False
    """Of source and target; metrics are lower-cased in any case."""
    max_length: int = 128
    """Tokens of a sentence at most, both marks included; what is longer is cut and counted."""
    label_smoothing: float = 0.0
    prefix: str = ""
    """Stands before every source sentence of a checkpoint that wants one (T5's "translate German to English: ")."""
    prune_embeddings: bool = False
    """Offer embeddings and generator for pruning too."""
    decode: str = "greedy"
    """``greedy`` or ``beam``."""
    beams: int = 5
    """Of beam search."""
    length_penalty: float = 1.0
    """Beam search ranks by log probability / length ** this."""
    max_output: int = 64
    """Tokens of a translation at most, its end included."""
    trust_remote_code: bool = later(False)
    """Run code that lies in the checkpoint: given by the flag of that name alone."""

    def __post_init__(self) -> None:
        for name, value, known in (("tokens", self.tokens, TOKENS), ("decode", self.decode, DECODERS)):
            if value not in known:
                raise UsageError(f"unknown value {value!r}", where=name, mend=suggestion(value, known))
        least = {"min_frequency": 1, "max_length": 3, "max_output": 1, "beams": 1, "heads": 1, "d_ff": 1}
        for name, number in (least | {"d_model": 2, "layers": 1, "decoder_layers": 1}).items():
            if getattr(self, name) < number:
                raise UsageError(f"{getattr(self, name)} is too small", where=name, mend=f"Give {number} or more.")
        for name in ("dropout", "label_smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{getattr(self, name)} is no share", where=name, mend="Give 0 to below 1.")
        if self.d_model % self.heads:
            raise UsageError(
                f"{self.heads} heads do not divide {self.d_model}", where="heads, d_model", mend="Give a divisor."
            )


def _schedule(**given: object) -> Schedule:
    return Schedule(**{"optimizer": "adam", "betas": (0.9, 0.98), "decay": "linear", "clip": 1.0, **given})  # type: ignore[arg-type]


def _source(**given: object) -> Schedule:
    """Adam at a constant rate, as the source gives it."""
    return Schedule(**{"lr": 1e-4, "betas": (0.9, 0.98), "eps": 1e-9, "batch_size": 128, **given})  # type: ignore[arg-type]


PRESETS = {
    "smoke": Preset(
        options=Multi30kOptions(
            model=PRE_NORM, d_model=64, layers=2, decoder_layers=2, heads=4, d_ff=128, dropout=0.0, lower_case=True
        ),
        train=_schedule(lr=3e-3, batch_size=64, epochs=8, warmup=40),
        recover=_schedule(lr=1.5e-3, batch_size=64, epochs=3, warmup=20, stream="recover"),
        score_batches=4,
    ),
    "small": Preset(
        options=Multi30kOptions(
            model=PRE_NORM, d_model=256, d_ff=512, min_frequency=2, lower_case=True, label_smoothing=0.1
        ),
        train=_schedule(lr=1e-3, batch_size=64, epochs=7, warmup=200),
        recover=_schedule(lr=5e-4, batch_size=64, epochs=1.5, warmup=50, stream="recover"),
        score_batches=4,
    ),
    # "Assessing Pruning methods to NLP models", sections 4.3, 5.3 and 5.4: its model, Adam, ten epochs of 128.
    "paper": Preset(
        options=Multi30kOptions(),
        train=_source(epochs=10),
        recover=_source(epochs=5, stream="recover"),
        score_batches=4,
        score_batch_size=128,
    ),
}
