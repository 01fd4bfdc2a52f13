"""Retrieval measures and what makes embeddings hard to search: from rows, scores, ranks or ready rankings.

Ranks are 1-based. Several positives come as CSR: those of query i are at `indptr[i]:indptr[i + 1]`. R is the number of
positives of a query. `retrieval`, `from_ranks` and `rankings` can be asked for (`MEASURES`):

- hit_rate@k, success@k: any positive among the first k, what CLIP papers call R@k. mrr, mrr@k: 1 / rank of the first.
  mean_rank, median_rank: of the first.
- hits@k = found; precision@k = found / k; recall@k = found / R; recall_cap@k = found / min(k, R) (relative_P of
  trec_eval); f1@k = 2 found / (k + R); r_precision: precision at R, or with @f at floor(f R + 0.9).
- map, map@k: sum of the precision at each positive, over R; map_cap@k over min(k, R); gm_map the geometric mean.
- map_11pt: mean of the largest precision from where recall is 0, 0.1, .. 1; iprec@l, iprec_11pt: one level and the mean
  as trec_eval has them, where round(l R) positives are enough. bpref, gm_bpref: Buckley and Voorhees 2004. rbp@p:
  Moffat and Zobel 2008. auroc: area under the ROC curve, the share of pairs of a relevant and another listed item that
  are in the right order; relevant items that are not listed have none.
- dcg, ndcg, each with @k or without: gain is the grade (Järvelin and Kekäläinen 2002); dcg_exp, ndcg_exp: 2^grade - 1
  (Burges et al. 2005). Discount log2(rank + 1), the ideal list is of all that is relevant.
- set_precision, set_recall, set_recall_cap, set_f1, set_map = precision * recall: of all that is listed;
  utility = found - listed in vain. num_ret, num_rel, num_rel_ret: sums over queries.
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
