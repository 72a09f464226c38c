"""Options of the task."""

from __future__ import annotations

from dataclasses import dataclass

from bench.errors import UsageError
from tasks.base import later
from tasks.choices import at_least, one_of

OWN_MODELS = ("bert", "conv-knrm", "conformer-kernel")
TERM_MODELS = OWN_MODELS[1:]
"""Models whose tokens are words; the others read word pieces or words of a joined pair."""
VARIANTS = ("ndrm1", "ndrm2", "ndrm3")
LOSSES = ("listwise", "ranknet", "margin", "pointwise")
SPECIAL = 3
"""[CLS] and two [SEP]."""


@dataclass(frozen=True)
class Options:
    """What weights, batches and metrics depend upon."""

    model: str = "bert"
    """``bert`` (a cross-encoder from scratch), ``conv-knrm``, ``conformer-kernel``, or a pretrained encoder for a
    cross-encoder: ``minilm``, a hub id, a folder."""
    variant: str = "ndrm3"
    """Of conformer-kernel: ``ndrm1`` (latent match), ``ndrm2`` (explicit match), ``ndrm3`` (both)."""
    loss: str = "listwise"
    """``listwise``, ``pointwise`` (cross entropies), ``ranknet`` or ``margin``."""
    negatives: int = 3
    """BM25 negatives beside each relevant passage in a batch."""
    negatives_depth: int = 30
    """They are drawn from this many of BM25's best."""
    query_length: int = 32
    """Tokens of a query at most."""
    length: int = 256
    """Tokens of a joined pair (bert), or of a passage, at most."""
    train_length: int = 256
    """The same for training's batches, if that is less."""
    terms: str = "stems"
    """Words of the models without word pieces: ``stems`` (as BM25 sees a text), or ``words`` (lower-cased)."""
    vocabulary: int = 60_000
    """Words known, the most frequent ones of passages and train queries; no matter to a pretrained encoder."""
    d_model: int = 128
    """Width of the encoder; of conv-knrm the width of the embeddings."""
    layers: int = 2
    heads: int = 4
    d_ff: int = 256
    dropout: float = 0.1
    std: float = 0.02
    """Standard deviation of bert's initial weights from scratch."""
    pooling: str = "cls"
    """What a cross-encoder's score is read from: ``cls``, the ``mean`` of all tokens, or ``match``: [CLS], and the
    cosine between the means of the query's and the passage's tokens."""
    outputs: int = 1
    """Of a cross-encoder's last layer: 1, or 2 whose difference is the score."""
    filters: int = 128
    """Of conv-knrm, for each n-gram length."""
    ngrams: int = 3
    kernel: int = 31
    """Width of conformer-kernel's convolutions."""
    groups: int = 32
    """Of conformer-kernel's convolutions."""
    window: int = 300
    """Tokens over which conformer-kernel sums its kernels; the best window counts."""
    stride: int = 100
    """From one window to the next."""
    evaluate: str = "dl2019,dev"
    """Evaluation sets, the leading one first: ``dl2019``, ``dl2020``, ``dev``."""
    candidates: str = "run"
    """What is reranked: ``run`` (the data's run files, BM25 where one is missing), or ``bm25`` on the collection."""
    depth: int = 100
    """Candidates of a query at most; under full retrieval the depth of the run."""
    dev_queries: int = 0
    """Dev queries evaluated, the first of the file; 0 for all."""
    dev_depth: int = 20
    """Candidates of a dev query at most."""
    retrieval: str = "rerank"
    """``rerank``, or of conformer-kernel ``full``: every passage of the collection is scored."""
    trust_remote_code: bool = later(False)
    """Run code that lies in the checkpoint: given by the flag of that name alone."""

    def __post_init__(self) -> None:
        one_of("variant", self.variant, VARIANTS)
        one_of("loss", self.loss, LOSSES)
        one_of("terms", self.terms, ("stems", "words"))
        one_of("pooling", self.pooling, ("cls", "mean", "match"))
        one_of("candidates", self.candidates, ("run", "bm25"))
        one_of("retrieval", self.retrieval, ("rerank", "full"))
        for name in ("negatives", "negatives_depth", "query_length", "d_model", "layers", "heads", "d_ff", "filters",
                     "ngrams", "groups", "window", "stride", "depth", "dev_depth"):  # fmt: skip
            at_least(name, getattr(self, name), 1)
        at_least("dev_queries", self.dev_queries, 0)
        at_least("vocabulary", self.vocabulary, 5)
        beside = 0 if self.model in TERM_MODELS else self.query_length + SPECIAL  # in one sequence with the passage
        for name in ("length", "train_length"):
            at_least(name, getattr(self, name), beside + 1)
        if self.outputs not in (1, 2):
            raise UsageError(f"{self.outputs} outputs", where="outputs", mend="Give 1 or 2.")
        if not 0 <= self.dropout < 1:
            raise UsageError(f"{self.dropout} is no dropout", where="dropout", mend="Give 0 or more, below 1.")
        if self.kernel % 2 == 0 or self.kernel < 1:
            raise UsageError(f"a kernel of {self.kernel}", where="kernel", mend="Give an odd number.")
        for name, parts in (("heads", self.heads), ("groups", self.groups)):
            used = self.model == "conformer-kernel" or (name == "heads" and self.model == "bert")
            if used and self.d_model % parts:
                raise UsageError(
                    f"{parts} {name} do not divide {self.d_model}", where=f"{name}, d_model", mend="Give a divisor."
                )
        if self.retrieval == "full" and self.model != "conformer-kernel":
            raise UsageError(
                f"{self.model} scores no term by itself", where="retrieval=full", mend="Only conformer-kernel does."
            )
