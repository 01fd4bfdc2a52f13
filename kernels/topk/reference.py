"""The meaning of `topk`: the law of values, every pair, a stable sort. Tests only."""

import numpy as np

from ..tiles.reference import biased, may_match


def topk(x_md, y_nd, k, metric="euclidean", p=2.0, mask=None, exclude=None, bias=None):
    """(m, d), (n, d) -> value (m, k) float64, index (m, k) int64: best first, NaN last, ties by lowest index."""
    key_mn, squared = biased(x_md, y_nd, metric, p, bias)
    m, n = key_mn.shape
    allowed_mn = may_match(m, n, mask, exclude)
    value_mk = np.full((m, k), -np.inf if metric == "dot" else np.inf)
    index_mk = np.full((m, k), -1, np.int64)
    for i in range(m):
        row = np.flatnonzero(allowed_mn[i])
        key = -key_mn[i, row] if metric == "dot" else key_mn[i, row]
        best = row[np.argsort(key, kind="stable")][:k]
        index_mk[i, : len(best)] = best
        value_mk[i, : len(best)] = np.sqrt(key_mn[i, best]) if squared else key_mn[i, best]
    return value_mk, index_mk


def topk_both(x_md, y_nd, k_rows, k_columns, metric="euclidean", p=2.0, mask=None, exclude=None, bias=None):
    """`topk` of the rows of x among those of y and of the rows of y among those of x, over the same pairs."""
    allowed_mn = may_match(len(x_md), len(y_nd), mask, exclude)
    swapped = None if bias is None else bias[::-1]
    return (
        topk(x_md, y_nd, k_rows, metric, p, mask=allowed_mn, bias=bias),
        topk(y_nd, x_md, k_columns, metric, p, mask=allowed_mn.T, bias=swapped),
    )
