"""Hubs and anti-hubs: how unevenly gallery rows come up among the neighbours of queries."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arguments import array_of, whole

Indices = NDArray[np.int64]


def occurrences(indices: ArrayLike, n: int) -> Indices:
    """How many queries have each gallery row among their neighbours: indices (m, k), -1 for none -> N_k (n,) int64.

    Cost: one pass. Source: Radovanović et al. 2010.

    Examples
    --------
    >>> occurrences([[0, 2], [0, -1]], 4)
    array([2, 0, 1, 0])
    """
    found = array_of("indices", indices)
    if found.dtype.kind not in "iu":
        raise TypeError(f"indices must hold whole numbers, got dtype {found.dtype}")
    if found.ndim != 2 or 0 in found.shape:
        raise ValueError(f"indices must have shape (m, k) with m, k >= 1, as `topk` gives them, got {found.shape}")
    if found.max() >= whole("n", n) or found.min() < -1:
        worst = found.max() if found.max() >= n else found.min()
        raise ValueError(f"indices must be in 0..{n - 1} (the gallery rows), or -1 for none, got {worst}")
    return np.bincount(found[found >= 0], minlength=n)


def hubness(indices: ArrayLike, n: int) -> dict[str, float]:
    """How unevenly the n gallery rows are shared out among the k nearest neighbours of m queries.

    Parameters
    ----------
    indices : array_like of int, shape (m, k)
        Neighbours, as `topk` gives them: `hubness(topk(X, Y, 10, "cosine").indices, len(Y))`. -1 marks an empty slot.
    n : int
        Gallery rows.

    Returns
    -------
    dict
        With N = `occurrences` (n,), its mean and its population standard deviation sd:
        skewness E[(N - mean)^3] / sd^3, 0 where all N are equal (Radovanović et al. 2010); robin_hood
        sum|N - mean| / (2 sum N), the share of slots to take from the rich; gini, by sort; atkinson
        1 - (mean sqrt(N))^2 / mean; antihub_share N = 0; hub_share N >= 2 mean; groupie_share max N / (m k), or of the
        slots that are filled. Cost: a sort of n.

    Examples
    --------
    >>> hubness([[0], [0], [0], [1]], 4)["antihub_share"]
    0.5
    """
    counts = occurrences(indices, n).astype(np.float64)
    total, mean = counts.sum(), counts.mean()
    if not total:
        raise ValueError(f"indices must name at least one gallery row, got none in {np.shape(indices)}")
    gap, spread = counts - mean, counts.std()
    place = 2 * np.arange(1, n + 1) - n - 1
    found = {
        "skewness": np.mean(gap**3) / spread**3 if spread > 0 else 0.0,
        "robin_hood": np.abs(gap).sum() / (2 * total),
        "gini": (place * np.sort(counts)).sum() / (n * total),
        "atkinson": 1 - np.sqrt(counts).mean() ** 2 / mean,
        "antihub_share": np.mean(counts == 0),
        "hub_share": np.mean(counts >= 2 * mean),
        "groupie_share": counts.max() / total,
    }
    return {name: float(value) for name, value in found.items()}
