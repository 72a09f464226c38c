"""What decoding keeps from one target position to the next: keys and values of the source and of what was said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from tasks.multi30k.attention import Attention, KeysValues


@dataclass(frozen=True)
class Source:
    """Encoded sentences, as a decoder looks at them."""

    keys_values: tuple[KeysValues, ...]
    """For each decoder layer, of shape (sentences, heads, positions, width of a head): computed once a sentence."""
    bias: Tensor
    """(sentences, 1, 1, positions)."""

    def take(self, rows: Tensor) -> Source:
        """The sentences of these numbers."""
        return Source(tuple((keys[rows], values[rows]) for keys, values in self.keys_values), self.bias[rows])


@dataclass(frozen=True)
class Cache:
    """Keys and values of the target positions so far, of every decoder layer, in memory for ``most`` positions."""

    layers: tuple[KeysValues, ...]
    """Each of shape (rows, heads, most, width of a head)."""
    length: int = 0

    @staticmethod
    def empty(attentions: Sequence[Attention], rows: int, most: int) -> Cache:
        """Room for ``most`` positions of the decoder's self-attentions."""

        def room(attention: Attention) -> Tensor:
            weight = attention.q_proj.weight
            return weight.new_empty(rows, attention.heads, most, len(weight) // attention.heads)

        return Cache(tuple((room(attention), room(attention)) for attention in attentions))

    def appender(self, layer: int) -> Callable[[KeysValues], KeysValues]:
        """Writes one position's keys and values behind those of ``layer`` and gives all of them."""

        def append(new: KeysValues) -> KeysValues:
            keys, values = self.layers[layer]
            keys[:, :, self.length], values[:, :, self.length] = new[0][:, :, 0], new[1][:, :, 0]
            return keys[:, :, : self.length + 1], values[:, :, : self.length + 1]

        return append

    def advanced(self) -> Cache:
        """The same memory, one position on."""
        return replace(self, length=self.length + 1)

    def take(self, rows: Tensor) -> Cache:
        """The rows of these numbers, which may repeat."""

        def taken(memory: Tensor) -> Tensor:
            copy = memory.new_empty(len(rows), *memory.shape[1:])
            copy[:, :, : self.length] = memory[:, :, : self.length][rows]
            return copy

        return replace(self, layers=tuple((taken(keys), taken(values)) for keys, values in self.layers))
