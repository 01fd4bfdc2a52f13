"""The meaning of `ranks`: the law of values, every pair, counted. Tests only."""

import numpy as np

from ..tiles.reference import biased, may_match


def ranks(x_md, y_nd, row_e, positive_e, ties="index", metric="euclidean", p=2.0, mask=None, exclude=None, bias=None):
    """(m, d), (n, d), pairs (e,) -> ranks (e,) from 1: NaN after everything and equal to NaN."""
    key_mn, _ = biased(x_md, y_nd, metric, p, bias)
    key_mn = -key_mn if metric == "dot" else key_mn
    allowed_mn = may_match(*key_mn.shape, mask, exclude)
    found = []
    for i, positive in zip(row_e, positive_e, strict=True):
        goal, better, before, equal = key_mn[i, positive], 0, 0, 0
        for j, key in enumerate(key_mn[i]):
            if allowed_mn[i, j] and j != positive:
                better += bool(key < goal or (np.isnan(goal) and not np.isnan(key)))
                same = bool(key == goal or (np.isnan(goal) and np.isnan(key)))
                equal += same
                before += same and j < positive
        found.append({"index": 1 + better + before, "optimistic": 1 + better, "pessimistic": 1 + better + equal,
                      "mean": 1 + better + equal / 2}[ties])  # fmt: skip
    return np.array(found)
