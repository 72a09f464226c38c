"""The units of a T5 that can be removed: feed-forward neurons and attention heads."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.t5.modeling_t5 import T5Attention, T5DenseActDense, T5DenseGatedActDense

from bench.masks.couplings import Coupling, Slice


def couplings(model: nn.Module) -> Iterator[Coupling]:
    """The neurons of each feed-forward block and the heads of each attention.

    A head's column of ``relative_attention_bias`` is none of its slices: the first block's table serves every block of
    its stack, and a head that goes there stays elsewhere. ``narrowed`` lets each attention gather its own heads' bias.
    """
    for name, module in model.named_modules():
        if isinstance(module, T5DenseActDense | T5DenseGatedActDense):
            inputs = ("wi",) if isinstance(module, T5DenseActDense) else ("wi_0", "wi_1")
            yield Coupling(
                name,
                "rows",
                module.wo.in_features,
                tuple(Slice(f"{name}.{part}.weight", axis=0) for part in inputs),
                (Slice(f"{name}.wo.weight", axis=1),),
            )
        elif isinstance(module, T5Attention):
            width = module.key_value_proj_dim
            yield Coupling(
                name,
                "heads",
                module.n_heads,
                tuple(Slice(f"{name}.{part}.weight", axis=0, width=width) for part in ("q", "k", "v")),
                (Slice(f"{name}.o.weight", axis=1, width=width),),
            )


class FewerHeads(T5Attention):  # type: ignore[misc]
    """A T5 attention that lost heads: it takes and gives the position bias of all heads, and uses its own."""

    kept: Tensor
    """Numbers of its heads among those of the whole model."""

    def forward(
        self,
        hidden_states: Tensor,
        mask: Tensor | None = None,
        key_value_states: Tensor | None = None,
        position_bias: Tensor | None = None,
        past_key_values: Any = None,
        **options: Any,
    ) -> tuple[Any, ...]:
        whole = position_bias
        if whole is None:
            whole = self._whole_bias(hidden_states, key_value_states, past_key_values)
        own = whole.index_select(1, self.kept)
        found = super().forward(hidden_states, mask, key_value_states, own, past_key_values, **options)
        return (found[0], whole, *found[2:])

    def _whole_bias(self, hidden: Tensor, other: Tensor | None, past: Any) -> Tensor:
        """Bias of all heads, (1, heads, queries, keys), as the first block of a stack computes it."""
        before = int(past.get_seq_length(self.layer_idx)) if past is not None and other is None else 0
        queries, keys = hidden.shape[1], hidden.shape[1] + before if other is None else other.shape[1]
        if not self.has_relative_attention_bias:
            return hidden.new_zeros(1, int(self.config.num_heads), queries, keys)
        bias: Tensor = self.compute_bias(queries, keys, device=hidden.device, past_seen_tokens=before)
        return bias


def narrowed(model: nn.Module, kept: Mapping[str, Tensor]) -> None:
    """Makes every attention that lost heads a ``FewerHeads``, in place."""
    for name, module in model.named_modules():
        if isinstance(module, T5Attention) and name in kept and not bool(kept[name].all()):
            # The class and not a wrapper, so that parameters keep their names.
            module.__class__ = FewerHeads
            heads = kept[name].nonzero().flatten().to(module.q.weight.device)
            module.register_buffer("kept", heads, persistent=False)
            module.n_heads = len(heads)
            module.inner_dim = module.n_heads * module.key_value_proj_dim


def portable(model: Any) -> Any:
    """A copy with an output row for every token of its vocabulary, as ``from_pretrained`` expects it.

    The output layer of ``scratch`` has rows for the tokens of docids alone, which come first; the others are zero.
    """
    whole = copy.deepcopy(model)
    if not whole.config.scale_decoder_outputs:
        # transformers 5 says True here whatever was asked for, and reads from this entry alone whether to scale.
        whole.config.tie_word_embeddings = False
    missing = model.config.vocab_size - model.lm_head.out_features
    if missing > 0:
        rows = model.lm_head.weight.detach()
        whole.lm_head = nn.Linear(model.config.d_model, model.config.vocab_size, bias=False)
        whole.lm_head.weight = nn.Parameter(torch.cat([rows, rows.new_zeros(missing, rows.shape[1])]))
    return whole
