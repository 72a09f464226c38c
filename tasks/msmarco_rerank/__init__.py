"""Passage reranking on MS MARCO with three model families: cross-encoder, Conv-KNRM, Conformer-Kernel."""

from __future__ import annotations

from tasks.msmarco_rerank.options import Options
from tasks.msmarco_rerank.task import MsMarcoRerank

__all__ = ["MsMarcoRerank", "Options"]
