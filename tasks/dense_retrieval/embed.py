"""Texts to vectors, in batches of similar length; and what an encoder's vectors depend upon, as a digest."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.data.derived import arrays
from bench.errors import CellError
from bench.ranks import one_by_one
from bench.state import live_tensors
from tasks.dense_retrieval.inputs import SPECIAL, Inputs
from tasks.dense_retrieval.model import Encoder
from tasks.encoders.model import ATTENTION
from tasks.encoders.tokens import Tokens
from tasks.text import TokenRows

TOKENS = 4_096
"""Tokens of a batch, padding included: bounds memory, and keeps what one thread works on near it."""
FUSED = "sdpa"
VERSION = 1
"""Raised when the same encoder would give other vectors: those of checkpoints lie in a cache."""


def padded(rows: TokenRows, tokens: Tokens) -> dict[str, Tensor]:
    """``ids`` and ``mask``, int64 (texts, longest): [CLS], the text, [SEP], padding."""
    lengths = np.diff(rows.offsets)
    ids = np.full((len(rows), int(lengths.max(initial=0)) + SPECIAL), tokens.pad, dtype=np.int64)
    slots = np.arange(ids.shape[1])
    ids[:, 0] = tokens.cls
    ids[(slots > 0) & (slots <= lengths[:, None])] = rows.tokens
    ids[np.arange(len(rows)), lengths + 1] = tokens.sep
    mask = (slots < lengths[:, None] + SPECIAL).astype(np.int64)
    return {"ids": torch.from_numpy(ids), "mask": torch.from_numpy(mask)}


@contextmanager
def _fused(body: Any) -> Iterator[None]:
    """Attention in one kernel: without a second derivative, and half as fast again on long texts."""
    body.set_attn_implementation(FUSED)
    try:
        yield
    finally:
        body.set_attn_implementation(ATTENTION)


Each = Callable[[Sequence[np.ndarray], Callable[[np.ndarray], Sequence[Tensor]]], Iterator[Sequence[Tensor]]]
"""How work is carried out on batches: ``one_by_one``, or ``bench.ranks.spread`` where all processes embed at once."""


def embedded(encoder: Encoder, rows: TokenRows, tokens: Tokens, each: Each = one_by_one) -> np.ndarray:
    """Vectors of all texts, float32 (texts, d), in their order. The encoder is in eval mode.

    Raises ``CellError`` where a vector is not finite.
    """
    device = next(encoder.parameters()).device
    lengths = np.diff(rows.offsets) + SPECIAL
    order = np.argsort(-lengths, kind="stable")
    batches: list[np.ndarray] = []
    first = 0
    while first < len(order):
        batches.append(order[first : first + max(1, TOKENS // int(lengths[order[first]]))])
        first += len(batches[-1])

    def of(chosen: np.ndarray) -> tuple[Tensor]:
        batch = {name: tensor.to(device) for name, tensor in padded(rows.take(chosen), tokens).items()}
        with torch.no_grad(), _fused(encoder.body):
            return (encoder(batch["ids"], batch["mask"]).float().cpu(),)

    vectors = np.concatenate([found.numpy() for (found,) in each(batches, of)])
    if not np.isfinite(vectors).all():
        raise CellError("a text's vector is not finite", mend="The model's weights or its training have diverged.")
    placed = np.empty_like(vectors)
    placed[order] = vectors
    return placed


def digest(module: nn.Module) -> str:
    """SHA-256 over names and values of all parameters and buffers, 64 hexadecimal digits."""
    found = hashlib.sha256()
    for name, tensor in live_tensors(module).items():
        found.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        found.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def about(encoder: Encoder, inputs: Inputs) -> dict[str, Any]:
    """What the passages' vectors depend upon, as plain data."""
    pooled = {"pooling": encoder.pooling, "normalised": encoder.normalised}
    return {"encoder": digest(encoder), **pooled, **inputs.identity}


def precision(encoder: nn.Module) -> str:
    """The number type that the encoder computes in at this moment."""
    kind = next(encoder.parameters()).device.type
    return str(torch.get_autocast_dtype(kind)) if torch.is_autocast_enabled(kind) else "float32"


def passages(encoder: Encoder, inputs: Inputs, each: Each = one_by_one) -> np.ndarray:
    """Vectors of the passages, float32 (passages, d)."""
    return embedded(encoder, inputs.passages, inputs.tokens, each)


def kept(encoder: Encoder, inputs: Inputs) -> np.ndarray:
    """Vectors of the passages, in float32, by an encoder in eval mode; from the cache where they are known."""

    def made() -> dict[str, np.ndarray]:
        with torch.autocast(next(encoder.parameters()).device.type, enabled=False):
            return {"vectors": passages(encoder, inputs)}

    return arrays({"vectors": VERSION, **about(encoder, inputs)}, made)["vectors"]
