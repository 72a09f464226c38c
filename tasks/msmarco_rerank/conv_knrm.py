"""``conv-knrm``: soft matches of n-grams, counted by kernels (Dai, Xiong, Callan & Liu 2018)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tasks.msmarco_rerank.kernels import gaussian, log_sum, only, unit
from tasks.msmarco_rerank.text import PAD_ID, UNKNOWN_ID

CENTRES = (1.0, 0.9, 0.7, 0.5, 0.3, 0.1, -0.1, -0.3, -0.5, -0.7, -0.9)
WIDTHS = (0.001, *(0.1,) * 10)
"""One kernel for exact matches and ten for soft ones (section 3.2 of the paper)."""
DAMPING = 0.01
"""Factor before the logarithms of the kernel sums."""
GAIN = 10.0
"""The paper trains its last layer at 10 times the learning rate of the rest. Under Adam, whose steps do not depend on
the size of the gradient, a layer whose weights are used times 10 does just that."""


class ConvKnrm(nn.Module):
    """phi_k(M) = sum_i 0.01 log max(sum_j exp(-(M_ij - mu_k)^2 / (2 sigma_k^2)), 1e-10) of the 3 x 3 cosine matrices M
    between query n-grams i and passage n-grams j; the score is linear in all phi (equations 4 to 8 of the paper)."""

    def __init__(self, vocabulary: int, width: int, filters: int, ngrams: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width, padding_idx=PAD_ID)
        self.convolutions = nn.ModuleList(nn.Conv1d(width, filters, size) for size in range(1, ngrams + 1))
        self.dense = nn.Linear(ngrams * ngrams * len(CENTRES), 1, bias=False)
        with torch.no_grad():
            self.dense.weight.div_(GAIN)

    def forward(self, query: Tensor, document: Tensor) -> Tensor:
        """Scores of pairs: ids (pairs, query length) and (pairs, document length) to (pairs,)."""
        asked = (query > UNKNOWN_ID).to(self.dense.weight.dtype)  # two unknown words are no exact match
        there = (document != PAD_ID)[:, None, :]
        grams = self._grams(query), self._grams(document)
        with torch.autocast(query.device.type, enabled=False):  # bfloat16 has no cosine between 0.996 and 1
            features = [self._pooled(left @ right.mT, asked, there) for left in grams[0] for right in grams[1]]
            scores: Tensor = self.dense(torch.cat(features, dim=1))[:, 0] * GAIN
        return scores

    def _grams(self, ids: Tensor) -> list[Tensor]:
        """Unit vectors of the n-grams that begin at each position, (texts, length, filters) for each n."""
        embedded = self.embedding(ids).mT
        found = []
        for size, convolution in enumerate(self.convolutions):
            padded = nn.functional.pad(embedded, (0, size))
            found.append(unit(torch.relu(convolution(padded)).mT.to(embedded.dtype)))
        return found

    def _pooled(self, cosines: Tensor, asked: Tensor, there: Tensor) -> Tensor:
        """phi of one cosine matrix, (pairs, kernels)."""
        matches = only(cosines, there)
        soft = [
            (log_sum(gaussian(matches, centre, width)) * asked).sum(-1)
            for centre, width in zip(CENTRES, WIDTHS, strict=True)
        ]
        return DAMPING * torch.stack(soft, dim=-1)


def prunable(model: ConvKnrm) -> tuple[str, ...]:
    """The convolutions; the embeddings and the layer over the kernels stay."""
    return tuple(f"convolutions.{index}.weight" for index in range(len(model.convolutions)))
