"""Options and presets of the task."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bench.errors import UsageError
from bench.steps import Schedule
from tasks.base import Preset, later
from tasks.choices import at_least, one_of

SCRATCH = "scratch"
FLAT, JPQ = "flat", "jpq"
NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,99}", re.ASCII)
"""Of a file of ready vectors."""
_DATASET = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)*", re.ASCII)


@dataclass(frozen=True)
class Options:
    """What weights, batches and metrics depend upon."""

    model: str = SCRATCH
    """``scratch``, ``minilm``, or the hub id or folder of an encoder; the sizes below are those of ``scratch``."""
    dataset: str = "scifact"
    """``msmarco-passage``, or the name of a BEIR set's folder under ``beir/`` of the data root."""
    pooling: str = "mean"
    """``mean`` of the tokens' hidden states, or that of ``cls``."""
    normalised: bool = True
    """Vectors of length 1: inner products are cosines."""
    tied: bool = True
    """One encoder for queries and passages; false: two, equal at first where they come from a checkpoint."""
    train: str = "both"
    """``both`` encoders, or ``query``: the passages' vectors stay those of the checkpoint, and the model is the query
    encoder alone."""
    vectors: str = ""
    """Fixed vectors from this file in the data set's folder, see ``tasks.dense_retrieval.ready``; empty: computed."""
    prune: str = "both"
    """Which encoder's weights are offered: ``query``, ``document``, or ``both`` that the model has."""
    query_length: int = 64
    """Tokens of a query at most, [CLS] and [SEP] included."""
    passage_length: int = 256
    """Tokens of a passage at most, title first."""
    vocabulary: int = 8_000
    d_model: int = 128
    layers: int = 2
    heads: int = 4
    d_ff: int = 256
    dropout: float = 0.1
    temperature: float = 0.05
    """Scores are divided by it in the loss."""
    negatives: int = 1
    """Hard negatives a query: of the passages that BM25 ranks highest, besides those of the rest of the batch."""
    negatives_depth: int = 30
    """How many of BM25's highest-ranked passages hard negatives are drawn from."""
    index: str = FLAT
    """``flat``: vectors as they are, searched exhaustively, by HNSW and by IVF-PQ; ``jpq``: product quantisation whose
    centroids are trained together with the query encoder (Zhan et al. 2021)."""
    subvectors: int = 48
    """M: bytes of a passage under ``index=jpq``."""
    centroid_rate: float = 20.0
    """Learning rate of the centroids, in that of the query encoder (Zhan et al.: 1e-4 to 5e-6, coordinates near 1)."""
    top: int = 200
    """Negatives of ``index=jpq`` are those among the index's own best of this number."""
    depth: int = 100
    """Passages in the run at most."""
    hnsw_links: int = 32
    hnsw_search: int = 128
    """Length of the list of candidates in a search (efSearch)."""
    ivf_lists: int = 64
    ivf_probes: int = 8
    ivf_subvectors: int = 48
    trust_remote_code: bool = later(False)
    """Run code that lies in the checkpoint: given by the flag of that name alone."""

    def __post_init__(self) -> None:
        if not _DATASET.fullmatch(self.dataset):
            raise UsageError(
                f"{self.dataset!r} is no folder's name", where="dataset", mend="Give a name, and its place by --data."
            )
        one_of("pooling", self.pooling, ("mean", "cls"))
        one_of("train", self.train, ("both", "query"))
        one_of("prune", self.prune, ("query", "document", "both"))
        one_of("index", self.index, (FLAT, JPQ))
        for name in ("vocabulary", "d_model", "layers", "heads", "d_ff", "subvectors", "top", "hnsw_links",
                     "hnsw_search", "ivf_lists", "ivf_probes", "ivf_subvectors", "negatives_depth"):  # fmt: skip
            at_least(name, getattr(self, name), 1)
        for name in ("query_length", "passage_length"):
            at_least(name, getattr(self, name), 3)
        at_least("negatives", self.negatives, 0)
        at_least("depth", self.depth, 100)
        for name in ("temperature", "centroid_rate"):
            if not 0 < getattr(self, name) < float("inf"):
                raise UsageError(f"{getattr(self, name)} cannot be", where=name, mend="Give a positive number.")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"{self.dropout} is no share", where="dropout", mend="Give 0 to below 1.")
        if self.d_model % self.heads:
            raise UsageError(
                f"{self.heads} heads do not divide {self.d_model}", where="heads, d_model", mend="Give a divisor."
            )
        if self.vectors and (not NAME.fullmatch(self.vectors) or not self.fixed or self.model == SCRATCH):
            raise UsageError(
                "ready vectors are a file in the data set's folder, and serve where a checkpoint's are fixed",
                where=f"vectors={self.vectors}",
                mend="Give its name without .safetensors, with train=query or index=jpq and a checkpoint.",
            )
        self._check_encoders()

    def _check_encoders(self) -> None:
        """Raises ``UsageError`` where an encoder is asked for that the model does not have by itself."""
        if self.fixed and self.prune == "document":
            raise UsageError(
                "the passages' vectors are fixed, and no passage encoder is there to be pruned",
                where=f"prune={self.prune}, train={self.train}, index={self.index}",
                mend="Set prune=query, or train=both and index=flat.",
            )
        if not self.fixed and self.tied and self.prune != "both":
            raise UsageError(
                "tied encoders are one", where=f"prune={self.prune}, tied=true", mend="Set prune=both, or tied=false."
            )
        if self.train == "query" and self.index == FLAT and self.model == SCRATCH:
            raise UsageError(
                "a drawn passage encoder has no vectors worth keeping",
                where="train=query, model=scratch",
                mend="Give --model, or set train=both.",
            )

    @property
    def fixed(self) -> bool:
        """Whether the passages' vectors are those of the initial encoder, whatever is trained or pruned."""
        return self.train == "query" or self.index == JPQ

    @property
    def sides(self) -> tuple[str, ...]:
        """The inputs whose encoding is pruned: what the FLOPs column and the latency are of."""
        if self.fixed or self.prune == "query":
            return ("query",)
        return ("passage",) if self.prune == "document" else ("query", "passage")


