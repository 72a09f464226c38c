"""AG News topic classification: an embedding bag, a small transformer, or a pretrained encoder."""

from tasks.ag_news.options import AgNewsOptions, CheckpointOptions, TransformerOptions
from tasks.ag_news.task import AgNews

__all__ = ["AgNews", "AgNewsOptions", "CheckpointOptions", "TransformerOptions"]
