"""Translating many sentences at once: greedy and beam search over a cache of keys and values.

The source sentence's keys and values are computed once, a target position's when it is reached. Sentences that are
finished leave the batch. No gradients.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from tasks.multi30k.cache import Cache, Source
from tasks.multi30k.model import Seq2SeqTransformer

LEAVE = 0.1
"""Share of a batch's sentences that must be finished before they leave: moving the others costs a copy."""


@dataclass(frozen=True)
class Search:
    """How to look for a translation."""

    begin: int
    end: int
    most: int
    """Tokens of a translation at most, its end included."""
    beams: int = 1
    """1 is greedy."""
    length_penalty: float = 1.0
    """Translations are ranked by log probability / length ** this, the end counted; 0 is the probability alone."""


@torch.no_grad()
def translate(model: Seq2SeqTransformer, source: Tensor, search: Search) -> list[list[int]]:
    """Ids of the translations, without marks, of source ids of shape (sentences, positions)."""
    found = (greedy if search.beams == 1 else beam)(model, source, search)
    return [row[: row.index(search.end)] if search.end in row else row for row in found.tolist()]


def greedy(model: Seq2SeqTransformer, source: Tensor, search: Search) -> Tensor:
    """The likeliest token at each place, shape (sentences, ``most``), ``end`` behind the last."""
    encoded, cache = _begun(model, source, len(source), search)
    outputs = source.new_full((len(source), search.most), search.end)
    here = torch.arange(len(source), device=source.device)
    ended = torch.zeros_like(here, dtype=torch.bool)
    last = source.new_full((len(source), 1), search.begin)
    for place in range(search.most):
        states = model.decode(last, encoded, cache)
        cache = cache.advanced()
        last = model.generator(states[:, -1]).argmax(-1, keepdim=True)
        outputs[here, place] = last[:, 0].masked_fill(ended, search.end)
        ended = ended | (last[:, 0] == search.end)
        done = int(ended.sum())
        if done == len(here):
            break
        if done >= LEAVE * len(here):
            stay = (~ended).nonzero()[:, 0]
            here, ended, last = here[stay], ended[stay], last[stay]
            encoded, cache = encoded.take(stay), cache.take(stay)
    return outputs


def _begun(model: Seq2SeqTransformer, source: Tensor, rows: int, search: Search) -> tuple[Source, Cache]:
    """The sentences encoded, and an empty cache for ``rows`` translations."""
    attentions = [layer.self_attn for layer in model.decoder_layers]
    return model.looked_at(source, model.encode(source)), Cache.empty(attentions, rows, search.most)


@dataclass(frozen=True)
class Beams:
    """The partial translations of the sentences that are not done, best first."""

    here: Tensor
    """(sentences,): their rows in the output."""
    scores: Tensor
    """(sentences, beams): log probabilities."""
    tokens: Tensor
    """(sentences, beams, ``most``)."""
    ended: Tensor
    """(sentences,): complete translations met so far."""

    def take(self, rows: Tensor) -> Beams:
        return Beams(self.here[rows], self.scores[rows], self.tokens[rows], self.ended[rows])


def beam(model: Seq2SeqTransformer, source: Tensor, search: Search) -> Tensor:
    """The best-ranked translation that beam search meets, shape (sentences, ``most``), ``end`` behind the last token.

    A translation that ends among the best ``beams`` continuations is complete; a sentence is done once it has
    ``beams`` complete ones. At the limit those still open are ranked too.
    """
    count, width = len(source), search.beams
    encoded, cache = _begun(model, source, count * width, search)
    best = torch.full((count,), -torch.inf, device=source.device)
    outputs = source.new_full((count, search.most), search.end)
    scores = torch.full((count, width), -torch.inf, device=source.device)
    scores[:, 0] = 0.0  # all beams begin alike: one is enough
    here = torch.arange(count, device=source.device)
    open_ = Beams(here, scores, outputs.new_full((count, width, search.most), search.end), torch.zeros_like(here))
    last = source.new_full((count * width, 1), search.begin)
    for place in range(search.most):
        states = model.decode(last, encoded, cache)
        cache = cache.advanced()
        likelihood = model.generator(states[:, -1]).log_softmax(-1).unflatten(0, (-1, width))
        open_, parents = _extended(open_, likelihood, place, search, best, outputs)
        if place + 1 == search.most:
            _keep_best(open_.here, open_.scores / search.most**search.length_penalty, open_.tokens, best, outputs)
            break
        open_, encoded, cache = _remaining(open_, parents, encoded, cache, search)
        if not len(open_.here):
            break
        last = open_.tokens[:, :, place].reshape(-1, 1)
    return outputs


def _extended(
    open_: Beams, likelihood: Tensor, place: int, search: Search, best: Tensor, outputs: Tensor
) -> tuple[Beams, Tensor]:
    """The beams with one token more, and the rows of the cache that each came from, (sentences, beams); what is
    complete enters ``best`` and ``outputs``."""
    sentences, width, vocabulary = likelihood.shape
    found, places = (open_.scores.unsqueeze(2) + likelihood).flatten(1).topk(min(2 * width, width * vocabulary))
    origin, token = places // vocabulary, places % vocabulary
    tokens = open_.tokens.gather(1, origin.unsqueeze(2).expand(-1, -1, search.most)).clone()
    tokens[:, :, place] = token
    ends = token == search.end
    complete = (ends & (found > -torch.inf))[:, :width]
    ranked = (found / (place + 1) ** search.length_penalty)[:, :width].masked_fill(~complete, -torch.inf)
    _keep_best(open_.here, ranked, tokens[:, :width], best, outputs)
    # Those that go on, in their order: a stable sort puts what ended behind them.
    going = ends.int().argsort(dim=1, stable=True)[:, :width]
    kept = found.masked_fill(ends, -torch.inf).gather(1, going)
    chosen = tokens.gather(1, going.unsqueeze(2).expand(-1, -1, search.most))
    parents = origin.gather(1, going) + width * torch.arange(sentences, device=going.device).unsqueeze(1)
    return Beams(open_.here, kept, chosen, open_.ended + complete.sum(1)), parents


def _keep_best(here: Tensor, ranked: Tensor, tokens: Tensor, best: Tensor, outputs: Tensor) -> None:
    """Writes what outranks the best so far; ``ranked`` is (sentences, beams), ``tokens`` (sentences, beams, most)."""
    top, which = ranked.max(1)
    better = top > best[here]
    rows = here[better]
    best[rows] = top[better]
    outputs[rows] = tokens[better, which[better]]


def _remaining(
    open_: Beams, parents: Tensor, encoded: Source, cache: Cache, search: Search
) -> tuple[Beams, Source, Cache]:
    """Without the sentences that are done."""
    going = open_.ended < search.beams
    if not bool(going.all()):
        stay = going.nonzero()[:, 0]
        open_, parents, encoded = open_.take(stay), parents[stay], encoded.take(stay)
    return open_, encoded, cache.take(parents.flatten())
