"""Scores of docids under the model: all of them (exact), or the best by beam search; both constrained by the trie.

A docid's score is the sum of its tokens' log-probabilities under the whole output vocabulary (no length penalty, no
renormalisation over what the trie allows), which is what teacher forcing gives. The encoder runs once a query, and the
decoder once for each (query, prefix) that is reached, with its keys and values carried along.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache

from tasks.msmarco_dsi.docids import Trie

ROWS = 2048
"""(query, prefix) pairs decoded at once: bounds memory, changes no result."""


@dataclass(frozen=True)
class Beams:
    """What a search holds at one level of the trie: one row for each (query, prefix), ordered by query."""

    query: Tensor
    """int64 (rows,)."""
    node: Tensor
    """int64 (rows,): node of the level."""
    score: Tensor
    """float32 (rows,): log-probability of the prefix."""

    def __len__(self) -> int:
        return len(self.query)

    def __getitem__(self, rows: Tensor | slice) -> Beams:
        return Beams(self.query[rows], self.node[rows], self.score[rows])


@dataclass(frozen=True)
class Level:
    """One level of the trie on the model's device; see ``Trie``."""

    children: Tensor
    tokens: Tensor
    leaves: Tensor
    below: Tensor | None
    """``children`` of the next level, None at the last."""

    def ended(self, node: Tensor) -> Tensor:
        """Which nodes of the level below this one are whole docids."""
        if self.below is None:
            return torch.ones_like(node, dtype=torch.bool)
        return self.below[node] == self.below[node + 1]


def levels(trie: Trie, device: torch.device) -> list[Level]:
    """The trie's arrays as tensors, on the CPU without a copy."""
    children, tokens, leaves = (
        [torch.from_numpy(array).to(device) for array in arrays] for arrays in (trie.children, trie.tokens, trie.leaves)
    )
    return [Level(*level) for level in zip(children, tokens, leaves, [*children[1:], None], strict=True)]


def exact(model: Any, input_ids: Tensor, attention_mask: Tensor, trie: Trie) -> Tensor:
    """Log-probability of every docid for every query, float32 (queries, documents)."""
    ladder = levels(trie, input_ids.device)
    documents = torch.from_numpy(trie.documents).to(input_ids.device).long()
    scores = torch.empty(len(input_ids), len(documents), device=input_ids.device)
    encoded = _encode(model, input_ids, attention_mask)

    def descend(depth: int, beams: Beams, cache: EncoderDecoderCache, last: Tensor) -> None:
        logp = step(model, encoded, attention_mask, beams, cache, last)
        level = ladder[depth]
        parent, found = extensions(level, beams, logp)
        ended = level.ended(found.node)
        whole = found[ended]
        scores[whole.query, documents[level.leaves[whole.node]]] = whole.score
        parent, found = parent[~ended], found[~ended]
        for rows in _chunks(len(found), input_ids.device):
            part = found[rows]
            descend(depth + 1, part, selected(cache, parent[rows]), level.tokens[part.node].long())

    for rows in _chunks(len(input_ids), input_ids.device):
        descend(0, _roots(rows), empty(), _start(model, rows))
    return scores


def beam(model: Any, input_ids: Tensor, attention_mask: Tensor, trie: Trie, beams: int) -> tuple[Tensor, Tensor]:
    """The ``beams`` docids that beam search ends with, best first: document numbers, -1 where fewer were found, and
    their scores, -inf there; int64 and float32 (queries, beams). Every docid is one of the trie's, none comes twice.

    A whole docid keeps its score and its place among the beams until better ones push it out.
    """
    device = input_ids.device
    encoded = _encode(model, input_ids, attention_mask)
    queries = torch.arange(len(input_ids), device=device)
    held, cache, last = _roots(queries), empty(), _start(model, queries)
    whole = _roots(queries[:0])  # its nodes are leaves
    for level in levels(trie, device):
        logp = step(model, encoded, attention_mask, held, cache, last)
        parent, found = extensions(level, held, logp)
        ended = level.ended(found.node)
        leaf = torch.where(ended, level.leaves[found.node], -1)
        both = _joined(whole, found)
        best = chosen(both, len(input_ids), beams)
        own = best - len(whole)
        before, goes_on = own < 0, (own >= 0) & ~ended[own.clamp(min=0)]
        fresh = own[~before & ~goes_on]
        whole = _joined(both[best[before]], Beams(found.query[fresh], leaf[fresh].long(), found.score[fresh]))
        rows = own[goes_on]
        if not len(rows):
            break
        held, cache, last = found[rows], selected(cache, parent[rows]), level.tokens[found.node[rows]].long()
    whole = whole[chosen(whole, len(input_ids), beams)]
    numbers = torch.full((len(input_ids), beams), -1, dtype=torch.int64, device=device)
    scores = torch.full((len(input_ids), beams), -torch.inf, device=device)
    place = _place(whole.query, len(input_ids))
    numbers[whole.query, place] = torch.from_numpy(trie.documents).to(device)[whole.node].long()
    scores[whole.query, place] = whole.score
    return numbers, scores


