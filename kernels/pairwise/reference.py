"""The meaning of `pairwise_distances`: the law of values, every pair. Tests only."""

import numpy as np

from ..tiles.reference import canonical, name


def pairwise_distances(x_md, y_nd, metric="euclidean", p=2.0):
    """(m, d), (n, d) -> (m, n) float64."""
    value_mn = canonical(x_md, y_nd, metric, p)
    return np.sqrt(value_mn) if name(metric, p) == "euclidean" else value_mn
