"""AG News: which of four topics a news article is about (Zhang, Zhao & LeCun 2015, arXiv:1509.01626, section 4)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from bench.checkpoints import Checkpoint, resolve
from bench.data import DataIdentity, Files, release_kind
from bench.masks.couplings import Coupling
from bench.sources import DataSet
from tasks.ag_news.options import (
    EMBEDDING_BAG,
    PRESETS,
    TRANSFORMER,
    AgNewsOptions,
    CheckpointOptions,
    EncoderOptions,
    presets_of,
)
from tasks.ag_news.reader import CLASSES, Articles, read_articles
from tasks.ag_news.sample import sample
from tasks.ag_news.source import AG_NEWS
from tasks.base import Evaluation, Metric, Preset, Reference
from tasks.chance import majority

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor, nn

    from tasks.base import Batch

    Numbers = npt.NDArray[np.integer]

FILES = {"train": "train.csv", "test": "test.csv"}
OFFICIAL_ROWS = {"train": 120_000, "test": 7_600}
LINEAR_ONLY = (
    "Only the linear layer's 256 weights are prunable; nearly all others are the embedding table's, so that total "
    "sparsity reads about 0.00. --prune-embeddings offers the table as well."
)
SPLIT = "Accuracy is on the test split; the source does not say on which split it measured."
BODY = (
    "Prunable: attention and feed-forward weights of the encoder; embeddings and classifier stay dense. "
    "--prune-embeddings offers the embedding table as well."
)
LONGEST = "FLOPs are those of a text of the greatest length; shorter ones cost less."


class Classifier(Protocol):
    """A model and what it is fed; texts go by their number in the split."""

    def build(self) -> nn.Module: ...

    def prunable(self, model: nn.Module) -> Sequence[str]: ...

    def inputs(self, split: str, texts: Numbers) -> Batch:
        """A batch of these texts, without labels."""
        ...

    def grouped(self, shuffled: Numbers, size: int, generator: np.random.Generator) -> Sequence[Numbers]:
        """Training texts in a random order, as the batches of an epoch: as many as ``size`` asks for."""
        ...

    def evaluated(self, split: str) -> Sequence[Numbers]:
        """All texts of the split, batch by batch, in an order that suits the model."""
        ...

    def forward(self, model: nn.Module, batch: Batch) -> Tensor: ...

    def example(self) -> Batch: ...

    def facts(self) -> Mapping[str, Any]:
        """What a record notes of the texts."""
        ...


class AgNews:
    """Four-way classification of AG News articles; accuracy on the test split."""

    name: ClassVar[str] = "ag-news"
    family: ClassVar[str] = "NLP"
    title: ClassVar[str] = "AG News topic classification"
    version: ClassVar[int] = 1
    dataset: ClassVar[str] = "ag_news_csv"
    required: ClassVar[Sequence[str]] = tuple(FILES.values())
    metrics: ClassVar[Sequence[Metric]] = (Metric("accuracy", percent=True), Metric("loss", higher_is_better=False))
    presets: ClassVar[Mapping[str, Preset]] = PRESETS
    presets_of = staticmethod(presets_of)
    models: ClassVar[Sequence[str]] = (EMBEDDING_BAG, TRANSFORMER, "minilm")
    notes: Sequence[str] = (LINEAR_ONLY, SPLIT)

    def __init__(self, files: Files, options: AgNewsOptions | EncoderOptions) -> None:
        self.files = files
        self.options = options
        if not isinstance(options, AgNewsOptions):
            self.notes = (LONGEST,) if options.prune_embeddings else (BODY, LONGEST)
        elif options.prune_embeddings:
            self.notes = (SPLIT,)

    @staticmethod
    def sample() -> Mapping[str, bytes]:
        return sample()

    @staticmethod
    def sources() -> Sequence[DataSet]:
        """Where the data is to be had."""
        return (AG_NEWS,)

    def identity(self) -> DataIdentity:
        counts = {split: len(self._articles[split]) for split in FILES}
        kind = release_kind(self.files, self.required, AG_NEWS, complete=counts == OFFICIAL_ROWS)
        return DataIdentity("AG News", kind, counts, self._digest)

    def examples(self) -> int:
        return len(self._articles["train"])

    def checkpoint(self) -> Checkpoint | None:
        """The pretrained encoder that ``--model`` names; None for the task's own models."""
        chosen = self.options
        return resolve(chosen.model, chosen.trust_remote_code) if isinstance(chosen, CheckpointOptions) else None

    def build(self, seed: int) -> nn.Module:
        return self.classifier.build()

    def batches(self, split: str, *, seed: int, size: int, start: int = 0) -> Iterator[Batch]:
        """Batches with ``labels`` (0 to 3), all int64. An embedding bag's have ``tokens`` (ids of all texts in a row)
        and ``offsets`` (where each text begins), an encoder's ``input_ids`` and ``attention_mask``. One batch of an
        epoch is what is left over, an embedding bag's last."""
        import numpy as np

        n = len(self._articles[split])
        per_epoch = math.ceil(n / size)
        if split != "train":
            for number in range(start, per_epoch):
                yield self._batch(split, np.arange(number * size, min(n, (number + 1) * size)))
            return
        epoch = -1
        batches: Sequence[Numbers] = ()
        for number in count(start):
            if number // per_epoch != epoch:
                epoch = number // per_epoch
                generator = np.random.default_rng([seed, epoch])
                batches = self.classifier.grouped(generator.permutation(n), size, generator)
            yield self._batch(split, batches[number % per_epoch])

    def forward(self, model: nn.Module, batch: Batch) -> Tensor:
        return self.classifier.forward(model, batch)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs, batch["labels"])

    def part(self, batch: Batch, number: int, of: int) -> tuple[Batch, float]:
        """By texts."""
        from bench.ranks import part_of_rows

        divide = getattr(self.classifier, "part", part_of_rows)
        found: tuple[Batch, float] = divide(batch, number, of)
        return found

    def evaluate(self, model: nn.Module, split: str) -> Evaluation:
        import numpy as np
        import torch
        from torch.nn.functional import cross_entropy

        from bench.ranks import conclude, spread

        device = next(model.parameters()).device
        n = len(self._articles[split])
        examples = {name: np.empty(n, dtype=np.float32) for name in ("accuracy", "loss")}
        batches = self.classifier.evaluated(split)

        def found(texts: Numbers) -> tuple[Tensor, Tensor]:
            batch = {name: tensor.to(device) for name, tensor in self._batch(split, texts).items()}
            logits = self.forward(model, batch).float()
            right = (logits.argmax(1) == batch["labels"]).float()
            return right, cross_entropy(logits, batch["labels"], reduction="none")

        with torch.no_grad():
            for texts, values in zip(batches, spread(batches, found), strict=True):
                for name, of_texts in zip(examples, values, strict=True):
                    examples[name][texts] = of_texts.cpu().numpy()
        conclude()
        metrics = {name: float(values.mean(dtype=np.float64)) for name, values in examples.items()}
        floor = {"accuracy": majority(self._labels[split])}
        notes = {**self.classifier.facts(), "floor": floor}
        return Evaluation(metrics=metrics, examples=examples, n=n, notes=notes)

    def prunable(self, model: nn.Module) -> Sequence[str]:
        return self.classifier.prunable(model)

    @property
    def couplings(self) -> Callable[[nn.Module], Sequence[Coupling]] | None:
        """Feed-forward neurons (``rows``) and attention ``heads`` of an encoder; an embedding bag has no units."""
        if isinstance(self.options, AgNewsOptions):
            return None

        def offered(model: nn.Module) -> Sequence[Coupling]:
            from tasks.encoders.model import couplings

            return tuple(couplings(model))

        return offered

    def example(self) -> Batch:
        import torch

        return {**self.classifier.example(), "labels": torch.zeros(1, dtype=torch.int64)}

    def evaluation_options(self) -> Mapping[str, str | int | float | bool | None]:
        return {}

    def references(self) -> Sequence[Reference]:
        return ()

    @cached_property
    def _articles(self) -> Mapping[str, Articles]:
        _ = self._digest  # reads to the end: a damaged archive is called so before one of its rows is blamed
        return {split: read_articles(self.files, name) for split, name in FILES.items()}

    @cached_property
    def _digest(self) -> str:
        return self.files.digest(self.required)

    @cached_property
    def _labels(self) -> Mapping[str, npt.NDArray[np.int64]]:
        import numpy as np

        articles = self._articles.items()
        return {split: np.frombuffer(found.labels, dtype=np.uint8).astype(np.int64) for split, found in articles}

    @cached_property
    def classifier(self) -> Classifier:
        """The model that the options name, and the texts as it takes them."""
        chosen = self.options
        texts = {split: articles.texts for split, articles in self._articles.items()}
        if isinstance(chosen, AgNewsOptions):
            from tasks.ag_news.bag import Bag
            from tasks.tokenized import tokenize

            corpus = tokenize(texts, digest=self._digest, min_frequency=chosen.min_frequency)
            return Bag(chosen, corpus, len(CLASSES))
        from tasks.ag_news import encoder

        if not isinstance(chosen, CheckpointOptions):
            return encoder.from_scratch(chosen, texts, digest=self._digest, classes=len(CLASSES))
        checkpoint = resolve(chosen.model, chosen.trust_remote_code)
        return encoder.pretrained(chosen, checkpoint, texts, digest=self._digest, classes=len(CLASSES))

    def _batch(self, split: str, texts: Numbers) -> Batch:
        import torch

        return {**self.classifier.inputs(split, texts), "labels": torch.from_numpy(self._labels[split][texts])}
