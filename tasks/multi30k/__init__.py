"""Multi30k translation from German to English with an encoder-decoder."""

from tasks.multi30k.options import Multi30kOptions
from tasks.multi30k.task import Multi30k

__all__ = ["Multi30k", "Multi30kOptions"]
