"""Results folders that verbs only read: what counts for nothing in them is said, once, at the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from bench.store import Store


@contextmanager
def reading(folder: str) -> Iterator[Store]:
    """The results folder; when its reader is done, a line on stderr says what was left out, unless an error ends it.
    Raises ``StoreError`` where there is none."""
    from bench.store import Store

    store = Store(folder)
    yield store
    say_left_out(store.left_out, folder)


def say_left_out(left_out: Mapping[str, str], folder: str) -> None:
    """One line on what of a folder counts for nothing, where there is such."""
    if left_out:
        name, why = next(iter(sorted(left_out.items())))
        others = f", and {len(left_out) - 1} more" if len(left_out) > 1 else ""
        typer.echo(
            f"bench: {folder}: left out, as not whole: {name} {why}{others}. "
            "Nothing was moved: put back what is missing, or 'bench run' computes it again.",
            err=True,
        )
