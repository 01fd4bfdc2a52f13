"""What a random order of the gallery would give, in closed form."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from .._arguments import array_of, whole
from ._measures import cut_offs, filled


def chance(
    n: int, positives: ArrayLike = 1, *, k: int | Sequence[int] = (1, 5, 10), empty: str = "error"
) -> dict[str, float]:
    """Expected measures of a random order of the gallery, in closed form.

    Parameters
    ----------
    n : int
        Gallery items.
    positives : int or array_like, shape (m,)
        Number of positives R of each query, in 0..n.
    k : int or sequence of int
        Cut-offs for hit_rate@k and map@k; beyond n they count as n.
    empty : {"error", "skip", "neg", "pos"}, default "error"
        As in `retrieval`.

    Returns
    -------
    dict
        The keys of `retrieval` but queries and median_rank, each the mean over queries of
        hit_rate@k = 1 - C(n-R, k) / C(n, k); mrr = sum_r P(first = r) / r; mean_rank = (n + 1) / (R + 1);
        map = H_n / n * (1 - a) + a with a = (R - 1) / (n - 1); map@k likewise from the first k terms. Cost: n for each
        distinct R. Source: elementary; the map is that of one tie group of n items in McSherry and Najork 2008.

    Examples
    --------
    >>> chance(4, k=(1, 2))["hit_rate@2"]
    0.5
    """
    counts = np.atleast_1d(array_of("positives", positives))
    if counts.size and counts.dtype.kind not in "iu":
        raise TypeError(f"positives must hold whole numbers, got dtype {counts.dtype}")
    if counts.ndim != 1 or not counts.size:
        raise ValueError(f"positives must be a number or have shape (m,) with m >= 1, got {counts.shape}")
    if counts.min() < 0 or counts.max() > whole("n", n):
        raise ValueError(f"positives must be in 0..{n} (the gallery rows), got {counts.min()}..{counts.max()}")
    wanted = cut_offs(k)
    distinct, inverse = np.unique(counts, return_inverse=True)
    position = np.arange(1, n + 1)
    rows = []
    for R in distinct.tolist():
        # P(first > r) as a running product, r = 0..n
        later = np.concatenate([[1.0], np.cumprod(np.maximum(n - R - position + 1, 0) / (n - position + 1))])
        a = (R - 1) / (n - 1) if n > 1 else 1.0
        terms = np.cumsum(R / n * (1 + (position - 1) * a) / position) / max(R, 1)
        cuts = [min(cut, n) for cut in wanted]
        rows.append(
            [
                *(1 - later[cuts]),
                ((later[:-1] - later[1:]) / position).sum(),
                (n + 1) / (R + 1),
                terms[-1],
                *terms[[cut - 1 for cut in cuts]],
            ]
        )
    each = np.array(rows)[inverse]
    names = [*(f"hit_rate@{cut}" for cut in wanted), "mrr", "mean_rank", "map", *(f"map@{cut}" for cut in wanted)]
    missing = counts == 0
    return {
        name: float(np.mean(filled(column, missing, empty, np.inf if name == "mean_rank" else 0.0)))
        for name, column in zip(names, each.T, strict=True)
    }
