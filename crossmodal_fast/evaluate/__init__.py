"""Retrieval measures from ranks: hit rate, MRR, median and mean rank, mAP, and what chance would give.

Ranks are 1-based. Every measure but average precision looks at the best-ranked positive of a query; `first_ranks` gives
it, infinity where a query has none. Several positives come as CSR: those of query i are at `indptr[i]:indptr[i + 1]`.
"""

from ._chance import chance
from ._measures import average_precision, first_ranks, hit_rate, mean_average_precision, mean_rank, median_rank, mrr
from ._positives import count_positives
from ._retrieval import retrieval

__all__ = [
    "average_precision",
    "chance",
    "count_positives",
    "first_ranks",
    "hit_rate",
    "mean_average_precision",
    "mean_rank",
    "median_rank",
    "mrr",
    "retrieval",
]
