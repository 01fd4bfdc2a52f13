"""The meaning of `within`: the law of values, every pair, a comparison, a stable sort. Tests only."""

import numpy as np

from ..tiles.reference import biased, may_match


def within(x_md, y_nd, radius_m, metric="euclidean", p=2.0, mask=None, exclude=None, bias=None):
    """(m, d), (n, d), (m,) -> indptr (m + 1,), index (r,), value (r,) float64: best first within each row."""
    key_mn, squared = biased(x_md, y_nd, metric, p, bias)
    value_mn = np.sqrt(key_mn) if squared else key_mn
    allowed_mn = may_match(*key_mn.shape, mask, exclude)
    index, value, counts = [], [], [0]
    for i in range(len(key_mn)):
        inside = value_mn[i] >= radius_m[i] if metric == "dot" else value_mn[i] <= radius_m[i]
        row = np.flatnonzero(inside & allowed_mn[i])
        key = -key_mn[i, row] if metric == "dot" else key_mn[i, row]
        best = row[np.argsort(key, kind="stable")]
        index += best.tolist()
        value += value_mn[i, best].tolist()
        counts.append(len(index))
    return np.array(counts), np.array(index, np.int64), np.array(value)
