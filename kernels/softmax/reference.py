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
    row_mn = beta * score_mn + v_n
    column_nm = (beta * score_mn).T + u_m
    with np.errstate(invalid="ignore"):  # NaN stays
        return tuple(np.logaddexp.reduce(part, axis=1, initial=-np.inf) for part in (row_mn, column_nm))