def _schedule(**given: object) -> Schedule:
    """Linear warm-up, then cosine annealing down to a floor."""
    usual = {"optimizer": "adamw", "weight_decay": 0.01, "decay": "cosine", "floor": 0.05, "clip": 1.0}
    return Schedule(**{**usual, **given})  # type: ignore[arg-type]


PRESETS = {
    "smoke": Preset(
        options=Options(
            pooling="cls",
            query_length=8,
            passage_length=24,
            vocabulary=500,
            d_model=32,
            layers=1,
            heads=2,
            d_ff=64,
            dropout=0.0,
            temperature=0.1,
            ivf_lists=8,
            ivf_probes=2,
            ivf_subvectors=16,
            subvectors=16,
        ),
        train=_schedule(lr=3e-3, batch_size=64, steps=240, warmup=24),
        recover=_schedule(lr=2e-3, batch_size=64, steps=120, warmup=12, stream="recover"),
        score_batch_size=64,
    ),
    "small": Preset(
        options=Options(model="minilm", passage_length=128),
        train=_schedule(lr=3e-5, batch_size=16, steps=60, warmup=6),
        recover=_schedule(lr=3e-5, batch_size=16, steps=60, warmup=6, stream="recover"),
        score_batch_size=16,
    ),
    "jpq": Preset(
        options=Options(model="minilm", index=JPQ),
        train=_schedule(lr=2e-5, batch_size=32, steps=60, warmup=6),
        recover=_schedule(lr=2e-5, batch_size=32, steps=60, warmup=6, stream="recover"),
        score_batch_size=32,
    ),
    # Karpukhin et al. 2020, section 5: BERT-base, [CLS], apart, batches of 128 with one BM25 negative, 1e-5 with Adam
    # and warm-up, dropout 0.1, 40 epochs. They decay linearly; the source of this task anneals by a cosine.
    "paper": Preset(
        options=Options(
            model="google-bert/bert-base-uncased", pooling="cls", normalised=False, tied=False, temperature=1.0
        ),
        train=_schedule(lr=1e-5, batch_size=128, epochs=40, warmup=100, optimizer="adam", weight_decay=0.0),
        recover=_schedule(
            lr=1e-5, batch_size=128, epochs=40, warmup=100, optimizer="adam", weight_decay=0.0, stream="recover"
        ),
        score_batch_size=32,
    ),
}
