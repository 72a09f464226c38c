"""Losses of groups of scores: column 0 is the relevant passage's, the others are the negatives'."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import log_softmax, relu, softplus

MARGIN = 1.0


def listwise(scores: Tensor) -> Tensor:
    """Softmax cross entropy over the group: -log softmax of the relevant one, mean over queries."""
    return -log_softmax(scores, dim=1)[:, 0].mean()


def ranknet(scores: Tensor) -> Tensor:
    """log(1 + exp(-(s+ - s-))), mean over all pairs (Burges et al. 2005)."""
    return softplus(scores[:, 1:] - scores[:, :1]).mean()


def margin(scores: Tensor) -> Tensor:
    """max(0, 1 - s+ + s-), mean over all pairs (Dai et al. 2018, equation 9)."""
    return relu(MARGIN - scores[:, :1] + scores[:, 1:]).mean()


def pointwise(scores: Tensor) -> Tensor:
    """Cross entropy of each passage's own relevance, the score its log-odds (Nogueira & Cho 2019, equation 1); mean
    over passages."""
    return (softplus(-scores[:, 0]).sum() + softplus(scores[:, 1:]).sum()) / scores.numel()


LOSSES = {"listwise": listwise, "ranknet": ranknet, "margin": margin, "pointwise": pointwise}
