"""The meaning of `logsumexp`: the law of values, every pair. Tests only."""

import numpy as np

from ..tiles.reference import canonical, name


def scores(x_md, y_nd, metric="cosine", p=2.0):
    """(m, d), (n, d) -> (m, n) float64, higher is better."""
    value_mn, metric = canonical(x_md, y_nd, metric, p), name(metric, p)
    if metric == "dot":
        return value_mn
    if metric in ("cosine", "correlation"):
        return 1.0 - value_mn
    return -np.sqrt(value_mn) if metric == "euclidean" else -value_mn


def softmax(score_mn, beta=1.0, u_m=0.0, v_n=0.0):
    """(m, n) -> (m,), (n,) float64."""
    return log_sum_exp(beta * score_mn + v_n), log_sum_exp((beta * score_mn).T + u_m)


def log_sum_exp(term_rc):
    """(r, c) -> (r,); what the additions round away is added at the end: the error does not grow with c."""
    top_r = term_rc.max(axis=1, initial=-np.inf)
    total_r = lost_r = np.zeros(len(term_rc))
    with np.errstate(invalid="ignore", divide="ignore"):  # NaN stays; a sum of nothing is 0
        for term_r in term_rc.T:
            share_r = np.exp(np.where(term_r == top_r, 0.0, term_r - top_r))
            sum_r = total_r + share_r
            added_r = sum_r - total_r
            lost_r = lost_r + ((total_r - (sum_r - added_r)) + (share_r - added_r))
            total_r = sum_r
        return top_r + np.log(total_r + lost_r)
