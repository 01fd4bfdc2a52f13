"""Retrieval measures and what makes embeddings hard to search: from rows, scores, ranks or ready rankings.

Ranks are 1-based. Several positives come as CSR: those of query i are at `indptr[i]:indptr[i + 1]`. `MEASURES` lists
what `retrieval`, `from_ranks` and `rankings` can be asked for by name.
"""

from ._alignment import alignment_error_rate
from ._chance import chance
from ._geometry import (
    alignment,
    cka,
    effective_rank,
    mean_cosine,
    modality_gap,
    mutual_neighbours,
    singular_values,
    uniformity,
)
from ._hubness import hubness, occurrences
from ._judgements import Qrels, Run, read_qrels, read_run
from ._measures import average_precision, first_ranks, hit_rate, mean_average_precision, mean_rank, median_rank, mrr
from ._positions import from_ranks
from ._positives import count_positives
from ._rankings import rankings
from ._retrieval import retrieval
from ._significance import Randomisation, bootstrap_interval, randomisation_test
from ._table import MEASURES

__all__ = [
    "MEASURES",
    "Qrels",
    "Randomisation",
    "Run",
    "alignment",
    "alignment_error_rate",
    "average_precision",
    "bootstrap_interval",
    "chance",
    "cka",
    "count_positives",
    "effective_rank",
    "first_ranks",
    "from_ranks",
    "hit_rate",
    "hubness",
    "mean_average_precision",
    "mean_cosine",
    "mean_rank",
    "median_rank",
    "modality_gap",
    "mrr",
    "mutual_neighbours",
    "occurrences",
    "randomisation_test",
    "rankings",
    "read_qrels",
    "read_run",
    "retrieval",
    "singular_values",
    "uniformity",
]