def _chunks(count: int, device: torch.device) -> list[Tensor]:
    return [torch.arange(first, min(first + ROWS, count), device=device) for first in range(0, count, ROWS)]


def _encode(model: Any, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    hidden: Tensor = model.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
    return hidden


def _roots(queries: Tensor) -> Beams:
    return Beams(queries, torch.zeros_like(queries), torch.zeros(len(queries), device=queries.device))


def _start(model: Any, queries: Tensor) -> Tensor:
    return torch.full_like(queries, model.config.decoder_start_token_id)


def empty() -> EncoderDecoderCache:
    """A cache of no positions yet."""
    return EncoderDecoderCache(DynamicCache(), DynamicCache())


def selected(cache: EncoderDecoderCache, rows: Tensor) -> EncoderDecoderCache:
    """A cache of the given rows; the old one stays as it is."""
    copies = []
    for part in (cache.self_attention_cache, cache.cross_attention_cache):
        copy = DynamicCache()
        for number, layer in enumerate(part.layers):
            copy.update(layer.keys[rows], layer.values[rows], number)
        copies.append(copy)
    return EncoderDecoderCache(*copies)


def step(model: Any, encoded: Tensor, mask: Tensor, beams: Beams, cache: EncoderDecoderCache, last: Tensor) -> Tensor:
    """Log-probabilities of the next token after each prefix, float32 (rows, output tokens). Extends the cache."""
    hidden = model.decoder(
        input_ids=last[:, None],
        past_key_values=cache,
        encoder_hidden_states=encoded[beams.query],
        encoder_attention_mask=mask[beams.query],
        use_cache=True,
    ).last_hidden_state
    if model.config.scale_decoder_outputs:
        hidden = hidden * model.model_dim**-0.5
    logp: Tensor = model.lm_head(hidden[:, 0]).float().log_softmax(dim=-1)
    return logp


def extensions(level: Level, beams: Beams, logp: Tensor) -> tuple[Tensor, Beams]:
    """All allowed extensions of the rows, in order: the row that each comes from, and the new rows."""
    first = level.children[beams.node].long()
    counts = level.children[beams.node + 1] - first
    parent = torch.repeat_interleave(torch.arange(len(beams), device=counts.device), counts)
    offset = torch.arange(len(parent), device=counts.device) - (counts.cumsum(0) - counts)[parent]
    node = first[parent] + offset
    return parent, Beams(beams.query[parent], node, beams.score[parent] + logp[parent, level.tokens[node].long()])


def _place(query: Tensor, queries: int) -> Tensor:
    """Position of each row among those of its query; rows are ordered by query."""
    counts = torch.bincount(query, minlength=queries)
    return torch.arange(len(query), device=query.device) - (counts.cumsum(0) - counts)[query]


def _joined(first: Beams, second: Beams) -> Beams:
    return Beams(
        torch.cat([first.query, second.query]),
        torch.cat([first.node, second.node]),
        torch.cat([first.score, second.score]),
    )


def chosen(found: Beams, queries: int, beams: int) -> Tensor:
    """Rows of the best ``beams`` candidates of each query, best first, ordered by query; ties to the earlier row."""
    order = torch.argsort(found.score, descending=True, stable=True)
    order = order[torch.argsort(found.query[order], stable=True)]
    return order[_place(found.query[order], queries) < beams]
