"""Options and presets of the task."""

from __future__ import annotations

from dataclasses import dataclass

from bench.errors import UsageError
from bench.steps import Schedule
from tasks import bm25
from tasks.base import Preset, later
from tasks.choices import at_least, one_of

SCRATCH = "scratch"
LSA = "lsa"


@dataclass(frozen=True)
class Options:
    """What weights, batches and metrics depend upon."""

    model: str = SCRATCH
    """``scratch``, or the hub id or folder of a T5 checkpoint; the sizes below are those of ``scratch``."""
    docids: str = "atomic"
    """``atomic``: one new token a passage; ``naive``: the decimal digits of its number in the index; ``semantic``: the
    decimal digits of its way down a hierarchy of clusters."""
    passages: int = 5_000
    """Passages indexed, 0 for all: first those that dev and train queries need, then others in file order."""
    words: str = "stems"
    """``stems``: as BM25 sees a text, stop words and endings gone; ``words``: lower-cased words."""
    vocabulary: int = 26_000
    """Words known, the most frequent ones of passages and train queries."""
    input_length: int = 12
    """Tokens of an input at most, the end token included."""
    d_model: int = 128
    layers: int = 2
    decoder_layers: int = 1
    heads: int = 4
    d_ff: int = 256
    dropout: float = 0.0
    embedding_std: float = 0.025
    """Spread of the embeddings. With T5's own, 1.0, a thousand steps on 5,000 real passages end near chance."""
    head_gain: float = 16.0
    """Initial weight of the norm before the output layer: a larger one makes new docid rows learn that much faster."""
    head_std: float = 0.01
    """Spread of the output layer's weights (T5's own: 1.0)."""
    query_share: float = 0.05
    """Share of train queries in a batch; the rest are pseudo-queries from passages."""
    crop_share: float = 0.0
    """Share of contiguous crops among the pseudo-queries; the rest are bags of words."""
    crop_min: int = 8
    crop_max: int = 31
    bag_min: int = 2
    bag_max: int = 8
    bag_rarity: float = 1.0
    """Words enter a bag with probability proportional to this power of their rarity; 0 is uniform."""
    prune_embeddings: bool = False
    """Offer the embeddings and the output layer for pruning too. For atomic docids the output layer is the index."""
    decode: str = "exact"
    """``exact``: every docid is scored; ``beam``: constrained beam search."""
    beams: int = 10
    depth: int = 1_000
    """Passages in the run at most."""
    semantic_k: int = later(10)
    """Clusters that each is split into, and passages of the last clusters at most (Tay et al. 2022: 10)."""
    semantic_model: str = later(LSA)
    """What passages are embedded by to be clustered: ``lsa``, latent semantic analysis, or an encoder: ``minilm``, a
    folder, a hub id."""
    bm25_targets: int = later(0)
    """BM25's best passages of each train query that are trained on too."""
    bm25: str = later(bm25.PROVIDERS[0])
    """What computes BM25: ``bm25s``, or ``pyserini`` where the extra is installed."""
    trust_remote_code: bool = later(False)
    """Run code that lies in the checkpoint: given by the flag of that name alone."""

    def __post_init__(self) -> None:
        one_of("docids", self.docids, ("atomic", "naive", "semantic"))
        one_of("words", self.words, ("stems", "words"))
        one_of("decode", self.decode, ("exact", "beam"))
        one_of("bm25", self.bm25, bm25.PROVIDERS)
        for name in ("vocabulary", "d_model", "layers", "decoder_layers", "heads", "d_ff", "beams", "depth"):
            at_least(name, getattr(self, name), 1)
        at_least("passages", self.passages, 0)
        at_least("semantic_k", self.semantic_k, 2)
        at_least("bm25_targets", self.bm25_targets, 0)
        at_least("input_length", self.input_length, 2)
        for name in ("query_share", "crop_share", "dropout"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"{getattr(self, name)} is no share", where=name, mend="Give a number from 0 to 1.")
        for kind, low, high in (("crop", self.crop_min, self.crop_max), ("bag", self.bag_min, self.bag_max)):
            if not 1 <= low <= high:
                raise UsageError(
                    f"lengths from {low} to {high} words", where=f"{kind}_min, {kind}_max", mend="Give 1 <= min <= max."
                )
        if self.d_model % self.heads:
            raise UsageError(
                f"{self.heads} heads do not divide {self.d_model}", where="heads, d_model", mend="Give a divisor."
            )


def _schedule(**given: object) -> Schedule:
    return Schedule(**{"optimizer": "adamw", "weight_decay": 0.01, "decay": "linear", "clip": 1.0, **given})  # type: ignore[arg-type]


PRESETS = {
    "smoke": Preset(
        options=Options(
            passages=0,
            vocabulary=1_000,
            input_length=8,
            d_model=64,
            d_ff=128,
            embedding_std=0.5,
            head_gain=2.0,
            head_std=0.02,
            query_share=0.15,
            crop_share=1.0,
            crop_min=2,
            crop_max=4,
        ),
        train=_schedule(lr=2e-3, batch_size=128, steps=800, warmup=40),
        recover=_schedule(lr=1e-3, batch_size=128, steps=400, warmup=20, stream="recover"),
        score_batch_size=128,
    ),
    "small": Preset(
        options=Options(),
        train=_schedule(lr=1e-3, batch_size=256, steps=2_000, warmup=100),
        recover=_schedule(lr=5e-4, batch_size=256, steps=1_000, warmup=50, stream="recover"),
        score_batch_size=256,
    ),
    # "A pruning-based deep learning approach for information retrieval" (Sapienza), table 2, the best T5-small.
    "paper": Preset(
        options=Options(
            model="google-t5/t5-small", passages=0, input_length=32, query_share=0.5, crop_share=1.0, crop_max=31
        ),
        train=Schedule(lr=1e-3, batch_size=8, epochs=25, optimizer="adam"),
        recover=Schedule(lr=1e-3, batch_size=8, epochs=25, optimizer="adam", stream="recover"),
        score_batch_size=8,
    ),
}
