"""AG News with the presets of its transformer, for the contract's checks; imports nothing heavy, as they demand."""

from __future__ import annotations

from tasks.ag_news import AgNews


class Transformer(AgNews):
    """The task as ``--model transformer`` opens it."""

    presets = AgNews.presets_of("transformer")
