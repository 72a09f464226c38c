"""Retrieval by a differentiable search index (Tay et al. 2022): a T5 that maps the text of a query to a docid.

The index is in the weights: the model is trained on passages' texts and on train queries, each with the docid to
emit, and ranks all passages for a dev query by the probability of their docids.
"""

from __future__ import annotations

from tasks.msmarco_dsi.options import Options
from tasks.msmarco_dsi.task import MsMarcoDsi

__all__ = ["MsMarcoDsi", "Options"]
