"""AG News topic classification with an embedding bag."""

from tasks.ag_news.task import AgNews, AgNewsOptions

__all__ = ["AgNews", "AgNewsOptions"]
