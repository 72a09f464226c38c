"""The neurons and filters of feed-forward networks that can be removed."""

from __future__ import annotations

from bench.masks.couplings import Coupling, Slice


def rows(layer: str, units: int, reader: str, *, norm: str | None = None, places: int = 1) -> Coupling:
    """The rows of ``layer`` (a linear layer or convolution with a bias where no norm follows), and what reads them.

    ``norm`` is the batch norm in between; ``places`` the number of consecutive inputs of ``reader`` that one unit
    feeds: the pixels of a channel that is flattened.
    """
    producers = [Slice(f"{layer}.weight")]
    producers += [Slice(f"{norm}.weight"), Slice(f"{norm}.bias")] if norm else [Slice(f"{layer}.bias")]
    return Coupling(layer, "rows", units, tuple(producers), (Slice(f"{reader}.weight", axis=1, width=places),))
