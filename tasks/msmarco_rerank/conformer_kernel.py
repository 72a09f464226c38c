"""``conformer-kernel``: NDRM1, 2 and 3 (Mitra, Hofstätter, Zamani & Craswell 2020, arXiv 2007.10434).

Query term independence: S(q, d) = sum over the terms t of q of s(t, d), and s looks at one term and the passage alone.
So every (term, passage) needs scoring once whatever queries hold the term, and a query's scores are a sum.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tasks.msmarco_rerank.conformer import ConformerLayer, sinusoids
from tasks.msmarco_rerank.kernels import ABSENT, gaussian, log_sum, only, unit
from tasks.msmarco_rerank.text import PAD_ID, UNKNOWN_ID

KERNELS = 10
CENTRES = tuple(1 - 2 * number / KERNELS for number in range(KERNELS))
WIDTH = 0.1
HIDDEN = 256
"""Width of the layer between kernels and score."""
DAMPING = 0.1
"""Before the logarithms of the kernel sums, which reach from -23 to 6: the first layer sees numbers near 1."""


@dataclass(frozen=True)
class Shape:
    """Sizes of the encoder and of the windows over its output."""

    width: int
    layers: int
    heads: int
    d_ff: int
    kernel: int
    groups: int
    window: int
    stride: int
    dropout: float


@dataclass(frozen=True)
class Encoded:
    """Passages as the scores of terms need them."""

    ids: Tensor
    """int64 (passages, length)."""
    vectors: Tensor | None
    """(passages, length, width), of length 1; None where no latent match is looked for."""


class Latent(nn.Module):
    """NDRM1: how well the best window of the passage matches the term, by kernels over cosines."""

    def __init__(self, vocabulary: int, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(vocabulary, shape.width, padding_idx=PAD_ID)
        self.term = nn.Linear(shape.width, shape.width)
        self.layers = nn.ModuleList(
            ConformerLayer(shape.width, shape.d_ff, shape.heads, shape.kernel, shape.groups, shape.dropout)
            for _ in range(shape.layers)
        )
        self.dropout = nn.Dropout(shape.dropout)
        self.combine = nn.Sequential(nn.Linear(KERNELS, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1))
        # Without pretrained vectors a term must find its own word in a passage before it can find others.
        nn.init.eye_(self.term.weight)
        nn.init.zeros_(self.term.bias)

    def encode(self, ids: Tensor) -> Tensor:
        """(passages, length) to unit vectors (passages, length, width)."""
        there = (ids != PAD_ID).to(self.term.weight.dtype)
        states = self.embedding(ids)
        states = self.dropout(states + sinusoids(ids.shape[1], self.shape.width, states))
        for layer in self.layers:
            states = layer(states, there)
        return unit(states.to(self.term.weight.dtype))

    def forward(self, terms: Tensor, passages: Encoded) -> Tensor:
        """s(t, d): terms (passages or 1, terms) to (passages, terms)."""
        assert passages.vectors is not None
        with torch.autocast(terms.device.type, enabled=False):  # scores of many passages, which bfloat16 would tie
            return self._matched(unit(self.term(self.embedding(terms))) @ passages.vectors.mT, passages)

    def _matched(self, cosines: Tensor, passages: Encoded) -> Tensor:
        """The kernels' score of the best window: (passages, terms, length) to (passages, terms)."""
        there = passages.ids != PAD_ID
        cut = self._windows(only(cosines, there[:, None]))
        logs = [log_sum(gaussian(cut, centre, WIDTH)) for centre in CENTRES]
        scores = self.combine(DAMPING * torch.stack(logs, dim=-1))[..., 0]
        best: Tensor = scores.masked_fill(~self._used(there)[:, None], -torch.inf).amax(-1)
        return best

    def _windows(self, values: Tensor) -> Tensor:
        """(..., length) to (..., windows, window), nothing behind the end; no window is longer than the length."""
        length = values.shape[-1]
        window = min(self.shape.window, length)
        behind = -(length - window) % self.shape.stride
        return nn.functional.pad(values, (0, behind), value=ABSENT).unfold(-1, window, self.shape.stride)

    def _used(self, there: Tensor) -> Tensor:
        """bool (passages, windows): windows that the passage fills or is cut by, its first always. How long the other
        passages of a batch are changes nothing."""
        length = there.shape[-1]
        window = min(self.shape.window, length)
        count = 1 + -(-(length - window) // self.shape.stride)
        starts = torch.arange(count, device=there.device) * self.shape.stride
        needed = there.sum(-1, keepdim=True) - self.shape.window + self.shape.stride
        return (starts < needed) | (starts == 0)


class Explicit(nn.Module):
    """NDRM2: idf * tf / (tf + relu(w dl' + b) + 1e-6), dl' the passage's length over the collection's mean.

    The paper scales tf and length by running means over batches. The collection's own mean length stands here, and tf
    stays as it is: the same family of functions, and no score depends on other passages. With w = k1 b and
    b = k1 (1 - b), where this starts, it is BM25 up to the factor k1 + 1.
    """

    idf: Tensor
    mean_length: Tensor

    def __init__(self, idf: Tensor, mean_length: float, k1: float, b: float) -> None:
        super().__init__()
        self.register_buffer("idf", idf)
        self.register_buffer("mean_length", torch.tensor(float(mean_length)))
        self.weight = nn.Parameter(torch.tensor(k1 * b))
        self.bias = nn.Parameter(torch.tensor(k1 * (1 - b)))

    def forward(self, terms: Tensor, passages: Encoded) -> Tensor:
        """s(t, d): terms (passages or 1, terms) to (passages, terms)."""
        counts = (terms[:, :, None] == passages.ids[:, None, :]).sum(-1).to(self.idf.dtype)
        lengths = (passages.ids != PAD_ID).sum(-1).to(self.idf.dtype) / self.mean_length
        saturation = torch.relu(self.weight * lengths + self.bias)[:, None]
        return self.idf[terms] * counts / (counts + saturation + 1e-6)


class ConformerKernel(nn.Module):
    """NDRM1, NDRM2 or, of both, NDRM3: a linear layer over their batch-normalised scores of a term."""

    def __init__(self, latent: Latent | None, explicit: Explicit | None) -> None:
        super().__init__()
        self.latent = latent
        self.explicit = explicit
        if latent is not None and explicit is not None:
            self.norm = nn.BatchNorm1d(2)
            self.mix = nn.Linear(2, 1)
            nn.init.ones_(self.mix.weight)
            nn.init.zeros_(self.mix.bias)

    def forward(self, query: Tensor, document: Tensor) -> Tensor:
        """Scores of pairs: ids (pairs, query length) and (pairs, document length) to (pairs,)."""
        asked = query > UNKNOWN_ID
        scores = self.term_scores(query, self.encode(document), asked)
        return scores.masked_fill(~asked, 0.0).sum(-1)

    def encode(self, ids: Tensor) -> Encoded:
        """Passages (passages, length), ready for any term."""
        return Encoded(ids, self.latent.encode(ids) if self.latent is not None else None)

    def term_scores(self, terms: Tensor, passages: Encoded, asked: Tensor | None = None) -> Tensor:
        """s(t, d), (passages, terms): ``terms`` (passages, terms), or (1, terms) for the same ones everywhere.

        ``asked`` (like ``terms``) says which are there; others get a 0, and no part in the batch norm's statistics.
        """
        parts = [part(terms, passages) for part in (self.latent, self.explicit) if part is not None]
        if len(parts) == 1:
            alone: Tensor = parts[0]
            return alone
        both = torch.stack(parts, dim=-1)
        chosen = torch.ones_like(both[..., 0], dtype=torch.bool) if asked is None else asked
        with torch.autocast(both.device.type, enabled=False):
            mixed = self.mix(self.norm(both[chosen]))[:, 0]
        return torch.zeros_like(both[..., 0]).masked_scatter(chosen, mixed)


def prunable(model: ConformerKernel) -> tuple[str, ...]:
    """Linear layers and convolutions of the encoder and the terms' projection; no kernel layer, mix or norm."""
    kinds = (nn.Linear, nn.Conv1d)
    return tuple(
        f"{name}.weight"
        for name, module in model.named_modules()
        if isinstance(module, kinds) and name.startswith(("latent.layers.", "latent.term"))
    )
