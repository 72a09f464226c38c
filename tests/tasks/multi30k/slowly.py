"""Greedy decoding as the source does it: one sentence, one word at a time, all earlier words computed again."""

from __future__ import annotations

import torch
from torch import Tensor

from tasks.multi30k.decode import Search
from tasks.multi30k.model import Seq2SeqTransformer


@torch.no_grad()
def stepwise(model: Seq2SeqTransformer, sentence: Tensor, search: Search) -> list[int]:
    """Ids of the translation, without marks, of source ids of shape (positions,)."""
    source = sentence.unsqueeze(0)
    memory = model.encode(source)
    found = [search.begin]
    while len(found) <= search.most:
        states = model.decode(torch.tensor([found]), model.looked_at(source, memory))
        found.append(int(model.generator(states[:, -1]).argmax()))
        if found[-1] == search.end:
            break
    return [token for token in found[1:] if token != search.end]
