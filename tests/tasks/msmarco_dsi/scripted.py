"""A decoder that says what it was told to after each prefix, for tests of the search alone."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

WORDS = 12


class Scripted:
    """Has of a T5 what decoding asks for. The prefix of each row is carried in the cache's keys."""

    def __init__(self, said: Mapping[tuple[int, ...], Mapping[int, float]]) -> None:
        self.said = said
        self.config = SimpleNamespace(decoder_start_token_id=0, scale_decoder_outputs=False)
        self.lm_head = nn.Identity()

    def encoder(self, input_ids: Tensor, attention_mask: Tensor) -> Any:
        return SimpleNamespace(last_hidden_state=torch.zeros(*input_ids.shape, 1))

    def decoder(self, input_ids: Tensor, past_key_values: Any, **ignored: Any) -> Any:
        new = input_ids[:, None, :, None].float()
        keys, _ = past_key_values.self_attention_cache.update(new, new, 0)
        past_key_values.cross_attention_cache.update(new, new, 0)
        prefixes = [tuple(int(token) for token in row[1:]) for row in keys[:, 0, :, 0]]
        return SimpleNamespace(last_hidden_state=torch.stack([self._after(prefix) for prefix in prefixes])[:, None])

    def _after(self, prefix: tuple[int, ...]) -> Tensor:
        """Log-probabilities that sum to one: what was not told of is shared by all other tokens."""
        told = self.said[prefix]
        rest = (1 - sum(told.values())) / (WORDS - len(told))
        return torch.tensor([told.get(token, rest) for token in range(WORDS)]).log()
