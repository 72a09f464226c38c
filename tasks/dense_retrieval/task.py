"""The task's face to the harness."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar

from bench.checkpoints import Checkpoint, resolve
from bench.data import DataIdentity, Files
from bench.errors import DataError, UsageError
from bench.masks.couplings import Coupling
from bench.registry import suggestion
from bench.sources import DataSet
from tasks.base import Evaluation, Metric, Preset, Reference
from tasks.beir import WHOLE
from tasks.dense_retrieval.options import FLAT, JPQ, PRESETS, SCRATCH, Options

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor, nn

    from tasks.base import Batch
    from tasks.dense_retrieval.corpus import Corpus
    from tasks.dense_retrieval.examples import Pool
    from tasks.dense_retrieval.inputs import Inputs

LEADING = ("nDCG@10", "R@100", "RR@10", "Judged@10")
APPROXIMATE = ("nDCG@10 (HNSW)", "R@100 (HNSW)", "nDCG@10 (IVF-PQ)", "R@100 (IVF-PQ)")
SEARCHED = (
    "The leading metrics are of exhaustive search, those marked (HNSW) and (IVF-PQ) of approximate search over the "
    "same vectors: what an index loses stands apart from what pruning loses."
)
FIXED = "Passages' vectors come from the checkpoint as it is: the model is the query encoder alone."


class DenseRetrieval:
    """Dense retrieval by a dual encoder."""

    name: ClassVar[str] = "dense-retrieval"
    title: ClassVar[str] = "dense retrieval by a dual encoder (DPR)"
    version: ClassVar[int] = 1
    family: ClassVar[str] = "IR"
    dataset: ClassVar[str] = "beir/scifact"
    required: ClassVar[Sequence[str]] = ("corpus.jsonl", "queries.jsonl", "qrels/test.tsv")
    metrics: Sequence[Metric] = tuple(Metric(name) for name in (*LEADING, *APPROXIMATE))
    presets: ClassVar[Mapping[str, Preset]] = PRESETS
    models: ClassVar[Sequence[str]] = (SCRATCH, "minilm")
    notes: Sequence[str] = (SEARCHED,)

    def __init__(self, files: Files, options: Options) -> None:
        self.files = files
        self.options = options
        self.notes = _notes(options)
        if options.index == JPQ:
            self.metrics = tuple(Metric(name) for name in LEADING)
        self._recent: tuple[str, np.ndarray] | None = None

    @staticmethod
    def sample() -> Mapping[str, bytes]:
        """A small synthetic set in the BEIR layout; see ``tasks.dense_retrieval.sample``."""
        from tasks.dense_retrieval.sample import sample

        return sample()

    @staticmethod
    def source(options: Options) -> tuple[str, Sequence[str]]:
        """Folder and required files of the data set that the options name."""
        from tasks.dense_retrieval.corpus import source

        return source(options.dataset)

    # Data

    @staticmethod
    def sources() -> Sequence[DataSet]:
        """Where the sets of BEIR and MS MARCO are to be had."""
        from tasks.beir_source import beir_sets
        from tasks.msmarco_source import MSMARCO

        named = replace(MSMARCO, settings={"dataset": MSMARCO.folder})
        return (*beir_sets({name: {"dataset": name} for name in WHOLE}), named)

    @cached_property
    def _corpus(self) -> Corpus:
        from tasks.dense_retrieval import corpus

        return corpus.read(self.files)

    @cached_property
    def _identity(self) -> DataIdentity:
        from tasks.dense_retrieval import corpus

        return corpus.identity(self.files, self._corpus, self.options.dataset)

    @cached_property
    def inputs(self) -> Inputs:
        """The texts as token ids."""
        from tasks.dense_retrieval import inputs

        return inputs.read(self._corpus, self.options, self.checkpoint(), self._identity.digest)

    @cached_property
    def _pool(self) -> Pool:
        from tasks.dense_retrieval import examples

        if not len(self._corpus.train):
            raise DataError(
                "has no judged train queries",
                where=self._identity.name,
                mend="Put qrels/train.tsv there, or train nothing: --set train.steps=0 --set recover.steps=0.",
            )
        mined = self.options.negatives and self.options.index == FLAT
        return examples.pool(self._corpus, self.options.negatives_depth if mined else 0, self._identity.digest)

    def identity(self) -> DataIdentity:
        """Counts of passages and judged queries. Needs no torch."""
        return self._identity

    def checkpoint(self) -> Checkpoint | None:
        """The encoder that ``--model`` names; None for the one from scratch."""
        return None if self.options.model == SCRATCH else resolve(self.options.model, self.options.trust_remote_code)

    def examples(self) -> int:
        """Pairs of a train query and a relevant passage."""
        from tasks.dense_retrieval.corpus import pairs

        return len(pairs(self._corpus.train))

    # Model and batches

    def build(self, seed: int) -> nn.Module:
        """The encoders, and under ``index=jpq`` the quantised index of the passages; ``seed`` is already torch's."""
        from tasks.dense_retrieval import building, indexes

        if self.options.index == FLAT:
            indexes.require_lists(self.options.ivf_lists, len(self._corpus.ids))
        return building.model(self.options, self.checkpoint(), self.inputs, self.files)

    @cached_property
    def _initial(self) -> np.ndarray:
        """The passages' vectors by the checkpoint as it is, float32 (passages, d)."""
        from tasks.dense_retrieval import building

        checkpoint = self.checkpoint()
        assert checkpoint is not None, "options without a checkpoint have no fixed vectors"
        return building.initial_vectors(self.options, checkpoint, self.inputs, self.files)

    def batches(self, split: str, *, seed: int, size: int, start: int = 0) -> Iterator[Batch]:
        """``train``: endless; ``test``: the test queries in order, with a relevant passage each where a passage encoder
        is pruned."""
        import numpy as np

        from tasks.dense_retrieval import examples

        if split == "train":
            hard = self.options.negatives if self.options.index == FLAT else 0
            passages = len(self._corpus.ids)
            for number in count(start):
                yield self._drawn(
                    examples.draw(self._pool, seed=seed, number=number, size=size, negatives=hard, passages=passages)
                )
        self._check(split)
        best = np.asarray([max(grades, key=lambda one: (grades[one], -one)) for grades in self._corpus.test.grades])
        for first in range(start * size, len(best), size):
            rows = np.arange(first, min(first + size, len(best)))
            chosen = {"query": rows, "passage": best[rows]}
            yield {name: tensor for side in self.options.sides for name, tensor in self._texts(side, "test", chosen)}

    def _drawn(self, drawn: Any) -> Batch:
        """A training batch of these members."""
        import torch

        from tasks.dense_retrieval import examples

        chosen = {"query": drawn.queries, "passage": drawn.passages}
        batch = dict(self._texts("query", "train", chosen))
        train = self._corpus.train
        if self.options.index == JPQ:
            return {**batch, "relevant": torch.from_numpy(examples.relevant(train, drawn.queries))}
        if self.options.fixed:
            batch["passage_vectors"] = torch.from_numpy(self._initial[drawn.passages])
        else:
            batch |= dict(self._texts("passage", "train", chosen))
        batch["candidate"] = torch.from_numpy(examples.candidates(train, drawn))
        batch["label"] = torch.arange(len(drawn.queries))
        return batch

    def _texts(self, side: str, split: str, chosen: Mapping[str, np.ndarray]) -> Iterator[tuple[str, Tensor]]:
        from tasks.dense_retrieval.embed import padded

        rows = self.inputs.rows(side, split).take(chosen[side])
        return ((f"{side}_{name}", tensor) for name, tensor in padded(rows, self.inputs.tokens).items())

    def _check(self, split: str) -> None:
        if split != "test":
            raise UsageError(f"no split {split!r}", where=self.name, mend=suggestion(split, ("train", "test")))

    def forward(self, model: nn.Module, batch: Batch) -> Tensor:
        """Scores (queries, passages): of the batch's passages, under ``index=jpq`` of all. A batch of one side alone
        gives its vectors, (texts, d)."""
        from tasks.dense_retrieval import model as dual
        from tasks.dense_retrieval import quantised

        return quantised.scores(model, batch) if self.options.index == JPQ else dual.scores(model, batch)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """-log softmax over the batch's passages; under ``index=jpq`` the rank-weighted pairwise loss."""
        from tasks.dense_retrieval.model import contrastive_loss
        from tasks.dense_retrieval.quantised import ranking_loss

        if self.options.index == JPQ:
            return ranking_loss(outputs, batch, self.options.temperature, self.options.top)
        return contrastive_loss(outputs, batch, self.options.temperature)

    def part(self, batch: Batch, number: int, of: int) -> tuple[Batch, float]:
        """By queries; each is compared with all passages of the batch, which ``forward`` has every process encode some
        of."""
        from bench.ranks import part_of_rows

        shared = {name: tensor for name, tensor in batch.items() if name.startswith("passage_")}
        own, weight = part_of_rows({name: batch[name] for name in batch.keys() - shared.keys()}, number, of)
        return {**own, **shared}, weight

    def prunable(self, model: nn.Module) -> Sequence[str]:
        """Attention and feed-forward weights of the encoders that ``prune`` names."""
        from tasks.encoders import model as encoders

        return [name for name in encoders.prunable(model) if self._offered(name)]

    def _offered(self, name: str) -> bool:
        """Whether a parameter belongs to an encoder that is pruned; a tied one is called ``query``."""
        side = name.partition(".")[0]
        return self.options.prune == "both" or side == {"query": "query", "document": "passage"}[self.options.prune]

    def couplings(self, model: nn.Module) -> Sequence[Coupling]:
        """Feed-forward neurons (``rows``) and attention ``heads`` of the encoders that ``prune`` names."""
        from tasks.encoders import model as encoders

        return [coupling for coupling in encoders.couplings(model) if self._offered(coupling.name)]

    def portable(self, model: nn.Module) -> nn.Module:
        """The encoder as its library loads it, where there is but one; two, or one with an index, stay as they are."""
        inner: Any = model
        return model if hasattr(inner, "passage") or self.options.index == JPQ else inner.query.body

    def example(self) -> Batch:
        """What is pruned, once: a query, a passage, or one of each, at their greatest lengths."""
        from tasks.dense_retrieval.embed import padded

        lengths = {"query": self.options.query_length, "passage": self.options.passage_length}
        found = self.inputs
        return {
            f"{side}_{name}": tensor
            for side in self.options.sides
            for name, tensor in padded(found.filled(side, lengths[side]), found.tokens).items()
        }

    # Evaluation

    def evaluate(self, model: nn.Module, split: str) -> Evaluation:
        """Encodes passages and test queries, and searches each index; the leading search leaves a run file."""
        from bench.ranks import conclude
        from tasks.dense_retrieval.evaluation import evaluation
        from tasks.dense_retrieval.quantised import Quantised

        self._check(split)
        asked = self._asked(model)
        vectors = None if isinstance(model, Quantised) else self._vectors(model)
        conclude()
        found = evaluation(self._indexes(model, vectors), asked, self._corpus, self.options, self.name)
        notes: dict[str, Any] = {**found.notes, "at_full_length": self.inputs.at_full_length}
        if self.options.index == JPQ:
            notes["quantised"] = _compression(model, found.notes["index"]["JPQ"]["bytes"])
        return replace(found, notes=notes)

    def _asked(self, model: nn.Module) -> np.ndarray:
        from bench.ranks import spread
        from tasks.dense_retrieval.embed import embedded
        from tasks.dense_retrieval.model import encoder

        return embedded(encoder(model, "query"), self.inputs.test, self.inputs.tokens, spread)

    def _indexes(self, model: nn.Module, vectors: np.ndarray | None = None) -> dict[str, Any]:
        """By name, the leading one first; of the passages' ``vectors`` where they are known."""
        from tasks.dense_retrieval import indexes
        from tasks.dense_retrieval.quantised import Quantised

        if isinstance(model, Quantised):
            return {"JPQ": indexes.of_codes(model.as_codes())}
        chosen, vectors = self.options, self._vectors(model) if vectors is None else vectors
        return {
            "exhaustive": indexes.flat(vectors),
            "HNSW": indexes.hnsw(vectors, chosen.hnsw_links, chosen.hnsw_search),
            "IVF-PQ": indexes.ivf_pq(vectors, chosen.ivf_lists, chosen.ivf_probes, chosen.ivf_subvectors),
        }

    def _vectors(self, model: nn.Module) -> np.ndarray:
        """The passages' vectors, float32 (passages, d). They are kept while the passage encoder stays as it is (another
        measurement of the same model, or a query encoder pruned alone)."""
        from bench.ranks import spread
        from tasks.dense_retrieval import embed
        from tasks.dense_retrieval.model import encoder

        if self.options.fixed:
            return self._initial
        side = encoder(model, "passage")
        weights, precision = embed.digest(side), embed.precision(side)
        key = f"{weights} {precision}"
        if self._recent is None or self._recent[0] != key:
            untrained = precision == "float32" and weights == self._untrained
            # What may lie in the cache of one machine and not of another is no work to share.
            vectors = embed.kept(side, self.inputs) if untrained else embed.passages(side, self.inputs, spread)
            self._recent = (key, vectors)
        return self._recent[1]

    @cached_property
    def _untrained(self) -> str | None:
        """Digest of the checkpoint's encoder as it is: the one whose vectors are worth a place in the cache."""
        from tasks.dense_retrieval import building
        from tasks.dense_retrieval.embed import digest

        checkpoint = self.checkpoint()
        return None if checkpoint is None else digest(building.encoder(self.options, checkpoint, self.inputs))

    def timed(self, model: nn.Module, examples: int) -> Mapping[str, Callable[[], None]]:
        """A search for ``examples`` queries in each index, encoding not counted."""
        from tasks.dense_retrieval import indexes
        from tasks.dense_retrieval.quantised import Quantised

        built, asked = self._indexes(model), self._asked(model)[:examples]
        if isinstance(model, Quantised):
            built = {"exhaustive": indexes.flat(model.passages().detach().cpu().numpy()), **built}
        return {
            f"search, {name}": partial(indexes.once, index, asked, self.options.depth) for name, index in built.items()
        }

    def evaluation_options(self) -> Mapping[str, str | int | float | bool | None]:
        """How deep the run goes, and how approximate the indexes are."""
        chosen = self.options
        approximate = ("hnsw_links", "hnsw_search", "ivf_lists", "ivf_probes", "ivf_subvectors")
        flat = chosen.index == FLAT
        return {"depth": chosen.depth, **{name: getattr(chosen, name) if flat else None for name in approximate}}

    def references(self) -> Sequence[Reference]:
        """BM25; where the passages' vectors are a checkpoint's, also its flat and quantised search without training."""
        from tasks.dense_retrieval import building, evaluation
        from tasks.dense_retrieval.embed import embedded

        found = [evaluation.lexical(self._corpus, self.options)]
        checkpoint = self.checkpoint()
        if self.options.fixed and checkpoint is not None:
            encoder = building.encoder(self.options, checkpoint, self.inputs).eval()
            asked = embedded(encoder, self.inputs.test, self.inputs.tokens)
            found += evaluation.untrained(self._initial, asked, self._corpus, self.options)
        return found


