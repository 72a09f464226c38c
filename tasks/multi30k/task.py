"""The task's face to the harness."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, ClassVar

from bench.checkpoints import Checkpoint, resolve
from bench.data import DataIdentity, Files, release_kind
from bench.errors import UsageError
from bench.masks.couplings import Coupling
from bench.registry import suggestion
from bench.sources import DataSet
from tasks.base import Evaluation, Metric, Preset, Reference
from tasks.multi30k.options import MODELS, PRESETS, Multi30kOptions
from tasks.multi30k.reader import SPLITS, Pairs, names, read_pairs
from tasks.multi30k.source import MULTI30K

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from torch import Tensor, nn

    from tasks.base import Batch
    from tasks.multi30k.pretrained import PretrainedRoute
    from tasks.multi30k.scratch import Scratch

OFFICIAL = {"train": 29_000, "val": 1_014, "test": 1_000}
EVALUATION_BATCH = 128
EXAMPLE_TOKENS = 15
"""Length of ``example()``, marks included: a sentence of the official test split has 12.9 words."""
BLEU = (
    "BLEU: torchmetrics, up to 4-grams, lower-cased words, one reference. sacreBLEU: 13a, lower-cased texts. Both of "
    "test_2016_flickr."
)
BODY = "Prunable: attention and feed-forward weights of encoder and decoder; embeddings and generator stay dense."
NOT_MEANS = ("BLEU", "sacreBLEU", "chrF", "loss")


class Multi30k:
    """Translation of image captions from German to English (Elliott et al. 2016), scored by BLEU.

    The loss is the cross entropy of the target's tokens, a mean over all tokens of a batch, padding left out: a
    sentence weighs as much as it is long, as in the source. Batches hold sentences of similar length.
    """

    name: ClassVar[str] = "multi30k"
    title: ClassVar[str] = "Multi30k translation, German to English"
    version: ClassVar[int] = 1
    family: ClassVar[str] = "NLP"
    dataset: ClassVar[str] = "multi30k"
    required: ClassVar[Sequence[str]] = tuple(name for split in SPLITS for name in names(split))
    metrics: ClassVar[Sequence[Metric]] = (
        Metric("BLEU", percent=True),
        Metric("sacreBLEU", percent=True),
        Metric("chrF", percent=True),
        Metric("loss", higher_is_better=False),
    )
    presets: ClassVar[Mapping[str, Preset]] = PRESETS
    models: ClassVar[Sequence[str]] = MODELS
    notes: Sequence[str] = (BLEU, BODY)

    def __init__(self, files: Files, options: Multi30kOptions) -> None:
        self.files = files
        self.options = options
        if options.prune_embeddings:
            self.notes = (BLEU,)

    @staticmethod
    def sample() -> Mapping[str, bytes]:
        """A small synthetic pair of languages; see ``tasks.multi30k.sample``."""
        from tasks.multi30k.sample import sample

        return sample()

    @cached_property
    def _pairs(self) -> Mapping[str, Pairs]:
        return {split: read_pairs(self.files, split) for split in SPLITS}

    @cached_property
    def _route(self) -> Scratch | PretrainedRoute:
        """How text becomes ids and ids become translations: by the task's own model, or by a checkpoint's."""
        checkpoint = self.checkpoint()
        digest = self.files.digest(self.required)
        if checkpoint is not None:
            from tasks.multi30k.pretrained import PretrainedRoute

            return PretrainedRoute(self._pairs, checkpoint, digest, self.options)
        from tasks.multi30k.corpus import corpus
        from tasks.multi30k.scratch import Scratch

        return Scratch(corpus(self._pairs, digest, self.options), self.options)

    def checkpoint(self) -> Checkpoint | None:
        """The encoder-decoder that ``--model`` names; None for the task's own."""
        return None if self.options.model in MODELS else resolve(self.options.model, self.options.trust_remote_code)

    @staticmethod
    def sources() -> Sequence[DataSet]:
        """Where the data is to be had."""
        return (MULTI30K,)

    def identity(self) -> DataIdentity:
        counts = {split: len(pairs) for split, pairs in self._pairs.items()}
        kind = release_kind(self.files, self.required, MULTI30K, complete=counts == OFFICIAL)
        return DataIdentity("Multi30k de-en", kind, counts, self.files.digest(self.required))

    def examples(self) -> int:
        return len(self._pairs["train"])

    def build(self, seed: int) -> nn.Module:
        return self._route.build()

    def batches(self, split: str, *, seed: int, size: int, start: int = 0) -> Iterator[Batch]:
        """``train``: batches of similar length, every pair once an epoch; other splits in the order of the file."""
        import numpy as np

        from tasks.multi30k.batches import epoch

        self._check(split)
        source, target = (np.diff(rows.offsets) for rows in self._route.rows[split])
        per_epoch = math.ceil(len(source) / size)
        if split != "train":
            for place in range(start * size, len(source), size):
                yield self._route.batch(split, np.arange(place, min(place + size, len(source))))
            return
        batches: list[npt.NDArray[np.int64]] = []
        for number in count(start):
            if not batches or number % per_epoch == 0:
                batches = epoch(source, target, size, [seed, number // per_epoch])
            yield self._route.batch(split, batches[number % per_epoch])

    def _check(self, split: str) -> None:
        if split not in SPLITS:
            raise UsageError(f"no split {split!r}", where=self.name, mend=suggestion(split, [*SPLITS]))

    def forward(self, model: nn.Module, batch: Batch) -> Tensor:
        """Teacher-forced logits, (sentences, target positions, target vocabulary)."""
        return self._route.forward(model, batch)

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        from torch.nn.functional import cross_entropy

        from tasks.multi30k.batches import IGNORED

        return cross_entropy(
            outputs.flatten(0, 1),
            batch["labels"].flatten(),
            ignore_index=IGNORED,
            label_smoothing=self.options.label_smoothing,
        )

    def part(self, batch: Batch, number: int, of: int) -> tuple[Batch, float]:
        """By sentences, each of which weighs as much as it is long."""
        from bench.ranks import part_of_rows
        from tasks.multi30k.batches import IGNORED

        part, _ = part_of_rows(batch, number, of)
        own, whole = (int((labels != IGNORED).sum()) for labels in (part["labels"], batch["labels"]))
        return part, own / whole

    def evaluate(self, model: nn.Module, split: str) -> Evaluation:
        """Translates the split. ``loss`` is the mean over its target tokens, without smoothing."""
        from bench.ranks import conclude
        from tasks.multi30k.scores import measure, table

        self._check(split)
        pairs = self._pairs[split]
        losses, tokens = self._losses(model, split)
        outputs = self._translations(model, split)
        conclude()
        metrics, values = measure(outputs, pairs.target)
        return Evaluation(
            metrics={**metrics, "loss": float(losses.sum() / tokens.sum())},
            examples={**values, "loss": (losses / tokens).astype("float32")},
            n=len(pairs),
            files={"translations": table(pairs.source, pairs.target, outputs)},
            notes={
                "not_means": list(NOT_MEANS),
                "floor": {"BLEU": 0.0},
                "samples": ["translations"],
                "truncated": {name: self._route.truncated(name) for name in ("train", split)},
                "output_words": sum(len(text.split()) for text in outputs),
                "reference_words": sum(len(text.split()) for text in pairs.target),
            },
        )

    def _losses(self, model: nn.Module, split: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
        """Of each sentence the summed cross entropy of its tokens, and their number."""
        import numpy as np
        import torch
        from torch.nn.functional import cross_entropy

        from bench.ranks import spread
        from tasks.multi30k.batches import IGNORED

        device = next(model.parameters()).device
        pairs = np.arange(len(self._pairs[split]))

        def found(numbers: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
            batch = {name: tensor.to(device) for name, tensor in self._route.batch(split, numbers).items()}
            logits = self.forward(model, batch).float().transpose(1, 2)
            losses = cross_entropy(logits, batch["labels"], ignore_index=IGNORED, reduction="none")
            return losses.sum(1).double(), (batch["labels"] != IGNORED).sum(1)

        with torch.no_grad():
            losses, tokens = zip(*spread(_in_batches(pairs), found), strict=True)
        return torch.cat(losses).cpu().numpy(), torch.cat(tokens).cpu().numpy()

    def _translations(self, model: nn.Module, split: str) -> list[str]:
        """In the order of the file; sentences of similar length are translated together."""
        import numpy as np

        from bench.ranks import as_tensor, as_texts, spread

        lengths = np.diff(self._route.rows[split][0].offsets)
        batches = _in_batches(np.argsort(lengths, kind="stable"))
        translated = spread(batches, lambda numbers: (as_tensor(self._route.translate(model, split, numbers)),))
        found = [""] * len(lengths)
        for numbers, (texts,) in zip(batches, translated, strict=True):
            for number, text in zip(numbers.tolist(), as_texts(texts), strict=True):
                found[number] = text
        return found

    def prunable(self, model: nn.Module) -> Sequence[str]:
        return self._route.prunable(model)

    def couplings(self, model: nn.Module) -> Sequence[Coupling]:
        return tuple(self._route.couplings(model))

    def narrowed(self, model: nn.Module, kept: Mapping[str, Tensor]) -> None:
        self._route.narrowed(model, kept)

    def example(self) -> Batch:
        """A pair of sentences of ``EXAMPLE_TOKENS`` tokens, or the model's maximum where that is less."""
        return self._route.example(min(EXAMPLE_TOKENS, self.options.max_length))

    def evaluation_options(self) -> Mapping[str, str | int | float | bool | None]:
        """How translations are looked for."""
        chosen = self.options
        beam = chosen.decode == "beam"
        return {
            "decode": chosen.decode,
            "beams": chosen.beams if beam else None,
            "length_penalty": chosen.length_penalty if beam else None,
            "max_output": chosen.max_output,
        }

    def references(self) -> Sequence[Reference]:
        return ()


def _in_batches(numbers: npt.NDArray[np.int64]) -> list[npt.NDArray[np.int64]]:
    return [numbers[place : place + EVALUATION_BATCH] for place in range(0, len(numbers), EVALUATION_BATCH)]
