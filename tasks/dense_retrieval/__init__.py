"""Dense retrieval: a query encoder and a passage encoder, and an index over the passages' vectors.

Karpukhin et al. 2020, "Dense passage retrieval for open-domain question answering" (DPR); with ``index=jpq`` Zhan et
al. 2021, "Jointly optimizing query encoder and product quantization to improve retrieval performance" (JPQ).
"""

from __future__ import annotations

from tasks.dense_retrieval.options import Options
from tasks.dense_retrieval.task import DenseRetrieval

__all__ = ["DenseRetrieval", "Options"]
