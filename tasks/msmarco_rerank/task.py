"""The task's face to the harness."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, ClassVar

from bench.checkpoints import Checkpoint, resolve
from bench.data import DataIdentity, Files
from bench.errors import UsageError
from bench.masks.couplings import Coupling
from bench.registry import suggestion
from bench.sources import DataSet
from tasks.base import Evaluation, Metric, Preset, Reference
from tasks.msmarco import DATASET
from tasks.msmarco_rerank.options import OWN_MODELS, TERM_MODELS, Options
from tasks.msmarco_rerank.presets import PRESETS, presets_of
from tasks.msmarco_source import MSMARCO

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from tasks.base import Batch
    from tasks.encoders.tokens import Tokens
    from tasks.msmarco_rerank.candidates import Pool, Searcher
    from tasks.msmarco_rerank.corpus import Corpus, Judged
    from tasks.msmarco_rerank.examples import Pools
    from tasks.msmarco_rerank.text import Form, Texts
    from tasks.ranking import Ranking
    from tasks.text import TokenRows

BODY = {
    "bert": "Prunable: the linear layers inside the encoder; embeddings, norms and the scoring layer stay dense.",
    "conv-knrm": "Prunable: the n-gram convolutions; embeddings and the layer over the kernels stay dense.",
    "conformer-kernel": "Prunable: convolutions and linear layers of the Conformer and the terms' projection; "
    "embeddings, norms and kernel layers stay dense.",
}
RERANKED = "Candidates are reranked: recall is capped by them, and no figure compares with one of other candidates."
RETRIEVED = "Every passage of the collection counted above is scored; a smaller collection is an easier one."
BINARY = "Binary measures of TREC DL take grades 2 and 3 for relevant. dev's judgments are sparse: one a query, mostly."


class MsMarcoRerank:
    """Passage reranking on MS MARCO and TREC Deep Learning."""

    name: ClassVar[str] = "msmarco-rerank"
    title: ClassVar[str] = "passage reranking"
    version: ClassVar[int] = 1
    dataset: ClassVar[str] = DATASET
    required: ClassVar[Sequence[str]] = (
        "collection.tsv",
        "queries.train.tsv",
        "qrels.train.tsv",
        "msmarco-test2019-queries.tsv",
        "2019qrels-pass.txt",
        "queries.dev.small.tsv",
        "qrels.dev.small.tsv",
    )
    metrics: Sequence[Metric] = tuple(
        Metric(name)
        for name in (
            "nDCG@10", "RR(rel=2)@10", "AP(rel=2)", "R(rel=2)@100", "Judged@10",
            "RR@10 (dev)", "RR@1000 (dev)", "nDCG@10 (dev)", "AP (dev)",
        )
    )  # fmt: skip
    family: ClassVar[str] = "IR"
    presets: ClassVar[Mapping[str, Preset]] = PRESETS
    models: ClassVar[Sequence[str]] = (*OWN_MODELS, "minilm")
    notes: Sequence[str] = (RERANKED, BINARY)

    def __init__(self, files: Files, options: Options) -> None:
        from tasks.msmarco_rerank import corpus, evaluation

        self.files = files
        self.options = options
        self.sets = corpus.chosen(options.evaluate)
        self.metrics = evaluation.metrics(self.sets)
        scope = RERANKED if options.retrieval == "rerank" else RETRIEVED
        self.notes = (scope, BODY.get(options.model, BODY["bert"]), BINARY)

    @staticmethod
    def sample() -> Mapping[str, bytes]:
        """A small synthetic MS MARCO with a TREC DL track; see ``tasks.msmarco_rerank.sample``."""
        from tasks.msmarco_rerank.sample import sample

        return sample()

    @staticmethod
    def presets_of(model: str) -> Mapping[str, Preset]:
        """The three families learn at rates and from losses of their own."""
        return presets_of(model)

    @cached_property
    def _corpus(self) -> Corpus:
        from tasks.msmarco_rerank import corpus

        return corpus.read(self.files, self.sets, runs=self.options.candidates == "run")

    @cached_property
    def _digest(self) -> str:
        return self.identity().digest

    @cached_property
    def _searcher(self) -> Searcher:
        from tasks.msmarco_rerank.candidates import Searcher

        return Searcher(self._corpus, self._digest)

    @cached_property
    def _pools(self) -> Pools:
        from tasks.msmarco_rerank import candidates, examples

        hard = candidates.negatives(self._searcher, self.options.negatives_depth)
        return examples.Pools(self._corpus.train_positives, hard, len(self._corpus.texts))

    @cached_property
    def _candidates(self) -> Mapping[str, Pool]:
        """Candidates by evaluation set, cut to the options' numbers."""
        from tasks.msmarco_rerank import candidates

        return {
            judged.name: candidates.to_evaluate(self._searcher, judged).cut(*self._cut(judged))
            for judged in self._corpus.judged
        }

    def _cut(self, judged: Judged) -> tuple[int | None, int]:
        chosen = self.options
        return (chosen.dev_queries or None, chosen.dev_depth) if judged.name == "dev" else (None, chosen.depth)

    @cached_property
    def _read(self) -> tuple[Tokens, Texts, Form]:
        from tasks.encoders import tokens
        from tasks.msmarco_rerank import text

        chosen, corpus = self.options, self._corpus
        limits = (chosen.query_length, chosen.length)
        checkpoint = self.checkpoint()
        if checkpoint is not None:
            pieces = tokens.of_checkpoint(checkpoint)
            joined = text.Joined(pieces.pad, pieces.cls, pieces.sep)
            return pieces, text.read_pieces(corpus, pieces, limits, self._digest), joined
        words, texts = text.read_terms(corpus, chosen.terms, chosen.vocabulary, limits, self._digest)
        form: Form = text.Apart() if chosen.model in TERM_MODELS else text.Joined(words.pad, words.cls, words.sep)
        return words, texts, form

    @staticmethod
    def sources() -> Sequence[DataSet]:
        """Where the data is to be had."""
        return (MSMARCO,)

    def identity(self) -> DataIdentity:
        """Counts of the collection, the train queries and the evaluation sets. Needs no torch."""
        from tasks.msmarco_rerank import corpus

        return corpus.identity(self.files, self._corpus)

    def checkpoint(self) -> Checkpoint | None:
        """The encoder that ``--model`` names; None for the task's own models."""
        return None if self.options.model in OWN_MODELS else resolve(self.options.model, self.options.trust_remote_code)

    def examples(self) -> int:
        """Train queries: each is there once in an epoch."""
        return len(self._corpus.train_texts)

    def build(self, seed: int) -> nn.Module:
        """The model; ``seed`` is already torch's. Raises ``UsageError`` where a checkpoint cannot be had."""
        from tasks.msmarco_rerank import build

        tokens, texts, _ = self._read
        return build.model(self.options, self.checkpoint(), tokens, texts.passages)

    def batches(self, split: str, *, seed: int, size: int, start: int = 0) -> Iterator[Batch]:
        """``train``: endless, matrices (queries, 1 + negatives, length), the relevant passage first. ``test``: the
        candidates of the leading evaluation set in order, matrices (pairs, 1, length)."""
        import numpy as np

        from tasks.msmarco_rerank import examples

        _, texts, _ = self._read
        chosen = self.options
        if split == "train":
            limit = min(chosen.length, chosen.train_length)
            for number in count(start):
                asked, passages = examples.draw(
                    self._pools, seed=seed, number=number, size=size, negatives=chosen.negatives
                )
                pairs = np.stack([np.repeat(asked, passages.shape[1]), passages.ravel()], axis=1)
                yield self._batch(texts.train, pairs, limit, passages.shape[1])
        self._check(split)
        pairs = self._pairs(self._candidates[self.sets[0]])
        for first in range(start * size, len(pairs), size):
            yield self._batch(texts.judged[self.sets[0]], pairs[first : first + size], chosen.length, 1)

    def _batch(self, queries: TokenRows, pairs: np.ndarray, limit: int, group: int) -> Batch:
        import torch

        _, texts, form = self._read
        made = form.matrices(queries.take(pairs[:, 0]), texts.passages.take(pairs[:, 1]), limit)
        return {name: torch.from_numpy(matrix.reshape(-1, group, matrix.shape[1])) for name, matrix in made.items()}

    @staticmethod
    def _pairs(pool: Pool) -> np.ndarray:
        """int64 (pairs, 2): query and passage of each candidate, query by query."""
        import numpy as np

        queries, places = np.nonzero(pool.there)
        return np.stack([queries, pool.passages[queries, places]], axis=1).astype(np.int64)

    def _check(self, split: str) -> None:
        if split != "test":
            raise UsageError(f"no split {split!r}", where=self.name, mend=suggestion(split, ("train", "test")))

    def forward(self, model: nn.Module, batch: Batch) -> Tensor:
        """Scores, (queries, passages of each)."""
        shape = next(iter(batch.values())).shape[:2]
        scores: Tensor = model(**{name: matrix.flatten(0, 1) for name, matrix in batch.items()})
        return scores.view(shape)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The loss that the options name, of groups whose first passage is the relevant one."""
        from tasks.msmarco_rerank.losses import LOSSES

        return LOSSES[self.options.loss](outputs)

    def evaluate(self, model: nn.Module, split: str) -> Evaluation:
        """Ranks each set's candidates, or all passages; metrics by ir-measures on the runs that are left behind."""
        from bench.ranks import conclude
        from tasks.msmarco_rerank import evaluation

        self._check(split)
        rerank = self.options.retrieval == "rerank"
        ranked = {
            judged.name: self._reranked(model, judged) if rerank else self._retrieved(model, judged)
            for judged in self._corpus.judged
        }
        conclude()
        return evaluation.evaluation(self._corpus, ranked, self._candidates if rerank else {}, self.name)

    def _reranked(self, model: nn.Module, judged: Judged) -> Ranking:
        import numpy as np

        from tasks import ranking
        from tasks.msmarco_rerank import scoring

        _, texts, form = self._read
        pool = self._candidates[judged.name]
        device = next(model.parameters()).device
        found = np.full(pool.passages.shape, -np.inf, dtype=np.float32)
        found[pool.there] = scoring.scores(
            lambda batch: model(**batch),
            form,
            texts.judged[judged.name],
            texts.passages,
            self._pairs(pool),
            self.options.length,
            device,
        )
        return ranking.rank(found, pool.passages.shape[1], np.asarray(pool.passages))

    def _retrieved(self, model: nn.Module, judged: Judged) -> Ranking:
        from tasks import ranking
        from tasks.msmarco_rerank import postings

        _, texts, _ = self._read
        queries, depth = self._cut(judged)
        scores = postings.retrieve(model, texts.judged[judged.name], texts.passages, queries, self.options.length)
        return ranking.rank(scores, depth)

    def prunable(self, model: nn.Module) -> Sequence[str]:
        """Linear layers and convolutions that encode; never embeddings, norms, or what combines kernels."""
        from tasks.msmarco_rerank import build

        return build.prunable(model)

    def couplings(self, model: nn.Module) -> Sequence[Coupling]:
        """Feed-forward neurons (``rows``) and attention ``heads`` of cross-encoders; none of the other models."""
        from tasks.encoders import model as encoders

        return tuple(encoders.couplings(model))

    def example(self) -> Batch:
        """One pair of exactly ``length`` tokens (a passage of that many beside a query of ``query_length``)."""
        import numpy as np
        import torch

        from tasks.text import TokenRows

        _, texts, form = self._read
        chosen = self.options

        def filled(length: int) -> TokenRows:
            return TokenRows(np.resize(texts.passages.tokens, length), np.asarray([0, length]))

        made = form.matrices(filled(chosen.query_length), filled(chosen.length), chosen.length)
        return {name: torch.from_numpy(matrix[:, None]) for name, matrix in made.items()}

    def evaluation_options(self) -> Mapping[str, str | int | float | bool | None]:
        """Which queries and candidates are evaluated."""
        names = ("evaluate", "candidates", "depth", "dev_queries", "dev_depth", "retrieval")
        return {name: getattr(self.options, name) for name in names}

    def references(self) -> Sequence[Reference]:
        """The candidates as they were ranked: by BM25, or by whatever system a run file is of."""
        from tasks import ranking
        from tasks.msmarco_rerank import evaluation

        values: dict[str, np.ndarray] = {}
        for judged in self._corpus.judged:
            values |= evaluation.measured(self._corpus, judged, self._candidates[judged.name].as_ranking())
        sets = self._corpus.judged
        lexical = all("bm25" in tag.lower() for judged in sets for tag in judged.tags)
        origins: dict[str, list[str]] = {}
        for judged in sets:
            origins.setdefault(_origin(judged), []).append(judged.name)
        told = [origin if len(origins) == 1 else f"{', '.join(names)}: {origin}" for origin, names in origins.items()]
        return [Reference("BM25" if lexical else "first stage", ranking.means(values), "; ".join(told))]


def _origin(judged: Judged) -> str:
    """Where an evaluation set's candidates come from, and their order."""
    if judged.run is None:
        return "BM25, k1 = 0.9, b = 0.4, Lucene's English analyser"
    tags = ", ".join(tag[:40] for tag in judged.tags[:3])
    return f"the run file's own order, tagged {tags}"
