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
from tasks.msmarco_dsi.options import LSA, PRESETS, SCRATCH, Options
from tasks.msmarco_source import MSMARCO

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from tasks.base import Batch
    from tasks.msmarco_dsi.corpus import Corpus
    from tasks.msmarco_dsi.docids import Trie
    from tasks.msmarco_dsi.examples import Mixture
    from tasks.msmarco_dsi.text import Ragged
    from tasks.msmarco_dsi.tokens import Tokens
    from tasks.ranking import Ranking

INDEXED = "Only the passages counted above are indexed: figures compare with nothing measured on the full collection."
BODY = "Prunable: attention and feed-forward weights of encoder and decoder; embeddings and output layer stay dense."
CAPPED = "R@1000 is capped by the run's depth, and under beam search by the beams."
IGNORED = -100
"""Label of the positions after a docid's end."""
EVALUATION_BATCH = 128
"""Dev queries at a time; changes no ranking."""


class MsMarcoDsi:
    """Differentiable search index on MS MARCO passages."""

    name: ClassVar[str] = "msmarco-dsi"
    family: ClassVar[str] = "IR"
    title: ClassVar[str] = "passage retrieval by a differentiable search index (T5)"
    version: ClassVar[int] = 1
    dataset: ClassVar[str] = DATASET
    required: ClassVar[Sequence[str]] = (
        "collection.tsv",
        "queries.train.tsv",
        "qrels.train.tsv",
        "queries.dev.small.tsv",
        "qrels.dev.small.tsv",
    )
    metrics: ClassVar[Sequence[Metric]] = tuple(
        Metric(name) for name in ("AP", "RR@10", "R@1000", "Success@1", "Success@10", "nDCG@10")
    )
    presets: ClassVar[Mapping[str, Preset]] = PRESETS
    models: ClassVar[Sequence[str]] = (SCRATCH,)
    notes: Sequence[str] = (INDEXED, BODY, CAPPED)

    def __init__(self, files: Files, options: Options) -> None:
        self.files = files
        self.options = options
        if options.prune_embeddings:
            self.notes = (INDEXED, CAPPED)

    @staticmethod
    def sample() -> Mapping[str, bytes]:
        """A small synthetic MS MARCO; see ``tasks.msmarco_dsi.sample``."""
        from tasks.msmarco_dsi.sample import sample

        return sample()

    @cached_property
    def _corpus(self) -> Corpus:
        from tasks.msmarco_dsi import corpus

        return corpus.read(self.files, self.options.passages)

    @cached_property
    def _trained(self) -> Corpus:
        """The corpus with all pairs that are trained on."""
        from tasks.msmarco_dsi import targets

        chosen = self.options
        return targets.extended(self._corpus, chosen.bm25_targets, chosen.bm25, digest=self._indexed)

    @cached_property
    def _indexed(self) -> str:
        """Digest of the data and of which passages of it are indexed."""
        import hashlib

        data, passages = self.identity().digest, self._corpus.passage_numbers.tobytes()
        return hashlib.sha256(data.encode() + passages).hexdigest()

    @cached_property
    def _strings(self) -> np.ndarray | None:
        """Digits of the docids, None for atomic ones."""
        from tasks.msmarco_dsi import docids

        if self.options.docids == "atomic":
            return None
        if self.options.docids == "naive":
            return docids.digits(len(self._corpus.texts))
        from tasks.msmarco_dsi import semantic

        checkpoint = self.other_checkpoints().get("semantic_model")
        return semantic.docids(self._corpus.texts, self.options.semantic_k, checkpoint, digest=self._indexed)

    @cached_property
    def _tokens(self) -> Tokens:
        from tasks.msmarco_dsi import tokens

        checkpoint = self.checkpoint()
        if checkpoint is None:
            return tokens.of_scratch(self._trained, self.options, self._strings)
        from tasks.msmarco_dsi import model

        tokenizer, config = model.tokenizer_and_config(checkpoint)
        return tokens.of_pretrained(self._trained, self.options, self._strings, tokenizer, config.vocab_size)

    @cached_property
    def _mixture(self) -> Mixture:
        from tasks.msmarco_dsi.examples import Mixture

        chosen = self.options
        return Mixture(
            queries=chosen.query_share,
            crops=chosen.crop_share,
            crop=(chosen.crop_min, chosen.crop_max),
            bag=(chosen.bag_min, chosen.bag_max),
        )

    @cached_property
    def _trie(self) -> Trie:
        from tasks.msmarco_dsi.docids import trie

        return trie(self._tokens.docids)

    @staticmethod
    def sources() -> Sequence[DataSet]:
        """Where the data is to be had."""
        return (MSMARCO,)

    def identity(self) -> DataIdentity:
        """Counts of what is indexed, trained on and evaluated. Needs no torch."""
        from tasks.msmarco_dsi import corpus

        return corpus.identity(self.files, self._corpus)

    def checkpoint(self) -> Checkpoint | None:
        """The T5 that ``--model`` names; None for the one from scratch."""
        return None if self.options.model == SCRATCH else resolve(self.options.model, self.options.trust_remote_code)

    def other_checkpoints(self) -> Mapping[str, Checkpoint]:
        """The encoder that semantic docids are clustered with."""
        chosen = self.options
        if chosen.semantic_model == LSA:
            return {}
        try:
            return {"semantic_model": resolve(chosen.semantic_model, chosen.trust_remote_code)}
        except UsageError as error:
            where = f"--set semantic_model={chosen.semantic_model}"
            raise UsageError(error.what, where=where, mend=f"Give {LSA}, minilm, a folder, or a hub id.") from error

    def examples(self) -> int:
        """Passages and train pairs, BM25's with them: one of each is an epoch."""
        return len(self._trained.texts) + len(self._trained.train_pairs)

    def build(self, seed: int) -> nn.Module:
        """A T5; ``seed`` is already torch's. Raises ``UsageError`` where a checkpoint cannot be had."""
        from tasks.msmarco_dsi import model

        checkpoint = self.checkpoint()
        if checkpoint is None:
            built: nn.Module = model.scratch(self.options, self._tokens.vocabulary, self._tokens.targets)
        else:
            built = model.pretrained(checkpoint, self._tokens.vocabulary)
        return built

    def batches(self, split: str, *, seed: int, size: int, start: int = 0) -> Iterator[Batch]:
        """``train``: endless; ``test``: the dev queries in order, each with its most relevant passage as label."""
        from tasks.msmarco_dsi import examples, text

        tokens = self._tokens
        if split == "train":
            for number in count(start):
                drawn, documents = examples.draw(tokens.pool, self._mixture, seed=seed, number=number, size=size)
                yield self._batch(text.expand(drawn, tokens.pieces), documents)
        self._check(split)
        for first in range(start * size, len(self._best), size):
            yield self._asked(first, size)

    @cached_property
    def _best(self) -> np.ndarray:
        """The most relevant passage of each dev query."""
        import numpy as np

        return np.asarray([max(grades, key=lambda one: (grades[one], -one)) for grades in self._corpus.dev_grades])

    def _asked(self, first: int, size: int) -> Batch:
        """The dev queries from number ``first``."""
        import numpy as np

        rows = np.arange(first, min(first + size, len(self._best)))
        return self._batch(self._tokens.dev.take(rows), self._best[rows])

    def _check(self, split: str) -> None:
        if split != "test":
            raise UsageError(f"no split {split!r}", where=self.name, mend=suggestion(split, ("train", "test")))

    def _batch(self, rows: Ragged, documents: np.ndarray) -> Batch:
        import numpy as np
        import torch

        from tasks.msmarco_dsi import text

        tokens = self._tokens
        docids = tokens.docids[documents].astype(np.int64)
        ids, mask = text.padded(rows, length=self.options.input_length, end=tokens.end, pad=tokens.pad)
        return {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(mask),
            "labels": torch.from_numpy(np.where(docids < 0, IGNORED, docids)),
        }

    def forward(self, model: nn.Module, batch: Batch) -> Tensor:
        """Teacher-forced logits, (examples, docid length, output tokens)."""
        from tasks.msmarco_dsi.model import logits

        return logits(model, batch)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Token cross entropy, mean over the tokens whose label is not -100. Atomic and naive docids have one
        length: theirs is the mean over examples too."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs.flatten(0, 1), batch["labels"].flatten(), ignore_index=IGNORED)

    def part(self, batch: Batch, number: int, of: int) -> tuple[Batch, float]:
        """By examples, each of which weighs as much as its docid is long."""
        from bench.ranks import part_of_rows

        part, _ = part_of_rows(batch, number, of)
        own, whole = (int((labels != IGNORED).sum()) for labels in (part["labels"], batch["labels"]))
        return part, own / whole

    def evaluate(self, model: nn.Module, split: str) -> Evaluation:
        """Ranks the indexed passages for each dev query; metrics by ir-measures on the run that is left behind."""
        import torch

        from bench.ranks import conclude, spread
        from tasks import ranking
        from tasks.msmarco_dsi import evaluation

        def ranked(first: int) -> tuple[Tensor, ...]:
            found = self._rank(model, self._asked(first, EVALUATION_BATCH))
            return tuple(torch.from_numpy(array) for array in (found.documents, found.scores, found.ties))

        self._check(split)
        parts = spread(range(0, len(self._best), EVALUATION_BATCH), ranked)
        found = ranking.joined([ranking.Ranking(*(tensor.numpy() for tensor in part)) for part in parts])
        conclude()
        facts = evaluation.facts(self._corpus, self._trained, self._tokens, self.options)
        return evaluation.evaluation(found, self._corpus, self._names, self.name, facts)

    @property
    def _names(self) -> list[str]:
        return [metric.name for metric in self.metrics]

    def _rank(self, model: nn.Module, batch: Batch) -> Ranking:
        from tasks import ranking
        from tasks.msmarco_dsi import decode

        device = next(model.parameters()).device
        ids, mask = batch["input_ids"].to(device), batch["attention_mask"].to(device)
        chosen = self.options
        if chosen.decode == "exact":
            return ranking.rank(decode.exact(model, ids, mask, self._trie).cpu().numpy(), chosen.depth)
        documents, scores = decode.beam(model, ids, mask, self._trie, chosen.beams)
        return ranking.rank(scores.cpu().numpy(), chosen.depth, documents.cpu().numpy())

    def prunable(self, model: nn.Module) -> Sequence[str]:
        """Weights of the attention and feed-forward Linears; with ``prune_embeddings`` those of both ends too."""
        ends = ("shared.", "lm_head.") if self.options.prune_embeddings else ()
        body = [
            f"{name}.weight"
            for name, module in model.named_modules()
            if ".block." in name and type(module).__name__ == "Linear"
        ]
        return [name for name, _ in model.named_parameters() if name in body or name.startswith(ends)]

    def couplings(self, model: nn.Module) -> Sequence[Coupling]:
        """Feed-forward neurons (``rows``) and attention ``heads``."""
        from tasks.msmarco_dsi import removal

        return tuple(removal.couplings(model))

    def narrowed(self, model: nn.Module, kept: Mapping[str, Tensor]) -> None:
        """Numbers of heads, and the position bias that attentions share."""
        from tasks.msmarco_dsi import removal

        removal.narrowed(model, kept)

    def portable(self, model: nn.Module) -> nn.Module:
        """The T5 with as many output rows as its vocabulary has tokens."""
        from tasks.msmarco_dsi import removal

        whole: nn.Module = removal.portable(model)
        return whole

    def example(self) -> Batch:
        """One input of exactly ``input_length`` tokens."""
        import numpy as np

        from tasks.msmarco_dsi import text

        tokens = self._tokens
        filled = np.resize(tokens.pool.passages.values, self.options.input_length)
        row = text.expand(text.Ragged(filled, np.asarray([0, len(filled)])), tokens.pieces)
        return self._batch(row, np.zeros(1, dtype=np.int64))

    def evaluation_options(self) -> Mapping[str, str | int | float | bool | None]:
        """How docids are decoded and how deep the run goes."""
        chosen = self.options
        return {
            "decode": chosen.decode,
            "beams": chosen.beams if chosen.decode == "beam" else None,
            "depth": chosen.depth,
        }

    def references(self) -> Sequence[Reference]:
        """BM25 over the same passages."""
        from tasks.msmarco_dsi import evaluation

        return [evaluation.lexical(self._corpus, self.options, self._names)]