def _compression(model: Any, whole: int) -> dict[str, int | float]:
    """Bytes of the codes, and how many times smaller than float32 vectors they are and the ``whole`` index file is."""
    codes, width = model.codes, len(model.rotation)
    vectors = 4 * width * len(codes)
    return {
        "vector_bytes": vectors,
        "code_bytes": codes.numel(),
        "codes_times_smaller": vectors / codes.numel(),
        "index_times_smaller": round(vectors / whole, 2),
    }


def _notes(options: Options) -> tuple[str, ...]:
    """Sentences for the table, of these options."""
    lengths = {"query": options.query_length, "passage": options.passage_length}
    example = " and ".join(f"one {side} of {lengths[side]} tokens" for side in options.sides)
    encoders: dict[tuple[str, ...], str] = {("query",): "the query encoder", ("passage",): "the passage encoder"}
    which = encoders.get(options.sides, "the encoder of both sides" if options.tied else "both encoders")
    said = [f"Prunable: attention and feed-forward weights of {which}; embeddings stay dense."]
    said.append(f"FLOPs and latency of a forward pass: {example}, without the search.")
    if options.fixed:
        said.append(FIXED)
    if options.index == JPQ:
        said.append(
            f"All metrics are of search in the quantised index, {options.subvectors} bytes a passage, whose centroids "
            "are trained with the query encoder; its bytes are the model's, and in the record's notes."
        )
    else:
        said.append(SEARCHED)
    return tuple(said)
