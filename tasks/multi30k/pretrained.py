"""Encoder-decoders of transformers (Marian, T5, BART): a hub's or a folder's weights with their own tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForSeq2SeqLM

from bench.checkpoints import Checkpoint, loaded
from bench.data import derived
from bench.errors import UsageError
from bench.masks.couplings import Coupling
from bench.pretrained import tokenizer as tokenizer_of
from bench.pretrained import weights
from tasks.multi30k.batches import IGNORED, Ids
from tasks.multi30k.options import Multi30kOptions
from tasks.multi30k.reader import SPLITS, Pairs
from tasks.text import TokenRows

if TYPE_CHECKING:
    from tasks.base import Batch

ATTENTION = "eager"
"""The fused kernels have no second derivative on the CPU, and GraSP needs one."""
SIDES = ("source", "target")
VERSION = 1
"""Raised when the same checkpoint and options would give other ids."""


class PretrainedRoute:
    """Sentence pairs as a checkpoint's tokens, and its model."""

    def __init__(
        self, pairs: Mapping[str, Pairs], checkpoint: Checkpoint, digest: str, options: Multi30kOptions
    ) -> None:
        self.pairs, self.checkpoint, self.digest, self.options = pairs, checkpoint, digest, options

    @cached_property
    def config(self) -> Any:
        """The checkpoint's configuration. Raises ``UsageError`` where it is no encoder-decoder."""
        config = loaded(self.checkpoint, AutoConfig.from_pretrained)
        where = f"--model {self.checkpoint.label}"
        if not getattr(config, "is_encoder_decoder", False):
            raise UsageError(f"a {config.model_type} is no encoder-decoder", where=where, mend="Give a Marian, say.")
        if config.decoder_start_token_id is None or config.pad_token_id is None:
            raise UsageError("its config.json lacks decoder_start_token_id or pad_token_id", where=where)
        return config

    @cached_property
    def tokenizer(self) -> Any:
        return tokenizer_of(self.checkpoint)

    @cached_property
    def _most(self) -> int:
        """Tokens of a sentence at most: what the option says, or the model's positions where those are fewer."""
        positions = getattr(self.config, "max_position_embeddings", None)
        return self.options.max_length if positions is None else min(self.options.max_length, int(positions))

    @cached_property
    def _arrays(self) -> derived.Arrays:
        asked = {"what": "multi30k", "version": VERSION, "data": self.digest, "checkpoint": self.checkpoint.digest}
        chosen = {"max_length": self._most, "prefix": self.options.prefix, "lower_case": self.options.lower_case}
        return derived.arrays({**asked, **chosen}, self._encoded)

    def _encoded(self) -> dict[str, np.ndarray]:
        found: dict[str, np.ndarray] = {}
        for split, side in ((split, side) for split in SPLITS for side in SIDES):
            ids, cut = self._ids(getattr(self.pairs[split], side), side)
            name = f"{split}-{side}"
            found[f"{name}-tokens"] = np.asarray([token for row in ids for token in row], dtype=np.int32)
            found[f"{name}-offsets"] = np.cumsum([0, *map(len, ids)]).astype(np.int64)
            found[f"{name}-cut"] = np.asarray(cut)
        return found

    def _ids(self, texts: Sequence[str], side: str) -> tuple[list[list[int]], int]:
        """Ids of each text, and how many texts were too long; of those the beginning stays, and the end token."""
        prefix = self.options.prefix if side == "source" else ""
        given = [prefix + (text.lower() if self.options.lower_case else text) for text in texts]
        called = {"text": given} if side == "source" else {"text_target": given}
        whole: list[list[int]] = self.tokenizer(**called, verbose=False)["input_ids"]
        most = self._most
        rows = [row if len(row) <= most else [*row[: most - 1], row[-1]] for row in whole]
        return rows, sum(len(row) > most for row in whole)

    @cached_property
    def rows(self) -> Mapping[str, tuple[TokenRows, TokenRows]]:
        """Split to its source and target rows, marks included."""

        def side(name: str) -> TokenRows:
            return TokenRows(self._arrays[f"{name}-tokens"], self._arrays[f"{name}-offsets"])

        return {split: (side(f"{split}-source"), side(f"{split}-target")) for split in SPLITS}

    def truncated(self, split: str) -> dict[str, int]:
        """Lines of each side that are longer than the model's maximum."""
        return {side: int(self._arrays[f"{split}-{side}-cut"]) for side in SIDES}

    def batch(self, split: str, numbers: Ids) -> Batch:
        """``input_ids``, ``attention_mask`` and ``labels``, int64 of shape (sentences, longest)."""
        source, target = (rows.take(numbers) for rows in self.rows[split])
        return self._batch(source, target)

    def _batch(self, source: TokenRows, target: TokenRows) -> Batch:
        mask = np.arange(np.diff(source.offsets).max()) < np.diff(source.offsets)[:, None]
        return {
            "input_ids": torch.from_numpy(_filled(source, int(self.config.pad_token_id))),
            "attention_mask": torch.from_numpy(mask.astype(np.int64)),
            "labels": torch.from_numpy(_filled(target, IGNORED)),
        }

    def example(self, length: int) -> Batch:
        """A pair of sentences of ``length`` of the checkpoint's tokens."""
        length = min(length, self._most)
        offsets = np.asarray([0, length])
        source, target = (TokenRows(np.resize(rows.tokens, length), offsets) for rows in self.rows["train"])
        return self._batch(source, target)

    def build(self) -> nn.Module:
        config = self.config
        model: nn.Module = weights(
            self.checkpoint,
            lambda folder, **asked: AutoModelForSeq2SeqLM.from_pretrained(
                folder, config=config, attn_implementation=ATTENTION, dtype=torch.float32, **asked
            ),
        )
        return model.train()

    def forward(self, model: nn.Module, batch: Batch) -> Tensor:
        labels, config = batch["labels"], self.config
        start = torch.full_like(labels[:, :1], int(config.decoder_start_token_id))
        before = labels[:, :-1].masked_fill(labels[:, :-1] == IGNORED, int(config.pad_token_id))
        logits: Tensor = model(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            decoder_input_ids=torch.cat([start, before], dim=1),
            use_cache=False,
        ).logits
        return logits

    def translate(self, model: Any, split: str, numbers: Ids) -> list[str]:
        """Translations by transformers' ``generate``; what the options do not say is the checkpoint's own."""
        chosen = self.options
        batch = self.batch(split, numbers)
        beams = chosen.beams if chosen.decode == "beam" else 1
        made = model.generate(
            input_ids=batch["input_ids"].to(model.device),
            attention_mask=batch["attention_mask"].to(model.device),
            do_sample=False,
            num_beams=beams,
            max_new_tokens=chosen.max_output,
            max_length=None,
            **({"length_penalty": chosen.length_penalty} if beams > 1 else {}),
        )
        return [text.strip() for text in self.tokenizer.batch_decode(made, skip_special_tokens=True)]

    def prunable(self, model: nn.Module) -> tuple[str, ...]:
        """Weights of the linear layers of encoder and decoder; with ``prune_embeddings`` embeddings and output too."""
        output = model.get_output_embeddings()  # type: ignore[operator]
        body = [
            f"{name}.weight"
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear) and module is not output and {"encoder", "decoder"} & {*name.split(".")}
        ]
        if not self.options.prune_embeddings:
            return tuple(body)
        ends = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding) or module is output}
        return tuple(name for name, parameter in model.named_parameters() if name in body or id(parameter) in ends)

    def couplings(self, model: nn.Module) -> tuple[Coupling, ...]:
        """None: which units an architecture has is its own affair."""
        return ()

    def narrowed(self, model: nn.Module, kept: Mapping[str, Tensor]) -> None:
        """Nothing was removed."""


def _filled(rows: TokenRows, pad: int) -> Ids:
    """Ids of shape (rows, longest), filled up with ``pad``."""
    lengths = np.diff(rows.offsets)
    places = np.arange(lengths.max())
    ids = np.full((len(lengths), len(places)), pad, dtype=np.int64)
    ids[places < lengths[:, None]] = rows.tokens
    return ids
